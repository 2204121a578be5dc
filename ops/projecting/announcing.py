"""Tells the rest of the system what a projection has come to, and what is done to it.

``imewe.projected.<name>``: JSON {"position": int, "keys": [id]} after a commit.
``imewe.projected.progress.<name>``: JSON {"verb", "state", "phase", "done", "goal", "seconds"} of
an operation under way. Both are hints: they can be lost, the rows are what counts.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.client import Client

from domain.shared.errors import ImeweError, UnavailableError
from ops.messaging.command_client import PATIENCE_S, report_step
from ops.projecting.runner import Announcement

log = structlog.get_logger()

RETRY_S = 5.0
RETRIES = 120


class Announcer:
    """Publishes from other threads through the loop's connection; never waits for it."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __call__(self, announcement: Announcement) -> None:
        """Hand over one announcement."""
        said = {"position": announcement.position, "keys": announcement.keys}
        self._publish(f"imewe.projected.{announcement.projection}", said)

    def progress(self, name: str, told: Mapping[str, Any]) -> None:
        """Hand over how far an operation is."""
        self._publish(f"imewe.projected.progress.{name}", told)

    def _publish(self, subject: str, said: Mapping[str, Any]) -> None:
        self._run(self._client.publish(subject, orjson.dumps(said))).add_done_callback(_note)

    def report(self, told: Mapping[str, str], token: str) -> None:
        """Put a step into the audit trail and wait until it is there.

        Raises ``UnavailableError`` when it is not.
        """
        reporting = self._run(report_step(self._client, told, token=token))
        try:
            reporting.result(2 * PATIENCE_S)
        except (LateError, nats.errors.Error) as error:
            raise UnavailableError("the audit trail does not answer; nothing was done") from error

    def report_later(self, told: Mapping[str, str]) -> None:
        """Put what was done unasked into the audit trail, as soon as that can be written."""
        self._run(self._report_later(told))

    async def _report_later(self, told: Mapping[str, str]) -> None:
        for _ in range(RETRIES):
            try:
                await report_step(self._client, told)
            except (ImeweError, nats.errors.Error) as problem:
                log.info("the audit trail waits", step=dict(told), problem=str(problem))
                await asyncio.sleep(RETRY_S)
            else:
                return
        log.error("a step is not in the audit trail", step=dict(told))

    def _run(self, work: Coroutine[Any, Any, None]) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _note(sent: "Future[None]") -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), nats.errors.Error):
        log.debug("not announced", problem=str(error))

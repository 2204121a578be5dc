"""Tells the rest of the system what a projection has come to: ``imewe.projected.<name>``.

The body is JSON {"position": int, "keys": [id]}. It is a hint: an announcement can be lost, the
rows are what counts.
"""

import asyncio
from concurrent.futures import Future

import nats.errors
import orjson
import structlog
from nats.aio.client import Client

from ops.projecting.runner import Announcement

log = structlog.get_logger()


class Announcer:
    """Publishes from the runner's thread through the loop's connection; never waits for it."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __call__(self, announcement: Announcement) -> None:
        """Hand over one announcement."""
        body = orjson.dumps({"position": announcement.position, "keys": announcement.keys})
        subject = f"imewe.projected.{announcement.projection}"
        sent = asyncio.run_coroutine_threadsafe(self._client.publish(subject, body), self._loop)
        sent.add_done_callback(_note)


def _note(sent: "Future[None]") -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), nats.errors.Error):
        log.debug("not announced", problem=str(error))

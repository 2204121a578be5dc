"""Alarms that survive a restart: scheduled messages on ``IMEWE_TIMERS`` (nats-server ADR-51).

``imewe.timer.set.<id>`` holds the schedule; when it is due the server writes
``imewe.timer.due.<id>``. Setting again replaces, clearing purges; what fell due while nobody
listened is delivered later. Times are whole seconds, rounded up.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from domain.shared.errors import UnavailableError
from ops import failpoints

STREAM: Final = "IMEWE_TIMERS"
SET: Final = "imewe.timer.set"
DUE: Final = "imewe.timer.due"
PULL_S: Final = 30.0
PATIENCE_S: Final = 5.0

Rang = Callable[[str], Awaitable[None]]
log = structlog.get_logger()


class Timers:
    """On a connection of account LOG. An id is one subject token."""

    def __init__(self, client: Client, *, durable: str = "processes") -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=PATIENCE_S)
        self._durable = durable

    async def set(self, timer_id: str, due: datetime) -> None:
        """Ring at ``due``. Raises ``UnavailableError``."""
        headers = {
            "Nats-Schedule": f"@at {_whole_seconds(due)}",
            "Nats-Schedule-Target": f"{DUE}.{timer_id}",
        }
        try:
            await self._jetstream.publish(f"{SET}.{timer_id}", timer_id.encode(), headers=headers)
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"an alarm could not be set: {problem}") from problem

    async def clear(self, timer_id: str) -> None:
        """Let it not ring, and forget that it rang. Raises ``UnavailableError``."""
        for subject in (SET, DUE):
            await self._purge(f"{subject}.{timer_id}")

    async def listen(self, rang: Rang) -> None:
        """Call ``rang`` with the id of each alarm that goes off, until cancelled.

        An alarm is forgotten when its call has returned; one whose call raises
        ``UnavailableError``, or takes longer than half a minute, rings again.
        """
        config = ConsumerConfig(ack_wait=PULL_S, max_ack_pending=100)
        while True:
            try:
                due = await self._jetstream.pull_subscribe(
                    f"{DUE}.>", durable=self._durable, stream=STREAM, config=config
                )
                while True:
                    messages = await _pull(due.fetch)
                    await asyncio.gather(*(self._hear(message, rang) for message in messages))
            except (nats.errors.Error, OSError) as problem:
                log.info("timers are away", problem=str(problem) or type(problem).__name__)
                await asyncio.sleep(1.0)

    async def _hear(self, message: Msg, rang: Rang) -> None:
        timer_id = message.subject.removeprefix(f"{DUE}.")
        try:
            await rang(timer_id)
            failpoints.reach("processes.alarm.done")
            await message.ack()
            await self._purge(message.subject)
        except UnavailableError as problem:
            log.warning("alarm not heard", timer=timer_id, problem=problem.message)

    async def _purge(self, subject: str) -> None:
        body = json.dumps({"filter": subject}).encode()
        try:
            await self._client.request(f"$JS.API.STREAM.PURGE.{STREAM}", body, timeout=PATIENCE_S)
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"an alarm could not be cleared: {problem}") from problem


async def _pull(fetch: Callable[..., Awaitable[list[Msg]]]) -> list[Msg]:
    try:
        return await fetch(10, timeout=PULL_S)
    except nats.errors.TimeoutError:
        return []


def _whole_seconds(moment: datetime) -> str:
    text = moment.astimezone(UTC)
    if text.microsecond:
        text = text.replace(microsecond=0) + timedelta(seconds=1)
    return text.strftime("%Y-%m-%dT%H:%M:%SZ")

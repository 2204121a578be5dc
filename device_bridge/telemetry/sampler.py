"""Gathers readings into columnar messages, keeps them and hands them to the telemetry feed."""

import asyncio
import sqlite3
from collections import deque
from typing import Any

import structlog

from device_bridge.protocols import TelemetrySample
from device_bridge.telemetry.economy import Economy
from device_bridge.telemetry.outbox import TelemetryOutbox, Waiting
from domain.ports import Clock, TelemetryFeed
from domain.shared.errors import ImeweError

BATCH_S = 1.0
MOST_READINGS = 1000
MOST_UNKEPT = 600
RETRY_S = 2.0


class Sampler:
    """Batches of at most 1 s and 1000 readings: ``{node_id, build_id, epoch, seq, channels,
    t, c, v}`` where reading i is channel ``channels[c[i]]`` with value ``v[i]`` at ``t[i]``
    (Unix ms). They wait in the outbox until the feed has them; ``gap`` in a message counts the
    readings lost before it. While the disk is full 600 batches wait in memory, then the oldest
    goes.
    """

    def __init__(
        self,
        node_id: str,
        *,
        outbox: TelemetryOutbox,
        feed: TelemetryFeed,
        clock: Clock,
        economy: Economy | None = None,
    ) -> None:
        self._build_id = ""
        self._node_id = node_id
        self._outbox = outbox
        self._feed = feed
        self._clock = clock
        self._economy = economy
        self._gap = 0
        self._index: dict[str, int] = {}
        self._t: list[int] = []
        self._c: list[int] = []
        self._v: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unkept: deque[dict[str, Any]] = deque()
        self._keeping = asyncio.Lock()
        self._fresh = asyncio.Event()
        self._kept = asyncio.Event()
        self._log = structlog.get_logger("bridge.telemetry").bind(node_id=node_id)

    def belongs_to(self, build_id: str) -> None:
        """Readings from now on are of this build (none: of the machine at rest)."""
        self.flush()
        self._build_id = build_id

    def take(self, sample: TelemetrySample) -> None:
        """Add the readings of one moment."""
        now = int(self._clock.now().timestamp() * 1000)
        metrics = sample.metrics
        if self._economy is not None:
            metrics = self._economy.worth(metrics, at=now, building=bool(self._build_id))
        for name, value in metrics.items():
            self._t.append(now)
            self._c.append(self._index.setdefault(name, len(self._index)))
            self._v.append(value)
        if len(self._t) + len(sample.metrics) > MOST_READINGS:
            self.flush()
        elif self._t and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Close the batch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._t:
            return
        if len(self._unkept) >= MOST_UNKEPT:
            oldest = self._unkept.popleft()
            self._gap += len(oldest["t"]) + oldest.get("gap", 0)
        self._unkept.append(self._message())
        self._t, self._c, self._v, self._index = [], [], [], {}
        self._fresh.set()

    async def run(self) -> None:
        """Keep and publish for ever; cancel to stop, and what is left is kept."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_all())
                group.create_task(self._publish_all())
        finally:
            self.flush()
            await self._keep()

    async def _keep_all(self) -> None:
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            if not await self._keep():
                await asyncio.sleep(RETRY_S)
                self._fresh.set()

    async def _keep(self) -> bool:
        """False when the disk takes nothing; then all of it still waits in memory.

        What is on its way to the disk goes on when this is cancelled, else it were kept twice.
        """
        return await asyncio.shield(asyncio.ensure_future(self._keep_once()))

    async def _keep_once(self) -> bool:
        async with self._keeping:
            return await self._put()

    async def _put(self) -> bool:
        messages = list(self._unkept)
        if not messages:
            return True
        try:
            await self._outbox.put(self._node_id, messages)
        except sqlite3.Error as problem:
            self._log.error("telemetry_not_kept", batches=len(messages), problem=str(problem))
            return False
        for message in messages:
            if self._unkept and self._unkept[0] is message:
                self._unkept.popleft()
        self._kept.set()
        return True

    async def _publish_all(self) -> None:
        done: Waiting | None = None
        while True:
            self._kept.clear()
            try:
                waiting = await self._outbox.following(self._node_id, done=done)
            except sqlite3.Error as problem:
                self._log.error("telemetry_unreadable", problem=str(problem))
                await asyncio.sleep(RETRY_S)
                continue
            done = None
            if waiting is None:
                await self._kept.wait()
                continue
            await self._publish(waiting)
            done = waiting

    async def _publish(self, waiting: Waiting) -> None:
        while True:
            try:
                await self._feed.publish(self._node_id, waiting.message)
                return
            except (ImeweError, TimeoutError, OSError) as problem:
                self._log.info("telemetry_waits", problem=str(problem))
                await asyncio.sleep(RETRY_S)

    def _message(self) -> dict[str, Any]:
        gap, self._gap = self._gap, 0
        message: dict[str, Any] = {
            "build_id": self._build_id,
            "channels": list(self._index),
            "t": self._t,
            "c": self._c,
            "v": self._v,
        }
        return {**message, "gap": gap} if gap else message

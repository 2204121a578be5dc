"""Gathers readings into columnar messages and hands them to the telemetry feed."""

import asyncio
from collections import deque
from typing import Any

import structlog

from device_bridge.protocols import TelemetrySample
from domain.ports import Clock, TelemetryFeed
from domain.shared.errors import ImeweError

BATCH_S = 1.0
MOST_READINGS = 1000
MOST_WAITING = 600


class Sampler:
    """Batches of at most 1 s and 1000 readings: ``{node_id, build_id, epoch, seq, channels,
    t, c, v}`` where reading i is channel ``channels[c[i]]`` with value ``v[i]`` at ``t[i]``
    (Unix ms). While the feed is away 600 batches wait; then the oldest goes and ``gap`` in the
    next message counts the readings lost.
    """

    def __init__(self, node_id: str, *, epoch: int, feed: TelemetryFeed, clock: Clock) -> None:
        self._build_id = ""
        self._node_id = node_id
        self._epoch = epoch
        self._feed = feed
        self._clock = clock
        self._seq = 0
        self._gap = 0
        self._index: dict[str, int] = {}
        self._t: list[int] = []
        self._c: list[int] = []
        self._v: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[dict[str, Any]] = deque()
        self._ready = asyncio.Event()
        self._log = structlog.get_logger("bridge.telemetry").bind(node_id=node_id)

    def belongs_to(self, build_id: str) -> None:
        """Readings from now on are of this build (none: of the machine at rest)."""
        self.flush()
        self._build_id = build_id

    def take(self, sample: TelemetrySample) -> None:
        """Add the readings of one moment."""
        now = int(self._clock.now().timestamp() * 1000)
        for name, value in sample.metrics.items():
            self._t.append(now)
            self._c.append(self._index.setdefault(name, len(self._index)))
            self._v.append(value)
        if len(self._t) + len(sample.metrics) > MOST_READINGS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Close the batch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._t:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._gap += len(self._waiting.popleft()["t"])
        self._waiting.append(self._message())
        self._t, self._c, self._v, self._index = [], [], [], {}
        self._ready.set()

    async def run(self) -> None:
        """Publish for ever; cancel to stop."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting:
                await self._publish()

    async def _publish(self) -> None:
        message = self._waiting[0]
        try:
            await self._feed.publish(self._node_id, message)
        except (ImeweError, TimeoutError, OSError) as problem:
            self._log.info("telemetry_waits", batches=len(self._waiting), problem=str(problem))
            await asyncio.sleep(2.0)
            return
        if self._waiting and self._waiting[0] is message:
            self._waiting.popleft()

    def _message(self) -> dict[str, Any]:
        self._seq += 1
        gap, self._gap = self._gap, 0
        message: dict[str, Any] = {
            "node_id": self._node_id,
            "build_id": self._build_id,
            "epoch": self._epoch,
            "seq": self._seq,
            "channels": list(self._index),
            "t": self._t,
            "c": self._c,
            "v": self._v,
        }
        return {**message, "gap": gap} if gap else message

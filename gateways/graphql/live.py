"""Who waits for what: wake-ups by committed rows, and the newest telemetry.

The gateway holds one subscription per subject, however many clients watch. A wake-up carries no
data: whoever wakes reads the newest committed row, so that a client who is slow misses states in
between and never the last one.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

TELEMETRY_EVERY_S = 0.25
"""People see no more, and a machine that is read a thousand times a second floods no browser."""
LOOK_AGAIN_S = 30.0
"""A wake-up that got lost delays nobody for longer."""

Readings = dict[str, Any]
EVERYTHING = ""


class TelemetrySource(Protocol):
    """Where samples come from."""

    async def follow(
        self, node_id: str, take: Callable[[Readings], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call ``take`` with every columnar message of a node, until the answer is called."""


class Watch:
    """One waiter. What happens between two looks wakes it once."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be new."""
        self._woken.set()

    async def changed(self, *, within_s: float = LOOK_AGAIN_S) -> None:
        """Wait until something may be new, or the time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._woken.wait()
        self._woken.clear()


class Tap:
    """One client's view of a node's telemetry: the newest of each channel, four times a second."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, float | None]] = {}
        self._head: Readings = {}
        self._filled = asyncio.Event()
        self.dropped = 0

    def take(self, readings: Readings) -> None:
        """Take over what is newest; readings that nobody saw are counted."""
        channels, times, values = readings["channels"], readings["t"], readings["v"]
        last = dict(zip(readings["c"], range(len(times)), strict=True))
        self.dropped += len(times) - len(last)
        for code, index in last.items():
            self.dropped += channels[code] in self._newest
            self._newest[channels[code]] = times[index], values[index]
        self._head = {name: readings.get(name) for name in ("node_id", "build_id", "epoch", "seq")}
        self._filled.set()

    async def messages(self) -> AsyncIterator[Readings]:
        """Columnar messages for ever; what comes within a quarter of a second is one."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            newest, self._newest = self._newest, {}
            yield {
                **self._head,
                "channels": list(newest),
                "c": list(range(len(newest))),
                "t": [at for at, _ in newest.values()],
                "v": [value for _, value in newest.values()],
            }
            await asyncio.sleep(TELEMETRY_EVERY_S)


class LiveHub:
    """All waiters of one gateway process."""

    def __init__(self, telemetry: TelemetrySource) -> None:
        self._telemetry = telemetry
        self._watches: defaultdict[tuple[str, str], set[Watch]] = defaultdict(set)
        self._taps: defaultdict[str, set[Tap]] = defaultdict(set)
        self._followed: dict[str, Callable[[], Awaitable[None]]] = {}
        self._turn = asyncio.Lock()

    def announce(self, projection: str, keys: Iterable[str]) -> None:
        """A projection committed rows with these keys; without any, all may have changed."""
        known = list(keys)
        for (watched, key), watches in self._watches.items():
            if watched == projection and (not known or key == EVERYTHING or key in known):
                for watch in watches:
                    watch.wake()

    def wake_all(self) -> None:
        """Announcements may have been missed."""
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    @contextlib.contextmanager
    def watching(self, projection: str, key: str = EVERYTHING) -> Iterator[Watch]:
        """Be woken when rows of this key, or any rows, are committed."""
        watch = Watch()
        self._watches[projection, key].add(watch)
        try:
            yield watch
        finally:
            self._watches[projection, key].discard(watch)
            if not self._watches[projection, key]:
                del self._watches[projection, key]

    @contextlib.asynccontextmanager
    async def tapping(self, node_id: str) -> AsyncIterator[Tap]:
        """Receive a node's telemetry; the first client subscribes, the last one leaves."""
        tap = Tap()
        await self._join(node_id, tap)
        try:
            yield tap
        finally:
            await asyncio.shield(self._leave(node_id, tap))

    async def _join(self, node_id: str, tap: Tap) -> None:
        async with self._turn:
            taps = self._taps[node_id]
            taps.add(tap)
            if node_id not in self._followed:

                def take(readings: Readings) -> None:
                    for each in taps:
                        each.take(readings)

                self._followed[node_id] = await self._telemetry.follow(node_id, take)

    async def _leave(self, node_id: str, tap: Tap) -> None:
        async with self._turn:
            self._taps[node_id].discard(tap)
            if not self._taps[node_id]:
                del self._taps[node_id]
                await self._followed.pop(node_id)()

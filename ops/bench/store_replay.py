"""The full replay: how fast it is by the clock, and how much processor time it takes on both sides.

A reader and its server run at the same time on different cores, so the clock alone would not say
what one core can do: events per second of processor time do, of both processes together.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise
from multiprocessing import get_context
from typing import NamedTuple, Protocol

import psutil

from ops.bench.result import BenchResult, Figure
from ops.bench.store_sides import Ours, Side
from ops.eventstore.streams import LogNames
from ops.eventstore.wire import Address

READERS = 2
LEAST = 0.5


class Server(Protocol):
    """A server that is a child of this process."""

    @property
    def pid(self) -> int | None: ...


class Round(NamedTuple):
    """Seconds of one replay: by the clock, and of the processor in the reader and its server."""

    wall: float
    reader: float
    server: float


class Replay:
    """Replays all events of a log on both sides."""

    def __init__(self, nats: Server, postgres: Server, *, events: int, rounds: int) -> None:
        self._servers = (nats, postgres)
        self._events = events
        self._rounds = rounds

    def run(self, ours: Ours, theirs: Side, *, address: Address, names: LogNames) -> BenchResult:
        """Rounds in turns, then readers at the same time."""
        sides = (ours, theirs)
        rounds: tuple[list[Round], list[Round]] = ([], [])
        for _ in range(self._rounds + 1):
            for side, server, found in zip(sides, self._servers, rounds, strict=True):
                found.append(self._round(side, server))
        parallel = [self._parallel(address, names) for _ in range(self._rounds)]
        return self._result((ours.label, theirs.label), (rounds[0][1:], rounds[1][1:]), parallel)

    def _round(self, side: Side, server: Server) -> Round:
        before, reader, begun = _spent(server), time.process_time(), time.perf_counter()
        side.replay(1, self._events)
        wall, reader = time.perf_counter() - begun, time.process_time() - reader
        after = _spent(server)
        grown = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
        return Round(wall, reader, grown)

    def _result(
        self,
        labels: tuple[str, str],
        rounds: tuple[Sequence[Round], Sequence[Round]],
        parallel: Sequence[float],
    ) -> BenchResult:
        per_core = [
            self._figure(
                f"{label}, reader and server",
                "events per second of processor time",
                [each.reader + each.server for each in side],
            )
            for label, side in zip(labels, rounds, strict=True)
        ]
        clock = [
            self._figure(f"{label}, one reader", "events/s", [each.wall for each in side])
            for label, side in zip(labels, rounds, strict=True)
        ]
        shares = [
            Figure(
                label=f"{label}, the {Round._fields[part]} alone",
                unit="us of processor time an event",
                runs=[each[part] / self._events * 1e6 for each in side],
            )
            for label, side in zip(labels, rounds, strict=True)
            for part in (1, 2)
        ]
        readers = Figure(label=f"ours, {READERS} readers", unit="events/s", runs=parallel)
        ratio = per_core[0].median / per_core[1].median
        by_clock = clock[0].median / clock[1].median
        faster = readers.median > clock[0].median
        return BenchResult(
            name="replay",
            what=f"Read, decode and fold all {self._events:,} events of a log.",
            figures=(*per_core, *clock, readers, *shares),
            goal=f"at least {LEAST:g} times as fast per core; parallel readers faster than one",
            met=min(ratio, by_clock) >= LEAST and faster,
            ratio=ratio,
            notes=(
                f"by the clock, reader and server side by side: {by_clock:.2f} times",
                f"{READERS} readers against the one of PostgreSQL: "
                f"{readers.median / clock[1].median:.2f} times",
                "our events come with their envelope and two hashes, and may be verified",
            ),
        )

    def _figure(self, label: str, unit: str, seconds: Sequence[float]) -> Figure:
        return Figure(label=label, unit=unit, runs=[self._events / each for each in seconds])

    def _parallel(self, address: Address, names: LogNames) -> float:
        """Events per second by readers in processes of their own, started before the clock."""
        bounds = [self._events * each // READERS for each in range(READERS + 1)]
        spawning = get_context("spawn")
        with ProcessPoolExecutor(READERS, mp_context=spawning) as pool:
            list(pool.map(_reader, [(address, names, 1, 1)] * READERS))
            begun = time.perf_counter()
            parts = [(address, names, a + 1, b) for a, b in pairwise(bounds)]
            count = sum(pool.map(_reader, parts))
            took = time.perf_counter() - begun
        if count != self._events:
            raise ValueError(f"{count} of {self._events} events were read")
        return self._events / took


def _reader(part: tuple[Address, LogNames, int, int]) -> int:
    address, names, first, last = part
    with closing(Ours(address, names)) as ours:
        return ours.replay(first, last)


def _spent(server: Server) -> dict[int, float]:
    """Seconds of the processor that each process of a server has taken, by its pid."""
    found: dict[int, float] = {}
    parent = psutil.Process(server.pid)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's workers come and go
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found

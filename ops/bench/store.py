"""The event store: our recorder and mapper against the library's PostgreSQL recorder and mapper.

Both servers are embedded ones of this bench's own, on the same disk, both synced before they
acknowledge. Rounds are interleaved, so that a neighbour's load meets both sides alike; the first
round of each warms up and does not count.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from domain.build.aggregate import Build
from ops.bench.result import BenchResult, Figure
from ops.bench.servers import servers_in
from ops.bench.store_cluster import Cluster
from ops.bench.store_replay import Replay
from ops.bench.store_sides import Ours, Side, Theirs, progressed, ready_frames
from ops.database.server import EmbeddedPostgres
from ops.eventstore.client import Client, read_answer
from ops.eventstore.streams import LogNames, ensure_streams, events_config, snapshots_config
from ops.eventstore.wire import Address
from ops.hosting.home import make_home
from ops.messaging.server import EmbeddedNats, credentials

WRITERS = 16
BATCH = 10
LOADED_EVENTS = 50
SHORT_LOG = 1_000
FILL = 1_000


def run(
    folder: Path, *, rounds: int = 5, saves: int = 200, long_log: int = 400_000
) -> list[BenchResult]:
    """Measure on servers in a home inside ``folder``, on the disk that is meant.

    ``long_log``: events in the log of which one aggregate is loaded and all are replayed.
    """
    home = make_home(folder / "home")
    with servers_in(home) as (nats, postgres):
        bench = Bench(home, nats, postgres, rounds=rounds)
        return [
            *bench.saving(saves),
            bench.three_replicas(folder, saves),
            *bench.long(long_log),
        ]


class Bench:
    """Both sides on servers that run."""

    def __init__(
        self, home: Path, nats: EmbeddedNats, postgres: EmbeddedPostgres, *, rounds: int
    ) -> None:
        self._nats = nats
        self._postgres = postgres
        self._passwords = credentials(home)
        self._conninfo = postgres.url
        self._rounds = rounds

    def saving(self, saves: int) -> list[BenchResult]:
        """One event by one writer, by sixteen, and ten events in one save."""
        with self._ours(LogNames()) as ours, closing(Theirs(self._conninfo, table="saved")) as it:
            alone = self._server_alone(saves, at_once=1)
            alone_batch = self._server_alone(saves // BATCH, at_once=BATCH)
            return [
                _compared(
                    "append, 1 writer",
                    f"One writer saves single events, each durable before the next; {saves} per"
                    " round, with hash, envelope and mapper.",
                    self._in_turns(ours, it, lambda side: _single(side, saves)),
                    goal=3.5,
                    alone=alone,
                ),
                _compared(
                    f"append, {WRITERS} writers",
                    f"{WRITERS} threads save single events to aggregates of their own, {saves}"
                    " in all per round.",
                    self._in_turns(ours, it, lambda side: _together(side, saves)),
                    goal=2.5,
                ),
                _compared(
                    f"save of {BATCH}, 1 replica",
                    f"One writer saves {BATCH} events at once; {saves // BATCH} saves per round.",
                    self._in_turns(ours, it, lambda side: _batches(side, saves // BATCH)),
                    goal=0.6,
                    alone=alone_batch,
                ),
            ]

    def _server_alone(self, saves: int, *, at_once: int) -> list[float]:
        """Seconds of each round in which frames that were made before are published: the bound."""
        rounds = []
        with closing(Client(self._address("log_commands"))) as client:
            for _ in range(self._rounds):
                frames = ready_frames(saves, at_once=at_once)
                begun = time.perf_counter()
                for each in frames:
                    read_answer(client.publish(each))
                rounds.append(time.perf_counter() - begun)
        return rounds

    def three_replicas(self, folder: Path, saves: int) -> BenchResult:
        """Ten events at once on three servers against PostgreSQL's one."""
        with Cluster(folder / "cluster") as cluster:
            ours = Ours(cluster.address)
            with closing(ours), closing(Theirs(self._conninfo, table="three")) as theirs:
                rounds = self._in_turns(ours, theirs, lambda each: _batches(each, saves // BATCH))
        return _compared(
            f"save of {BATCH}, 3 replicas",
            f"One writer saves {BATCH} events at once on a cluster of three nats-servers, all on"
            " this machine, against one PostgreSQL.",
            rounds,
            goal=1.0,
        )

    def long(self, events: int) -> list[BenchResult]:
        """Loading from and replaying a long log."""
        short_names, long_names = _named("short"), _named("long")
        with (
            self._ours(short_names) as short,
            self._ours(long_names) as long,
            closing(Theirs(self._conninfo, table="long_log")) as theirs,
        ):
            in_short = _fill([short], SHORT_LOG)
            in_long = _fill([long, theirs], events)
            loading = self._loading(short, in_short, long, in_long, events)
            replay = Replay(self._nats, self._postgres, events=events, rounds=self._rounds)
            address = self._address("log_commands")
            return [loading, replay.run(long, theirs, address=address, names=long_names)]

    def _loading(
        self, short: Ours, in_short: UUID, long: Ours, in_long: UUID, events: int
    ) -> BenchResult:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._rounds + 1):
            for side, aggregate, found in zip(
                (long, short), (in_long, in_short), times, strict=True
            ):
                begun = time.perf_counter()
                for _ in range(20):
                    assert side.load(aggregate) == LOADED_EVENTS  # noqa: S101 - a bench that lies
                found.append((time.perf_counter() - begun) * 1000 / 20)
        figures = (
            Figure(label=f"in a log of {events:,}", unit="ms per load", runs=times[0][1:]),
            Figure(label=f"in a log of {SHORT_LOG:,}", unit="ms per load", runs=times[1][1:]),
        )
        ratio = figures[0].median / figures[1].median
        return BenchResult(
            name="load",
            what=f"Load an aggregate of {LOADED_EVENTS} events spread evenly over the log.",
            figures=figures,
            goal="at most 2 times the time in the short log",
            met=ratio <= 2,
            ratio=ratio,
        )

    def _in_turns(
        self, ours: Side, theirs: Side, work: Callable[[Side], object]
    ) -> tuple[list[float], list[float]]:
        """Seconds of each round of both sides."""
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._rounds + 1):
            for side, found in zip((ours, theirs), times, strict=True):
                begun = time.perf_counter()
                work(side)
                found.append(time.perf_counter() - begun)
        return times[0][1:], times[1][1:]

    @contextmanager
    def _ours(self, names: LogNames) -> Iterator[Ours]:
        with closing(Client(self._address("log_supervisor"))) as supervisor:
            ensure_streams(supervisor, [events_config(names), snapshots_config(names)])
        with closing(Ours(self._address("log_commands"), names)) as ours:
            yield ours

    def _address(self, user: str) -> Address:
        return Address(
            host="127.0.0.1", port=self._nats.port, user=user, password=self._passwords[user]
        )


def _named(word: str) -> LogNames:
    return LogNames(
        stream=f"BENCH_{word.upper()}",
        subjects=f"bench.{word}.events",
        live=f"live.imewe.events.bench.{word}",
        snapshot_stream=f"BENCH_{word.upper()}_SNAPSHOTS",
        snapshot_subjects=f"bench.{word}.snapshots",
    )


def _single(side: Side, saves: int) -> None:
    aggregate = uuid4()
    for version in range(1, saves + 1):
        side.save([progressed(aggregate, version)])


def _together(side: Side, saves: int) -> None:
    threads = [
        threading.Thread(target=_single, args=(side, saves // WRITERS)) for _ in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _batches(side: Side, saves: int) -> None:
    aggregate = uuid4()
    for number in range(saves):
        first = number * BATCH + 1
        side.save([progressed(aggregate, first + at) for at in range(BATCH)])


def _fill(sides: Sequence[Side], events: int) -> UUID:
    """Fill logs with the same events, among them one aggregate's, spread evenly."""
    wanted = uuid4()
    step = events // LOADED_EVENTS
    version = 0
    batch: list[Build.Progressed] = []
    others = uuid4()
    other_version = 0
    for number in range(events):
        if number % step == 0 and version < LOADED_EVENTS:
            version += 1
            batch.append(progressed(wanted, version))
        else:
            if other_version == 40:
                others, other_version = uuid4(), 0
            other_version += 1
            batch.append(progressed(others, other_version))
        if len(batch) == FILL or number == events - 1:
            for side in sides:
                side.save(batch)
            batch = []
    return wanted


def _compared(
    name: str,
    what: str,
    rounds: tuple[list[float], list[float]],
    *,
    goal: float,
    alone: Sequence[float] = (),
) -> BenchResult:
    """``alone``: rounds of the server with no client of ours, which bound what we can reach."""
    figures = tuple(
        Figure(label=label, unit="s per round", runs=runs)
        for label, runs in zip((Ours.label, Theirs.label), rounds, strict=True)
    )
    notes = ["both sync to the same disk before they answer"]
    if alone:
        label = "nats-server alone, frames made before"
        figures = (*figures, Figure(label=label, unit="s per round", runs=alone))
        bound = figures[1].median / figures[2].median
        notes.append(f"nats-server alone bounds the ratio at {bound:.2f}")
    ratio = figures[1].median / figures[0].median
    return BenchResult(
        name=name,
        what=what,
        figures=figures,
        goal=f"at least {goal:g} times as fast",
        met=ratio >= goal,
        ratio=ratio,
        notes=notes,
    )

"""Projecting: our runner against the library's own, same events, same view, in turns.

The library's ``ProjectionRunner`` with its ``PostgresTrackingRecorder`` handles one event in one
transaction, as its documentation shows. Both read the same JetStream log, write to the same
PostgreSQL and commit alike (``synchronous_commit`` on), and what they wrote is compared.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

from psycopg import sql

from commands.application import Imewe
from domain.build.aggregate import Build, RunFigures
from domain.build.states import BuildStatus
from domain.shared.identifiers import build_id
from domain.shared.recorded import RecordedEvent
from ops.bench.projecting_peer import PeerProjection, status_after
from ops.bench.result import BenchResult, Figure
from ops.bench.servers import Servers, envelope, servers_in
from ops.clock import SystemClock
from ops.database.connection import connect
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import ensure_streams
from ops.messaging.server import EmbeddedNats
from ops.prepare import prepare_database
from ops.projecting.places import Connection
from ops.projecting.runner import Announcement, Runner
from ops.settings import Settings
from projections.catalogue import CATALOGUE
from projections.projection import Projection, topics_of
from projections.rows import Need, Rows
from projections.table import Past, Table

GOAL = 20.0
BUILDS = 200
EVENTS_PER_BUILD = 20
EVENTS = BUILDS * EVENTS_PER_BUILD
PATIENCE_S = 120.0
FIGURES = RunFigures(
    duration_ms=60_000, energy_j=900, energy_source="none", material_mm3=80, material_mg=99
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchedRow:
    """The view of both sides."""

    id: str
    status: str
    percent: int
    version: int


BENCHED = Table(BenchedRow, "benched", ("id",), past=Past.NONE)


class Benched(Projection):
    """The same rows as ``PeerProjection``, in our way."""

    name = "benched"
    version = 1
    topics = topics_of(Build)
    tables = (BENCHED,)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        return [Need(BENCHED, ("id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        row_id = str(recorded.aggregate_id)
        new = BenchedRow(id=row_id, status=BuildStatus.PLANNED.value, percent=0, version=0)
        row = rows.find(BENCHED, row_id) or new
        event = recorded.event
        percent = event.percent if isinstance(event, Build.Progressed) else row.percent
        status = status_after(event, row.status)
        rows.put(BENCHED, replace(row, version=recorded.version, status=status, percent=percent))
        rows.touch(row_id)


def run(folder: Path, *, rounds: int = 3) -> list[BenchResult]:
    """Measure on servers of its own in ``folder``; the first round warms up."""
    settings = Settings(home=folder / "home")
    with servers_in(settings.home) as (nats, _):
        return [_measure(Bench(settings, nats), rounds)]


class Bench(Servers):
    """The two sides over one log and one database."""

    def __init__(self, settings: Settings, nats: EmbeddedNats) -> None:
        super().__init__(settings, nats)
        prepare_database(settings)
        with closing(self.client("log_supervisor")) as client:
            ensure_streams(client)
        self._write_log()

    def ours(self, projections: Iterable[Projection]) -> float:
        """Events per second through our runner, its start included.

        A projection that folds nothing of this log says nothing either; it is not waited for.
        """
        chosen = list(projections)
        left = {each.name for each in chosen if each.topics & Benched.topics}
        done = threading.Event()

        def arrived(said: Announcement) -> None:
            if said.position >= EVENTS:
                left.discard(said.projection)
            if not left:
                done.set()

        with self.database() as admin:
            _forget(admin, chosen)
        with closing(self.client("projections")) as client:
            reader = LogReader.through_import(client)
            connecting = partial(connect, self.settings, autocommit=True)
            runner = Runner(reader, chosen, connect=connecting, announce=arrived)
            thread = threading.Thread(target=runner.run)
            begun = time.perf_counter()
            thread.start()
            arrived_in_time = done.wait(PATIENCE_S)
            took = time.perf_counter() - begun
            runner.stop()
            reader.close()
            thread.join()
        if not arrived_in_time:
            raise TimeoutError(f"our runner did not project {sorted(left)} in {PATIENCE_S:g} s")
        return EVENTS / took

    def theirs(self) -> float:
        """Events per second through the library's runner, its start included."""
        with self.database() as admin:
            admin.execute("DROP TABLE IF EXISTS peer_view, peerprojection_tracking")
        begun = time.perf_counter()
        with PeerProjection.runner(self.environment(PeerProjection.name.upper())) as runner:
            runner.wait(EVENTS, timeout=PATIENCE_S)
            took = time.perf_counter() - begun
        return EVENTS / took

    def equal(self) -> bool:
        """Whether both sides wrote the same rows."""
        with self.database() as admin:
            columns = "id, status, percent, version"
            ours = admin.execute(f"SELECT {columns} FROM benched_v1.benched ORDER BY id".encode())
            theirs = admin.execute(f"SELECT {columns} FROM peer_view ORDER BY id".encode())
            found = ours.fetchall()
            return len(found) == BUILDS and found == theirs.fetchall()

    def _write_log(self) -> None:
        application = Imewe(self.environment(PeerProjection.name.upper()))
        recorded_with = envelope(SystemClock().now())
        for number in range(BUILDS):
            application.record(_a_build(number), envelope=recorded_with)
        application.close()


def _a_build(number: int) -> Build:
    build = Build.plan(
        build_id(UUID(int=number), 1),
        organisation_id="workshop",
        job_id=f"job {number}",
        dispatch_id=str(UUID(int=number)),
        attempt=1,
        node_id=f"node {number % 10}",
        pieces=[{"part_id": f"part {number}", "piece": 0}],
        program={"digest": "ab" * 32, "size": 1000, "format": "gcode", "name": "box.gcode"},
        material="PLA",
        duration_ms=60_000,
        material_mm3=80,
        material_mg=99,
    )
    build.reserve(epoch=1, inventory_id="lot")
    build.send()
    build.accept(node_id=build.node_id, epoch=1, bridge="local")
    build.start(epoch=1)
    for percent in range(5, 70, 5):
        build.progress(percent)
    build.finish(FIGURES)
    build.inspect(passed=True, by="service/processes")
    return build


def _forget(admin: Connection, projections: list[Projection]) -> None:
    for each in projections:
        name = f"{each.name}_v{each.version}"
        admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
        admin.execute("DELETE FROM imewe.projections WHERE name = %s", [each.name])
        admin.execute("DELETE FROM imewe.positions WHERE schema = %s", [name])


def _measure(bench: Bench, rounds: int) -> BenchResult:
    ours, theirs, everything = [], [], []
    for _ in range(rounds + 1):
        ours.append(bench.ours([Benched()]))
        theirs.append(bench.theirs())
        everything.append(bench.ours(CATALOGUE))
    same = bench.equal()
    figures = (
        Figure(label="our runner", unit="events/s", runs=ours[1:]),
        Figure(label="the library's runner", unit="events/s", runs=theirs[1:]),
        Figure(
            label=f"our runner, all {len(CATALOGUE)} projections",
            unit="events/s",
            runs=everything[1:],
        ),
    )
    ratio = figures[0].median / figures[1].median
    return BenchResult(
        name="projecting",
        what=f"{EVENTS} events of {BUILDS} builds into one view, from an empty one.",
        figures=figures,
        goal=f"at least {GOAL:g} times as fast as the library",
        met=same and ratio >= GOAL,
        ratio=ratio,
        notes=(
            "both read the same JetStream log and commit durably to the same PostgreSQL",
            f"the rows of both are {'equal' if same else 'NOT equal'}",
        ),
    )

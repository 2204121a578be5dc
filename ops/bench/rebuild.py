"""Rebuilding the jobs: our builder against the library's runner, same events, same view, in turns.

The library's ``ProjectionRunner`` handles one event in one transaction, as its documentation
shows, and writes it with the statements of our runner. Both read the same JetStream log and write
the same tables to the same PostgreSQL, and what they wrote is compared. Each of its commits waits
for the disk, as those of a view that is read must; ours wait once, when the candidate is whole.
"""

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from commands.application import Imewe
from domain.build.aggregate import Build, RunFigures
from domain.dispatch.aggregate import Dispatch
from domain.job.aggregate import Job
from domain.part.aggregate import Part
from domain.shared.identifiers import build_id, derived, dispatch_id, part_id
from domain.shared.recorded import RecordedEvent
from ops.bench import rebuild_peer as peer
from ops.bench.result import BenchResult, Figure
from ops.bench.servers import Servers, envelope, servers_in
from ops.eventstore.envelope import event_id
from ops.eventstore.jetstream import environment_of
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import ensure_streams
from ops.messaging.server import EmbeddedNats
from ops.prepare import prepare_database
from ops.projecting.places import Connection
from ops.projecting.rebuild import rebuild
from ops.settings import Settings
from projections.jobs.projector import Jobs

GOAL_LIVE, GOAL_PAST = 30.0, 20.0
ORDERS = 200
ROUNDS = 5
PATIENCE_S = 600.0
BEGAN = datetime(2026, 11, 22, tzinfo=UTC)
FILE = {"digest": "ab" * 32, "size": 1000, "format": "gcode", "name": "box.gcode"}
FIGURES = RunFigures(
    duration_ms=60_000, energy_j=900, energy_source="none", material_mm3=80, material_mg=99
)
ENVELOPE = envelope(BEGAN)


class LiveOnly(Jobs):
    """The jobs without their histories."""

    name = "jobs_live"
    keeps_past = False


def run(folder: Path, *, orders: int = ORDERS, rounds: int = ROUNDS) -> list[BenchResult]:
    """Measure on servers of its own in ``folder``."""
    settings = Settings(home=folder / "home")
    with servers_in(settings.home) as (nats, _):
        bench = Bench(settings, nats, orders=orders)
        return [
            bench.measure(LiveOnly(), rounds, past=False, goal=GOAL_LIVE),
            bench.measure(Jobs(), rounds, past=True, goal=GOAL_PAST),
        ]


class Bench(Servers):
    """The two sides over one log and one database."""

    def __init__(self, settings: Settings, nats: EmbeddedNats, *, orders: int) -> None:
        super().__init__(settings, nats)
        prepare_database(settings)
        with closing(self.client("log_supervisor")) as client:
            ensure_streams(client)
        application = Imewe(environment_of(self.address("log_commands")))
        for number in range(orders):
            self._events = _order(application, number)
        application.close()
        self._orders = orders

    def measure(self, projection: Jobs, rounds: int, *, past: bool, goal: float) -> BenchResult:
        """Both sides in turns; the first of ours warms up."""
        self.ours(projection)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(self.ours(projection))
            theirs.append(self.theirs(past=past))
        same = self.equal(projection, past=past)
        figures = (
            Figure(label="our builder", unit="events/s", runs=ours),
            Figure(label="the library's runner", unit="events/s", runs=theirs),
        )
        ratio = figures[0].median / figures[1].median
        kept = "with history" if past else "live tables only"
        return BenchResult(
            name=f"rebuild, {kept}",
            what=f"{self._events} events of {self._orders} orders into the jobs projection.",
            figures=figures,
            goal=f"at least {goal:g} times as fast as the library",
            met=same and ratio >= goal,
            ratio=ratio,
            notes=(
                "the library's side folds with the same code and writes with our runner's"
                " statements, one event a transaction; each of its commits waits for the disk, as"
                " those of a view that is read must, and ours once, when the candidate is whole",
                f"the rows of both are {'equal' if same else 'NOT equal'}",
            ),
        )

    def ours(self, projection: Jobs) -> float:
        """Events per second, the schema and its indexes included."""
        with self.database() as connection, closing(self.client("projections")) as client:
            reader = LogReader.through_import(client)
            try:
                begun = time.perf_counter()
                made = rebuild(connection, reader, projection)
                return made.events / (time.perf_counter() - begun)
            finally:
                reader.close()

    def theirs(self, *, past: bool) -> float:
        """Events per second, the schema included."""
        with self.database() as admin:
            admin.execute(f"DROP SCHEMA IF EXISTS {peer.PEER} CASCADE".encode())
            admin.execute("DROP TABLE IF EXISTS peerjobs_tracking")
        peer.PeerJobs.recorded = staticmethod(recorded)
        begun = time.perf_counter()
        with peer.runner(self.environment(peer.PeerProjection.name.upper()), past=past) as runner:
            runner.wait(self._events, timeout=PATIENCE_S)
            return self._events / (time.perf_counter() - begun)

    def equal(self, projection: Jobs, *, past: bool) -> bool:
        """Whether both sides wrote the same rows."""
        with self.database() as admin:
            row = admin.execute(
                "SELECT schema FROM imewe.projections WHERE name = %s", [projection.name]
            ).fetchone()
            schema = row[0] if row else ""
            names = [table.name for table in projection.tables]
            names += [f"{table.name}_history" for table in projection.tables if table.history]
            return all(
                _rows(admin, schema, name) == _rows(admin, peer.PEER, name)
                for name in names
                if past or not name.endswith("_history")
            )


def recorded(event: Any, position: int) -> RecordedEvent:
    """What the library read, with the envelope that it drops."""
    topic = type(event).TOPIC
    return RecordedEvent(
        event=event,
        envelope=ENVELOPE,
        position=position,
        kind=topic.partition(":")[0].removeprefix("imewe."),
        aggregate_id=event.originator_id,
        version=event.originator_version,
        event_id=event_id(str(event.originator_id), event.originator_version),
        recorded_at=BEGAN,
        stored_at=BEGAN,
        topic=topic,
        schema_version=1,
        previous_hash="",
        hash="",
        body=b"",
    )


def _rows(connection: Connection, schema: str, name: str) -> list[Any]:
    statement = f"SELECT t::text FROM {schema}.{name} t ORDER BY 1"
    return connection.execute(statement.encode()).fetchall()


def _order(application: Imewe, number: int) -> int:
    """One order from submission to completion; the position of its last event."""
    job = Job.submit(
        derived("job", str(number)),
        organisation_id="workshop",
        owner_id="anna",
        name=f"Box {number}",
        priority=5,
        deadline=None,
        parts=[{"name": "Box", "artifact": FILE, "material": "PLA", "quantity": 1}],
    )
    part = Part.order(
        part_id(job.id, 0),
        organisation_id="workshop",
        job_id=str(job.id),
        line=0,
        name="Box",
        artifact=FILE,
        material="PLA",
        quantity=1,
    )
    part.validate(
        process="fdm",
        program=FILE,
        size_mm=[10.0, 10.0, 10.0],
        duration_ms=60_000,
        material_mm3=80,
        material_mg=99,
        estimated_by="slicer",
    )
    part.schedule()
    dispatch = Dispatch.request(
        dispatch_id(part.id, 0),
        organisation_id="workshop",
        job_id=str(job.id),
        part_id=str(part.id),
        piece=0,
        work={"process": "fdm", "material": "PLA"},
    )
    build = _made(job, part, dispatch, number)
    for each in (job, part, dispatch, build):
        position = application.record(each, envelope=ENVELOPE)
        job.follow_part(str(part.id), part.status)
    return application.record(job, envelope=ENVELOPE) if job.pending_events else position


def _made(job: Job, part: Part, dispatch: Dispatch, number: int) -> Build:
    """The build of its one piece, begun, ended and judged."""
    node = str(UUID(int=number % 10))
    build = Build.plan(
        build_id(dispatch.id, 1),
        organisation_id="workshop",
        job_id=str(job.id),
        dispatch_id=str(dispatch.id),
        attempt=1,
        node_id=node,
        pieces=[{"part_id": str(part.id), "piece": 0}],
        program=FILE,
        material="PLA",
        duration_ms=60_000,
        material_mm3=80,
        material_mg=99,
    )
    dispatch.choose(
        attempt=1,
        build_id=str(build.id),
        node_id=node,
        inventory_id="lot",
        decision={"policy": "score", "fleet_position": number},
    )
    dispatch.reserve_node(1, epoch=1)
    dispatch.reserve_material(1, quantity_mg=99)
    build.reserve(epoch=1, inventory_id="lot")
    part.queue_piece(0, build_id=str(build.id), node_id=node)
    build.send()
    dispatch.send(1)
    build.accept(node_id=node, epoch=1, bridge="local")
    build.start(epoch=1)
    dispatch.start(1)
    part.start_piece(0, build_id=str(build.id))
    for percent in range(5, 105, 5):
        build.progress(percent)
    build.finish(FIGURES)
    dispatch.close("made")
    part.make_piece(0, build_id=str(build.id))
    part.pass_piece(0, by="user/anna")
    build.inspect(passed=True, by="user/anna")
    return build

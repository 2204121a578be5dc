"""A build that is killed, dropped, refused or planned, what is told of it and what comes again."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.shared.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RebuildRunningError,
    UnavailableError,
)
from domain.shared.recorded import RecordedEvent
from ops.database.server import EmbeddedPostgres
from ops.projecting.desk import ProjectionDesk
from ops.projecting.operations import operations
from ops.projecting.places import Connection, alone
from ops.projecting.planning import plan
from ops.projecting.telling import Order
from ops.projecting.versions import Versions
from projections.catalogue import CATALOGUE
from projections.jobs.projector import Jobs
from tests.projecting import SmallBatches, dumped, migrated, project, running
from tests.rebuilding import (
    FIRST,
    JOBS_NOW,
    Marked,
    Rig,
    folded_at_once,
    states,
    until,
)
from tests.stories import MemoryLog, busy_shop

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("rebuild_child.py")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def events() -> list[RecordedEvent]:
    return busy_shop(16).events


@pytest.fixture(scope="module")
def story_dump(postgres: EmbeddedPostgres, events: list[RecordedEvent]) -> list[bytes]:
    """What the story looks like, folded at once in a database of its own."""
    return folded_at_once(postgres, events)


def test_a_killed_build_is_taken_up_where_it_stopped(
    connection: Connection, database_url: str, events: list[RecordedEvent], story_dump: list[bytes]
) -> None:
    project(connection, events)
    child = subprocess.Popen(
        [sys.executable, str(CHILD), database_url], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    schema = f"{FIRST}_r2"
    until(lambda: _position_of(connection, schema) > 200)
    with pytest.raises(RebuildRunningError):
        Rig(database_url, MemoryLog(events), Versions(CATALOGUE)).do("build")
    child.kill()
    child.wait()
    left = _position_of(connection, schema)
    assert 200 < left < len(events)
    log = MemoryLog(events)
    rig = Rig(database_url, log, Versions(CATALOGUE))
    until(lambda: _taken_up(rig.desk, connection, schema))
    assert rig.steps[0]["reason"] == "taken up again for user/anna"
    assert operations(connection)["jobs"].result["events"] == len(events) - left  # type: ignore[index]
    rig.do("switch")
    assert dumped(connection) == story_dump


def _position_of(connection: Connection, schema: str) -> int:
    row = connection.execute(
        "SELECT position FROM imewe.positions WHERE schema = %s", [schema]
    ).fetchone()
    return int(row[0]) if row else 0


def _taken_up(desk: ProjectionDesk, connection: Connection, schema: str) -> bool:
    desk.take_up()
    return states(connection).get(schema) == "BUILT"


def test_what_is_being_built_can_be_dropped(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events)
    child = subprocess.Popen(
        [sys.executable, str(CHILD), database_url], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    schema = f"{FIRST}_r2"
    until(lambda: _position_of(connection, schema) > 0)
    rig = Rig(database_url, MemoryLog(events), Versions(CATALOGUE))
    assert rig.do("drop")["dropped"] == schema
    assert child.wait(30) == 1
    assert states(connection) == {FIRST: "LIVE"}


def test_nothing_is_done_that_cannot_be_written_into_the_trail(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events, projections=[JOBS_NOW])
    rig = Rig(database_url, MemoryLog(events), Versions([JOBS_NOW]), trail_is_away=True)
    with pytest.raises(UnavailableError, match="audit trail"):
        rig.do("build")
    assert states(connection) == {FIRST: "LIVE"}
    rig.trail_is_away = False
    rig.do("build")
    assert (rig.outcomes, set(rig.tokens)) == ([("build", "begun"), ("build", "done")], {"t"})
    with pytest.raises(ConflictError, match="has a candidate"):
        Rig(database_url, MemoryLog(events), Versions([Marked()], [JOBS_NOW])).do("build")


def test_refusals_name_what_is_wrong_and_leave_all_as_it_was(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events, projections=[JOBS_NOW])
    rig = Rig(database_url, MemoryLog(events), Versions([JOBS_NOW]))
    for verb, refusal in (("switch", "candidate"), ("diff", "candidate"), ("rollback", "go back")):
        with pytest.raises(NotFoundError, match=refusal):
            rig.do(verb)
    with pytest.raises(NotFoundError, match="no projection"):
        rig.do("build", "nothing")
    with pytest.raises(ConflictError, match="readers look at"):
        rig.do("drop", schema=FIRST)
    with pytest.raises(NotFoundError, match="no schema"):
        rig.do("drop", schema="imewe")
    with alone(connection, "jobs"), pytest.raises(RebuildRunningError):
        rig.do("build")
    rig.do("build")
    rig.do("switch")
    rig.do("build")
    with pytest.raises(InvalidInputError, match="say which"):
        rig.do("drop")
    assert rig.outcomes[-1] == ("drop", "failed")
    assert {"LIVE", "PREVIOUS", "BUILT"} == set(states(connection).values())
    assert rig.do("rebuild")["events"] == len(events)
    assert list(states(connection).values()) == ["LIVE"]


def test_a_plan_measures_and_leaves_nothing_behind(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events, projections=[JOBS_NOW])
    before = connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall()
    found = plan(connection, MemoryLog(events), Versions([Marked()], [JOBS_NOW]), "jobs")
    assert connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall() == before
    assert (found.live, found.live_version, found.release_version) == (
        FIRST,
        Jobs.version,
        Marked.version,
    )
    assert found.events == len(events)
    assert found.events_per_s > 0
    assert found.disk_bytes > 100_000
    assert found.measured_by == "a trial"
    rig = Rig(database_url, MemoryLog(events), Versions([JOBS_NOW]))
    rig.do("build")
    again = plan(connection, MemoryLog(events), Versions([JOBS_NOW]), "jobs")
    assert (again.measured_by, again.candidate) == ("the last build", f"{FIRST}_r2")


def test_progress_is_told_and_kept(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events, projections=[JOBS_NOW])
    rig = Rig(database_url, SmallBatches(events, size=50), Versions([JOBS_NOW]))
    rig.do("build")
    folding = [told for told in rig.told if told["state"] == "RUNNING"]
    assert folding[-1]["goal"] == len(events)
    assert folding[-1]["phase"] == "folding"
    assert rig.told[-1]["state"] == "DONE"
    last = operations(connection)["jobs"]
    assert (last.state, last.started_by) == ("DONE", "user/anna")


def test_a_service_that_ends_leaves_its_build_where_it_is(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    project(connection, events, projections=[JOBS_NOW])
    rig = Rig(database_url, SmallBatches(events, size=50), Versions([JOBS_NOW]))
    desk = rig.desk
    desk.close()
    order = Order(verb="build", name="jobs", by="user/anna", token="t", payload={})
    with pytest.raises(UnavailableError, match="service ended"):
        desk.obey(order)
    assert states(connection)[f"{FIRST}_r2"] == "BUILDING"
    rig.desk.take_up()
    assert states(connection)[f"{FIRST}_r2"] == "BUILT"
    assert [outcome for _, outcome in rig.outcomes] == ["begun", "failed", "begun", "done"]


def test_what_somebody_rolled_back_from_does_not_come_again_by_itself(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    log = SmallBatches(events, size=500)
    project(connection, events, projections=[JOBS_NOW])
    rig = Rig(database_url, log, Versions([Marked()], [JOBS_NOW]))
    switched: list[tuple[str, str]] = []

    def beside() -> object:
        return running(
            log,
            database_url,
            projections=[Marked()],
            earlier=[JOBS_NOW],
            switched=lambda *which: switched.append(which),
        )

    rig.do("build")
    rig.do("switch")
    rig.do("rollback")
    rig.do("drop")
    with beside():  # type: ignore[attr-defined]
        seen = log.reads
        until(lambda: log.reads > seen + 10)
        assert states(connection) == {FIRST: "LIVE"}
    assert switched == []
    rig.do("build")
    rig.do("switch")
    with beside():  # type: ignore[attr-defined]
        assert states(connection)[FIRST] == "PREVIOUS"

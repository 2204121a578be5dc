"""Built beside, compared, switched, rolled back and dropped, with readers and a writer at it."""

import itertools
from collections.abc import Iterator

import pytest

from domain.job.aggregate import Job
from domain.shared.errors import (
    ConflictError,
    NotFoundError,
)
from domain.shared.recorded import RecordedEvent
from ops.database.server import EmbeddedPostgres
from ops.projecting.explaining import samples
from ops.projecting.places import Connection
from ops.projecting.versions import Versions
from projections.catalogue import CATALOGUE
from projections.jobs.projector import Jobs
from tests.projecting import (
    SmallBatches,
    dumped,
    migrated,
    project,
    running,
    until_all_at,
)
from tests.rebuilding import (
    FIRST,
    JOBS_NOW,
    NEXT,
    Buggy,
    Marked,
    Readers,
    Rig,
    folded_at_once,
    states,
    until,
)
from tests.stories import MemoryLog, busy_shop


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


def test_readers_see_old_or_new_and_never_a_mixture_or_a_gap(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    lines = [int(event.topic in Jobs.topics) for event in events]
    log = SmallBatches(events[:300], size=50)
    rig = Rig(database_url, log, Versions([Marked()], [JOBS_NOW]))
    project(connection, log.events, projections=[JOBS_NOW])
    beside = running(log, database_url, projections=[Marked()], earlier=[JOBS_NOW], automatic=False)
    expected = [0, *itertools.accumulate(lines)]
    with beside as rig.runner, Readers(database_url, expected) as readers:
        until(lambda: states(connection).get(NEXT) == "BUILT")
        verbs = ("switch", "rollback", "switch", "drop", "build", "switch", "drop")
        for number, verb in enumerate(verbs, start=1):
            assert rig.do(verb)["name"] == "jobs"
            goal = min(len(events), 300 + number * 60)
            log.events = events[:goal]
            until(lambda goal=goal: _position(connection) == goal)
    assert readers.failures == []
    assert readers.reads > 100
    assert len(readers.seen) >= 2
    assert list(states(connection).values()) == ["LIVE"]
    assert [outcome for _, outcome in rig.outcomes] == ["begun", "done"] * len(verbs)


def _position(connection: Connection) -> int:
    row = connection.execute(
        "SELECT s.position FROM imewe.projections p JOIN imewe.positions s USING (schema)"
        " WHERE p.name = 'jobs'"
    ).fetchone()
    return int(row[0]) if row else 0


def test_a_bug_in_the_new_version_shows_exactly_the_jobs_it_touches(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    log = MemoryLog(events)
    rig = Rig(database_url, log, Versions([Buggy()], [JOBS_NOW]))
    project(connection, events, projections=[JOBS_NOW])
    rig.do("build")
    found = rig.do("diff")
    counts = {t["of"]: (t["added"], t["removed"], t["changed"]) for t in found["tables"]}
    touched = {
        str(e.aggregate_id): e.position for e in events if isinstance(e.event, Job.Completed)
    }
    assert counts.pop("jobs") == counts.pop("jobs_history") == (0, 0, len(touched))
    assert set(counts.values()) == {(0, 0, 0)}
    assert found["position"] == len(events)
    rows = samples(connection, log, "jobs", of="jobs", first=100)
    assert {row["key"]["id"]: row["event"]["position"] for row in rows} == touched
    assert {row["event"]["topic"] for row in rows} == {Job.Completed.TOPIC}
    assert rows[0]["changes"] == [{"column": "cancel_reason", "before": "", "after": "a bug"}]
    assert len(rows) == len(touched)


def test_differences_come_in_pages_and_only_to_those_they_concern(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    log = MemoryLog(events)
    rig = Rig(database_url, log, Versions([Buggy()], [JOBS_NOW]))
    project(connection, events, projections=[JOBS_NOW])
    rig.do("build")
    rig.do("diff")
    whole = samples(connection, log, "jobs", of="jobs", first=100)
    pages = [samples(connection, log, "jobs", of="jobs", first=1, after=n) for n in range(9)]
    assert [row for page in pages for row in page] == whole[:9]
    place = whole[0]["event"]["organisation_id"]
    assert samples(connection, log, "jobs", of="jobs", first=100, seen=frozenset({place})) == [
        row
        if row["event"]["organisation_id"] == place
        else {**row, "withheld": True, "changes": []}
        for row in whole
    ]
    hidden = samples(connection, log, "jobs", of="jobs_history", first=1, seen=frozenset())
    assert (hidden[0]["withheld"], hidden[0]["changes"]) == (True, [])


class Shorter(Jobs):
    """Forgets a line of the story, and has a table and a column of its own less."""

    version = Jobs.version + 1
    tables = tuple(each for each in Jobs.tables if each.name != "decisions")

    def flush(self, cursor: object, rows: object) -> None:
        rows._appended = {  # type: ignore[attr-defined]
            table: [line for line in lines if line.what != "Job.Submitted"]
            for table, lines in rows._appended.items()  # type: ignore[attr-defined]
            if table.name != "decisions"
        }
        super().flush(cursor, rows)  # type: ignore[arg-type]


def test_rows_and_tables_that_are_gone_are_told_too(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    log = MemoryLog(events)
    rig = Rig(database_url, log, Versions([Shorter()], [JOBS_NOW]))
    project(connection, events, projections=[JOBS_NOW])
    rig.do("build")
    found = {t["of"]: t for t in rig.do("diff")["tables"]}
    submitted = [e.position for e in events if isinstance(e.event, Job.Submitted)]
    decided = [e for e in events if e.topic == "imewe.dispatch:NodeChosen"]
    assert found["timeline"]["removed"] == len(submitted)
    assert found["decisions"]["removed"] >= max(1, len(decided))
    rows = samples(connection, log, "jobs", of="timeline", first=100)
    assert [row["event"]["position"] for row in rows] == submitted
    assert {row["kind"] for row in rows} == {"REMOVED"}


def test_candidates_and_the_schema_before_stay_up_to_date_to_the_byte(
    connection: Connection, database_url: str, events: list[RecordedEvent], story_dump: list[bytes]
) -> None:
    log = SmallBatches(events[:-100], size=100)
    rig = Rig(database_url, log, Versions(CATALOGUE))
    with running(log, database_url) as rig.runner:
        until_all_at(connection, len(log.events))
        for each in CATALOGUE:
            rig.do("build", each.name)
            assert rig.do("diff", each.name)["position"] == len(log.events)
            rig.do("switch", each.name)
        log.events = events
        until_all_at(connection, len(events))
        assert dumped(connection) == story_dump
        until(lambda: _all_at(connection, len(events)))
        for each in CATALOGUE:
            rig.do("rollback", each.name)
        assert dumped(connection) == story_dump
    for each in CATALOGUE:
        tables = rig.do("diff", each.name)["tables"]
        assert {(t["added"], t["removed"], t["changed"]) for t in tables} == {(0, 0, 0)}
        rig.do("drop", each.name)
    with pytest.raises(NotFoundError, match="nothing beside"):
        rig.do("drop")


def _all_at(connection: Connection, position: int) -> bool:
    rows = connection.execute("SELECT DISTINCT position FROM imewe.positions").fetchall()
    return rows == [(position,)]


def test_a_version_that_this_release_cannot_fold_stands_still_and_can_still_be_compared(
    connection: Connection, database_url: str, events: list[RecordedEvent]
) -> None:
    log = SmallBatches(events[:500], size=100)
    project(connection, log.events, projections=[JOBS_NOW])
    log.events = events
    rig = Rig(database_url, log, Versions([Marked()]), automatic=False)
    with running(log, database_url, projections=[Marked()], automatic=False) as rig.runner:
        until(lambda: states(connection).get(NEXT) == "BUILT")
        found = rig.do("diff")
        assert (found["position"], found["candidate"]) == (500, NEXT)
        rig.do("switch")
        until(lambda: _position(connection) == len(events))
    with pytest.raises(ConflictError, match="does not fold"):
        rig.do("rollback")
    assert states(connection) == {FIRST: "PREVIOUS", NEXT: "LIVE"}


def test_what_was_parked_goes_on_after_a_retry_and_is_what_a_rebuild_gives(
    connection: Connection, database_url: str, events: list[RecordedEvent], story_dump: list[bytes]
) -> None:
    lost = [e.position for e in events if e.topic == "imewe.job:Validated"][:3]
    log = SmallBatches(events[:-100], size=100)
    log.poison = frozenset(lost)
    rig = Rig(database_url, log, Versions(CATALOGUE))
    with running(log, database_url):
        until_all_at(connection, len(log.events))
        with pytest.raises(NotFoundError, match="not parked"):
            rig.do("retry", key="nobody")
        assert len(rig.do("retry")["left"]) == 3
        log.poison = frozenset(lost[2:])
        found = rig.do("retry")
        assert (len(found["gone_on"]), [each["position"] for each in found["left"]]) == (
            2,
            lost[2:],
        )
        log.poison = frozenset()
        key = found["left"][0]["key"]
        assert rig.do("retry", key=key)["gone_on"] == [key]
        for each in CATALOGUE:
            assert rig.do("retry", each.name)["left"] == []
        log.events = events
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump


def test_two_runners_and_a_switch_lose_and_repeat_nothing(
    connection: Connection, database_url: str, events: list[RecordedEvent], story_dump: list[bytes]
) -> None:
    log = SmallBatches(events[:400], size=30)
    rig = Rig(database_url, log, Versions(CATALOGUE))
    with running(log, database_url), running(SharedLog(log), database_url):
        until_all_at(connection, 400)
        rig.do("build")
        log.events = events[:-100]
        rig.do("switch")
        log.events = events
        rig.do("rollback")
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump


class SharedLog(SmallBatches):
    """The same log for another runner, in batches of another size."""

    def __init__(self, log: SmallBatches) -> None:
        super().__init__(log.events, size=70)
        self._log = log

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        self.events = self._log.events
        return super().read(after, limit)

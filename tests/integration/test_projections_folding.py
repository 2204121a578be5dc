"""Events in, rows out: the same rows however the events come."""

from collections.abc import Iterator

import pytest

from domain.job.aggregate import Job
from domain.shared.recorded import RecordedEvent
from ops.projecting.applying import Batch, apply
from ops.projecting.errors import FencedError
from ops.projecting.places import Connection, look_at, settle
from projections.catalogue import CATALOGUE, projection_named
from projections.jobs.projector import Jobs
from projections.rows import Rows
from tests.projecting import dumped, migrated, project
from tests.stories import Shop, Story, busy_shop

JOBS = projection_named("jobs")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


def rows(connection: Connection, projection: str, statement: str) -> list[tuple[object, ...]]:
    schema = settle(connection, projection_named(projection)).schema
    with connection.transaction():
        look_at(connection, schema)
        return connection.execute(statement.encode()).fetchall()


def test_rows_do_not_depend_on_how_events_were_batched(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(12).events
    project(connection, events)
    at_once = dumped(connection)
    connection.execute("DROP SCHEMA imewe, telemetry CASCADE")
    for each in CATALOGUE:
        connection.execute(f"DROP SCHEMA {each.name}_v{each.version} CASCADE".encode())
    with migrated(database_url) as again:
        project(again, events, size=7)
        assert dumped(again) == at_once
    assert all(len(part) > 200 for part in at_once)


def test_redelivery_changes_nothing(connection: Connection) -> None:
    events = busy_shop(4).events
    project(connection, events)
    before = dumped(connection)
    project(connection, events)
    assert dumped(connection) == before
    place = settle(connection, JOBS)
    with pytest.raises(FencedError):
        apply(
            connection,
            JOBS,
            place.schema,
            Batch(events[:10], 10),
            after=0,
            parked=set(),
        )
    assert dumped(connection) == before


def test_a_job_is_told_from_order_to_completion(connection: Connection) -> None:
    story = Story()
    shop = Shop.opened(story)
    job = shop.make(quantity=2)
    project(connection, story.events)
    assert rows(connection, "jobs", "SELECT id, status, pieces FROM jobs") == [
        (str(job.id), "COMPLETED", 2)
    ]
    assert rows(connection, "jobs", "SELECT status, counts FROM parts") == [
        ("COMPLETED", {"PASSED": 2})
    ]
    assert rows(connection, "jobs", "SELECT piece, status, judged_by FROM pieces ORDER BY 1") == [
        (0, "PASSED", "user/anna"),
        (1, "PASSED", "user/anna"),
    ]
    assert (
        rows(connection, "jobs", "SELECT status, percent, passed FROM builds")
        == [("INSPECTED", 100, True)] * 2
    )
    story_lines = rows(connection, "jobs", "SELECT what, words FROM timeline ORDER BY position")
    assert story_lines[0] == ("Job.Submitted", "Submitted with 1 part(s), priority 5")
    assert story_lines[-1] == ("Job.Completed", "Every piece of every part has passed")
    of_job = [e for e in story.events if e.kind in {"job", "part", "build", "dispatch"}]
    assert len(story_lines) == len(of_job)
    assert (
        rows(connection, "jobs", "SELECT attempt, decision->>'policy' FROM decisions")
        == [(1, "score")] * 2
    )


def test_the_history_holds_every_state_of_a_row(connection: Connection) -> None:
    story = Story()
    job = Shop.opened(story).make()
    project(connection, story.events)
    found = rows(
        connection,
        "jobs",
        f"SELECT status, as_of FROM jobs_history WHERE id = '{job.id}' ORDER BY 2",
    )
    assert [status for status, _ in found] == [
        "SUBMITTED",
        "VALIDATED",
        "SCHEDULED",
        "ASSIGNED",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert [position for _, position in found] == [
        event.position for event in story.events if event.kind == "job"
    ]


def test_the_event_history_keeps_the_hashed_bytes(connection: Connection) -> None:
    events = busy_shop(4).events
    project(connection, events, projections=[projection_named("history")])
    found = rows(connection, "history", "SELECT body::text FROM events ORDER BY position")
    assert [text.encode() for (text,) in found] == [event.body for event in events]


def test_an_event_that_cannot_be_folded_parks_its_aggregate_and_no_other(
    connection: Connection,
) -> None:
    story = Story()
    shop = Shop.opened(story)
    first, second = shop.make(), shop.make()
    lost = next(e for e in story.events if e.aggregate_id == first.id)
    events = [e._replace(event=object(), body=b"{}") if e is lost else e for e in story.events]
    project(connection, events, projections=[JOBS], size=11)
    found = rows(connection, "jobs", "SELECT id, status FROM jobs")
    assert found == [(str(second.id), "COMPLETED")]
    parked = connection.execute("SELECT key, position, skipped FROM imewe.parked_keys").fetchall()
    later = [e for e in events if e.aggregate_id == first.id][1:]
    assert parked == [(str(first.id), lost.position, len(later))]


class Halfway(Jobs):
    """Raises after it has told the rows that a job is complete."""

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if isinstance(recorded.event, Job.Completed):
            raise ZeroDivisionError


def test_half_of_a_fold_is_never_written(connection: Connection) -> None:
    story = Story()
    shop = Shop.opened(story)
    jobs = {str(shop.make().id), str(shop.make().id)}
    project(connection, story.events, projections=[Halfway()])
    found = rows(connection, "jobs", "SELECT id, status FROM jobs")
    assert found == [(job_id, "IN_PROGRESS") for job_id, _ in found]
    assert {job_id for job_id, _ in found} == jobs
    told = rows(connection, "jobs", "SELECT 1 FROM timeline WHERE what = 'Job.Completed'")
    assert told == []
    parked = connection.execute("SELECT key, reason FROM imewe.parked_keys").fetchall()
    assert {key for key, _ in parked} == jobs
    assert {reason for _, reason in parked} == {"imewe.job:Completed: ZeroDivisionError: "}


def test_a_row_that_postgresql_refuses_parks_its_aggregate_and_no_other(
    connection: Connection,
) -> None:
    story = Story()
    shop = Shop.opened(story)
    first, second = shop.make(), shop.make()
    for event in story.events:
        if event.topic == "imewe.job:Submitted" and event.aggregate_id == first.id:
            vars(event.event)["priority"] = 2**70
    project(connection, story.events, projections=[JOBS])
    assert rows(connection, "jobs", "SELECT id, status FROM jobs") == [
        (str(second.id), "COMPLETED")
    ]
    (reason,) = connection.execute("SELECT reason FROM imewe.parked_keys").fetchall()
    assert "out of range" in reason[0]
    assert settle(connection, JOBS).position == len(story.events)


def test_a_second_runner_is_fenced_by_the_position(connection: Connection) -> None:
    events = busy_shop(1).events
    place = settle(connection, JOBS)
    for size in (5, 9):
        batch = Batch(events[:size], size)
        if size == 5:
            apply(connection, JOBS, place.schema, batch, after=0, parked=set())
        else:
            with pytest.raises(FencedError, match="somebody else"):
                apply(connection, JOBS, place.schema, batch, after=0, parked=set())
    assert settle(connection, JOBS).position == 5


def test_a_new_version_is_built_beside_the_one_that_readers_see(connection: Connection) -> None:
    class Later(Jobs):
        version = Jobs.version + 1

    project(connection, busy_shop(1).events, projections=[JOBS])
    place = settle(connection, Later())
    later, now = f"jobs_v{Later.version}", f"jobs_v{Jobs.version}"
    assert (place.schema, place.position, place.in_use) == (later, 0, False)
    assert connection.execute("SELECT schema FROM imewe.projections").fetchall() == [(now,)]

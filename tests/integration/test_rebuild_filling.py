"""A schema that nobody reads is filled in another way than one is kept up to date: same result."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from domain.job.aggregate import Job
from domain.shared.recorded import RecordedEvent
from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.projecting.applying import Batch
from ops.projecting.errors import FencedError
from ops.projecting.filling import Filler
from ops.projecting.places import BUILDING, Connection, Place, live, places
from ops.projecting.rebuild import add_keys, begin, complete, fill, rebuild
from projections.catalogue import CATALOGUE
from projections.jobs.projector import Jobs
from projections.jobs.tables import TIMELINE
from projections.projection import Projection
from projections.rows import Rows
from tests.projecting import SmallBatches, migrated, project
from tests.stories import MemoryLog, busy_shop

JOBS = Jobs()
TANGLED = 'a\\b\tc\nd\re\0f\\N"g\u2028é\U0001f6e0'


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


@pytest.fixture
def events() -> list[RecordedEvent]:
    return busy_shop(8).events


@pytest.mark.parametrize(("size", "rows_limit"), [(3000, 20_000), (70, 20_000), (70, 0), (1, 3)])
def test_a_filled_schema_holds_the_bytes_of_the_live_one(
    connection: Connection, events: list[RecordedEvent], size: int, rows_limit: int
) -> None:
    project(connection, events)
    for each in CATALOGUE:
        place = begin(connection, each, by="anna")
        with Filler(connection, each, place, rows_limit=rows_limit) as filler:
            for first in range(0, len(events), size):
                batch = events[first : first + size]
                filler.take(Batch(batch, batch[-1].position))
            filler.finish()
        add_keys(connection, each, place.schema)
        assert filler.position == len(events)
        same_rows(connection, each, place)


def test_a_filled_schema_has_the_keys_and_indexes_of_the_live_one(
    connection: Connection, events: list[RecordedEvent]
) -> None:
    project(connection, events)
    for each in CATALOGUE:
        place = begin(connection, each, by="anna")
        assert len(definitions(connection, place.schema)) < len(each.schema.split(";"))
        for _ in range(2):  # as after a kill between the keys and the end
            add_keys(connection, each, place.schema)
        fill(connection, MemoryLog(events), each, place)
        shown = live(connection, each.name)
        assert shown is not None
        expected = definitions(connection, shown.schema)
        assert definitions(connection, place.schema) == expected


def test_what_is_dropped_while_its_keys_are_made_is_no_candidate(connection: Connection) -> None:
    place = begin(connection, JOBS, by="anna")
    connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [place.schema])
    with pytest.raises(FencedError, match="dropped"):
        add_keys(connection, JOBS, place.schema)
    with pytest.raises(FencedError, match="dropped"):
        complete(connection, place.schema, events=1, seconds=1.0)


def test_texts_of_every_kind_are_copied_as_they_are_inserted(connection: Connection) -> None:
    events = busy_shop(3).events
    for event in events:
        if event.topic == "imewe.job:Submitted":
            vars(event.event)["name"] = TANGLED
        if event.topic == "imewe.part:Ordered":
            vars(event.event).update(material=TANGLED, artifact={TANGLED: [TANGLED, 1.5, None]})
    project(connection, events, projections=[JOBS])
    place = begin(connection, JOBS, by="anna")
    fill(connection, SmallBatches(events, size=50), JOBS, place)
    same_rows(connection, JOBS, place)


def test_what_postgresql_refuses_is_parked_as_the_runner_parks_it(
    connection: Connection, events: list[RecordedEvent]
) -> None:
    orders = [event for event in events if event.topic == "imewe.job:Submitted"]
    for event in orders[1::3]:
        vars(event.event)["priority"] = 2**70
    project(connection, events, projections=[JOBS])
    for size in (40, 3000):
        place = begin(connection, JOBS, by="anna")
        made = fill(connection, SmallBatches(events, size=size), JOBS, place)
        assert made.parked == len(orders[1::3])
        same_rows(connection, JOBS, place)
        rebuild(connection, MemoryLog(events), JOBS)


class Stumbling(Jobs):
    """Cannot fold that an order can be made."""

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if isinstance(recorded.event, Job.Validated):
            raise RuntimeError("this one")


def test_what_a_fold_parks_is_left_from_the_next_event_on(
    connection: Connection, events: list[RecordedEvent]
) -> None:
    job = next(event.aggregate_id for event in events if isinstance(event.event, Job.Validated))
    story = [event for event in events if event.aggregate_id == job]
    place = begin(connection, Stumbling(), by="anna")
    with Filler(connection, Stumbling(), place) as filler:
        for event in story:
            filler.take(Batch([event], event.position))
        filler.finish()
    lines = dump(connection, f"SELECT what FROM {place.schema}.timeline ORDER BY position")
    before = [type(event.event).__qualname__ for event in story]
    assert lines == [(each,) for each in before[: before.index("Job.Validated")]]
    skipped = dump(connection, "SELECT skipped FROM imewe.parked_keys")
    assert skipped == [(len(story) - len(lines) - 1,)]


class Twice(Jobs):
    """Tells the end of one order twice, under one key."""

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if isinstance(recorded.event, Job.Completed) and recorded.position % 2:
            rows.append(TIMELINE, rows._new_lines[-1][1])


def test_a_key_given_twice_parks_what_the_runner_parks(
    connection: Connection, events: list[RecordedEvent]
) -> None:
    told = [e for e in events if isinstance(e.event, Job.Completed) and e.position % 2]
    assert told
    project(connection, events, projections=[Twice()])
    place = begin(connection, Twice(), by="anna")
    made = fill(connection, SmallBatches(events, size=100), Twice(), place)
    assert (made.position, made.parked) == (len(events), len(told))
    same_rows(connection, Twice(), place)


def test_a_crash_of_postgresql_takes_back_whole_batches(
    fresh_home: Any, events: list[RecordedEvent]
) -> None:
    server = EmbeddedPostgres(fresh_home, server_account())
    server.start()
    try:
        with migrated(server.url) as connection:
            project(connection, events, projections=[JOBS])
            place = begin(connection, JOBS, by="anna")
            log = CrashingLog(events, server)
            with pytest.raises(psycopg.OperationalError):
                fill(connection, log, JOBS, place)
        server.finish_stop(30)
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            (left,) = [each for each in places(connection, "jobs") if each.state == BUILDING]
            assert 0 <= left.position < len(events)
            made = fill(connection, MemoryLog(events), JOBS, left)
            assert made.events == len(events) - left.position
            same_rows(connection, JOBS, left)
    finally:
        server.stop()


class CrashingLog(SmallBatches):
    """Pulls the plug of PostgreSQL in the middle."""

    def __init__(self, events: list[RecordedEvent], server: EmbeddedPostgres) -> None:
        super().__init__(events, size=20)
        self._server = server

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        if after > len(self.events) // 2:
            self._server.kill()
        return super().read(after, limit)


def same_rows(connection: Connection, projection: Projection, place: Place) -> None:
    """Rows, histories and what was parked are those of the schema in use, to the byte."""
    shown = live(connection, projection.name)
    assert shown is not None
    names = [table.name for table in projection.tables]
    names += [f"{table.name}_history" for table in projection.tables if table.history]
    for name in names:
        expected = dump(connection, f"SELECT t::text FROM {shown.schema}.{name} t ORDER BY 1")
        found = dump(connection, f"SELECT t::text FROM {place.schema}.{name} t ORDER BY 1")
        assert found == expected, name
    parked = "SELECT key, position, reason, skipped FROM imewe.parked_keys WHERE schema = '{}'"
    found, expected = (
        dump(connection, f"{parked.format(each)} ORDER BY key")
        for each in (place.schema, shown.schema)
    )
    assert found == expected


def definitions(connection: Connection, schema: str) -> list[Any]:
    """Keys and indexes, without the name of the schema."""
    return dump(
        connection,
        f"SELECT replace(indexdef, '{schema}.', '') FROM pg_indexes"
        f" WHERE schemaname = '{schema}' ORDER BY 1",
    )


def dump(connection: Connection, statement: str) -> list[Any]:
    return connection.execute(statement.encode()).fetchall()

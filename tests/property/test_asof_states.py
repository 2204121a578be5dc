"""Every read model as of a position is a fresh fold of the log up to there."""

import random
from collections.abc import Iterator

import pytest

from domain.shared.recorded import RecordedEvent
from ops.projecting.places import Connection, settle
from ops.projecting.rebuild import rebuild
from projections.catalogue import CATALOGUE
from tests.past_story import Prefix, keeps_its_past, live_rows, past_rows, rich_story, state_of
from tests.projecting import migrated, project
from tests.stories import MemoryLog

POSITIONS = 200
LONG_STORIES = 20


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as made:
        yield made


def test_every_table_keeps_its_past() -> None:
    for projection in CATALOGUE:
        for table in projection.tables:
            assert keeps_its_past(table), f"{projection.name}.{table.name}"


@pytest.mark.timeout(900)
def test_the_past_at_a_position_equals_a_fresh_fold_of_the_log_up_to_there(
    connection: Connection, long_tests: bool
) -> None:
    for seed in range(LONG_STORIES if long_tests else 1):
        events = rich_story(seed=seed).events
        with connection.transaction():
            _compare(connection, events, random.Random(seed))
            connection.execute("DELETE FROM imewe.positions; DELETE FROM imewe.projections")
            for each in CATALOGUE:
                place = f"{each.name}_v{each.version}"
                connection.execute(f"DROP SCHEMA {place}, {place}_past CASCADE".encode())


def test_a_rebuilt_read_model_has_the_same_past(connection: Connection) -> None:
    events = rich_story(4).events
    project(connection, events, size=37)
    chosen = sorted(random.Random(5).sample(range(len(events)), 12))
    before = [state_of(connection, places(connection), each) for each in chosen]
    for each in CATALOGUE:
        rebuild(connection, MemoryLog(events), each)
    assert [state_of(connection, places(connection), each) for each in chosen] == before
    assert len(set(before)) == len(before)


def places(connection: Connection) -> dict[str, str]:
    """The schema in use of each projection."""
    return {each.name: settle(connection, each).schema for each in CATALOGUE}


def _compare(connection: Connection, events: list[RecordedEvent], chance: random.Random) -> None:
    project(connection, events, size=chance.randint(1, 200))
    here = places(connection)
    fresh = Prefix(connection, events)
    for position in sorted(chance.sample(range(len(events) + 1), POSITIONS)):
        fresh.go_to(position)
        then = state_of(connection, here, position)
        if then != state_of(connection, fresh.places, None):
            _say_where(connection, here, fresh)
    assert fresh.position > len(events) // 2


def _say_where(connection: Connection, here: dict[str, str], fresh: Prefix) -> None:
    for projection in CATALOGUE:
        for table in projection.tables:
            then = past_rows(connection, here[projection.name], table, fresh.position)
            folded = live_rows(connection, fresh.places[projection.name], table)
            assert then == folded, f"{table.name} as of {fresh.position}"
    pytest.fail(f"rows as of {fresh.position} differ in their text only")

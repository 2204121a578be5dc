"""One state hash, from PostgreSQL and from memory, now and in the past."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.recorded import RecordedEvent
from ops.projecting.comparing import model_states
from ops.projecting.places import Connection, look_at
from ops.replaying.memory import MemoryModel
from projections.catalogue import CATALOGUE, projection_named
from tests.projecting import migrated, project
from tests.stories import PROFILE, Shop, Story, busy_shop


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


def in_memory(events: list[RecordedEvent], *, size: int = 1000) -> dict[str, str]:
    found = {}
    for projection in CATALOGUE:
        model = MemoryModel(projection)
        for begin in range(0, len(events), size):
            model.fold(events[begin : begin + size])
        found[projection.name] = model.state_hash().text
    return found


def live(connection: Connection, as_of: int | None = None) -> dict[str, str]:
    return {each.name: each.hash for each in model_states(connection, CATALOGUE, as_of=as_of)}


def test_rows_in_memory_and_in_postgresql_have_the_same_state_hash(connection: Connection) -> None:
    events = busy_shop(12).events
    project(connection, events)
    found = live(connection)
    assert found == in_memory(events)
    assert found == in_memory(events, size=7)
    assert len(set(found.values())) == len(CATALOGUE)


def test_the_state_hash_of_the_past_is_that_of_the_log_up_to_there(connection: Connection) -> None:
    events = busy_shop(8).events
    project(connection, events)
    for position in (1, 17, len(events) // 2, len(events) - 1, len(events)):
        assert live(connection, position) == in_memory(events[:position]), position
    with pytest.raises(InvalidInputError, match="still to come"):
        live(connection, len(events) + 1)


def test_every_changed_value_gives_another_hash(connection: Connection) -> None:
    story = Story()
    Shop.opened(story).make()
    project(connection, story.events)
    before = live(connection)
    schema = connection.execute(
        "SELECT schema FROM imewe.projections WHERE name = 'jobs'"
    ).fetchone()
    for change in (
        "UPDATE parts SET size_mm = '[10.0, 10.0, 10.5]'",
        "UPDATE jobs SET submitted_at = submitted_at + interval '1 microsecond'",
        "DELETE FROM timeline WHERE position = (SELECT max(position) FROM timeline)",
    ):
        with connection.transaction():
            assert schema
            look_at(connection, schema[0])
            connection.execute(change.encode())
        after = live(connection)
        assert after["jobs"] != before["jobs"], change
        assert {**after, "jobs": ""} == {**before, "jobs": ""}
        before = after


def test_values_that_postgresql_writes_otherwise_hash_alike(connection: Connection) -> None:
    story = Story()
    Shop.opened(story).make()
    odd = {
        **PROFILE,
        "a\0b": [1e18, 1e23, -0.0, 2.50, 1e-7, 1.5e300, 10**17, 2**53 + 1],
        "ü": {"z": 1, "a": 2},
    }
    events = [
        each._replace(event=replace(each.event, profile=odd))
        if "profile" in vars(each.event)
        else each
        for each in story.events
    ]
    assert any("profile" in vars(each.event) for each in events)
    nodes = [projection_named("nodes")]
    project(connection, events, projections=nodes)
    model = MemoryModel(nodes[0])
    model.fold(events)
    (state,) = model_states(connection, nodes)
    assert state.hash == model.state_hash().text
    assert (state.parked, model.parked) == (0, {}), "or nothing odd was folded"


def test_a_read_model_that_was_never_built_is_told_apart(connection: Connection) -> None:
    with pytest.raises(NotFoundError, match="not there yet"):
        live(connection)

"""Any prefix of an aggregate's rows folds to what the write side loads at that version."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.shared.errors import ImeweError
from ops.eventstore.envelope import HASH, Record
from ops.eventstore.reader import recorded_event
from ops.eventstore.rows import event_of_row
from projections.history.differences import How, applied, changes
from projections.history.rows import EventRow
from projections.history.states import Comparing, Folding, plain
from tests.explaining import rows_of
from tests.stocked_shop import (
    ADMIN,
    BRIDGE,
    DESIGNER,
    OPERATOR,
    PROCESSES,
    SUPERVISOR,
    VENDOR,
    StockedShop,
)

EVERYBODY = (PROCESSES, BRIDGE, SUPERVISOR, OPERATOR, VENDOR, DESIGNER, ADMIN)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 1) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~", max_size=2), inner),
    max_leaves=12,
)


@contextmanager
def played(seed: int) -> Iterator[tuple[StockedShop, list[EventRow]]]:
    """A shop in which everybody has tried everything, in any order; most of it was refused."""
    shop, chance = StockedShop(), random.Random(seed)
    try:
        shop.accepted()
        for _ in range(3):
            payloads = list(shop.payloads().items())
            chance.shuffle(payloads)
            for name, payload in payloads:
                _tried(shop, name, payload)
        yield shop, rows_of(recorded_event(_chained(record)) for record in shop.log.records)
    finally:
        shop.close()


def _tried(shop: StockedShop, name: str, payload: dict[str, Any]) -> None:
    for by in EVERYBODY:
        try:
            shop.send(name, payload, by=by)
        except ImeweError:
            continue
        return


def _chained(record: Record) -> Record:
    """The log in memory keeps no hashes."""
    return replace(record, headers={**record.headers, HASH: f"sha256:{record.sequence}"})


def by_aggregate(rows: list[EventRow]) -> dict[str, list[EventRow]]:
    found: dict[str, list[EventRow]] = {}
    for row in rows:
        found.setdefault(row.aggregate_id, []).append(row)
    return found


def folded(rows: list[EventRow]) -> Folding:
    folding = Folding(event_of_row)
    folding.take(rows)
    return folding


def test_a_prefix_folds_to_what_the_application_loads_at_that_version() -> None:
    compared = set()
    for seed in range(3):
        with played(seed) as (shop, rows):
            for aggregate_id, own in by_aggregate(rows).items():
                for row in random.Random(seed).sample(own, min(4, len(own))):
                    folding = folded(own[: row.version])
                    loaded = shop.application.load(UUID(aggregate_id), row.version)
                    assert folding.aggregate is not None
                    assert plain(loaded) == plain(folding.aggregate), row
                    assert loaded.commands == folding.aggregate.commands
                    compared.add(row.kind)
    assert len(compared) >= 8


def test_a_difference_done_to_the_state_before_gives_the_state_after() -> None:
    chance = random.Random(4)
    with played(4) as (_, rows):
        for own in by_aggregate(rows).values():
            for _ in range(5):
                begin = chance.randint(0, len(rows))
                until = chance.randint(begin, len(rows))
                upto = [row for row in own if row.position <= until]
                comparing = Comparing(event_of_row, after=begin)
                comparing.take(upto)
                before = folded([row for row in own if row.position <= begin]).state
                after = folded(upto).state
                found = comparing.differences()
                assert (comparing.before, comparing.end) == (before, after)
                told = applied([each.change for each in found], before.values if before else {})
                assert told == (after.values if after else {})
                for each in found:
                    assert begin < each.event.position <= until
                    assert each.count >= 1


def test_each_difference_names_the_last_event_behind_which_the_value_was_other() -> None:
    with played(2) as (_, rows):
        for own in by_aggregate(rows).values():
            comparing = Comparing(event_of_row, after=own[0].position)
            comparing.take(own)
            for each in comparing.differences():
                steps = [folded(own[:n]).state for n in range(1, len(own) + 1)]
                seen = [_at(each.change.path, state.values) for state in steps if state]
                moved = [own[n] for n in range(1, len(own)) if seen[n] != seen[n - 1]]
                assert (each.event, each.count) == (moved[-1], len(moved)), each.change


def _at(path: str, value: Any) -> Any:
    for word in path.split("/")[1:]:
        name = word.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else "nothing there"
        elif isinstance(value, dict):
            value = value.get(name, "nothing there")
        else:
            return "nothing there"
    return value


@given(JSON, JSON)
@settings(max_examples=300, deadline=None)
def test_any_difference_of_two_values_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    found = changes(before, after)
    assert _typed(applied(found, before)) == _typed(after)
    assert bool(found) == (_typed(before) != _typed(after))
    assert len({change.path for change in found}) == len(found)
    for change in found:
        assert (change.before is None) or change.how is not How.ADDED


def _typed(value: Any) -> Any:
    """Equal only for equal JSON: ``True`` is not ``1``."""
    if isinstance(value, dict):
        return {name: _typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    return (type(value), value)

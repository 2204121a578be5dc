"""Rows in memory, and the one text of a value."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import orjson
import pytest

from ops.replaying.memory import MemoryTable
from projections.canonical import StateHash, canonical, in_memory, selected
from projections.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LampRow:
    id: str
    room: str
    told: dict[str, Any]
    at: datetime
    body: Any
    watts: int | None


LAMPS = Table(LampRow, "lamps", ("id",))
NOON = datetime(2026, 11, 21, 12, 30, 15, 250, tzinfo=timezone(timedelta(hours=2)))


def lamp(number: str, room: str) -> LampRow:
    return LampRow(id=number, room=room, told={"b": 1, "a": 2.0}, at=NOON, body=b"{ }", watts=None)


def test_rows_are_found_by_columns_whatever_became_of_them() -> None:
    table = MemoryTable(LAMPS)
    table.put(("1",), lamp("1", "hall"))
    assert table.having(("room",), ("hall",)) == [lamp("1", "hall")]
    table.put(("2",), lamp("2", "hall"))
    table.put(("1",), lamp("1", "attic"))
    assert table.having(("room",), ("hall",)) == [lamp("2", "hall")]
    assert table.having(("room",), ("attic",)) == [lamp("1", "attic")]
    assert table.having(("id",), ("2",)) == [lamp("2", "hall")]
    assert table.having(("id",), ("3",)) == table.having(("room",), ("cellar",)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (2.5, "2.5"),
        (1e-7, "1e-7"),
        (1e18, "1000000000000000000"),
        (1.2345678901234567e18, "1234567890123456800"),
        (1e23, "1e+23"),
        (10**23, "1e+23"),
        (2**53 + 1, "9007199254740993"),
        (2**63, "9.223372036854776e+18"),
        (-(2**63), "-9.223372036854776e+18"),
        (True, "true"),
        (None, "null"),
        (NOON, '"2026-11-21T10:30:15.000250Z"'),
        (datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00.000000Z"'),
        ({"b": [1.0, {"d": 1, "c": 2.0}], "ä": "\n"}, '{"b":[1,{"c":2,"d":1}],"ä":"\\n"}'),
    ],
)
def test_a_value_has_one_text(value: Any, text: str) -> None:
    assert orjson.dumps(canonical(value), option=orjson.OPT_SORT_KEYS).decode() == text


def test_a_table_is_hashed_as_its_page_says() -> None:
    state = StateHash()
    state.begin(LAMPS)
    rows = {("2",): lamp("2", "hall"), ("1",): lamp("1", "attic")}
    state.take(in_memory(LAMPS, rows))
    written = (
        '["table","lamps",["id","room","told","at","body","watts"]]\n'
        '["1","attic",{"a":2,"b":1},"2026-11-21T10:30:15.000250Z","{ }",null]\n'
        '["2","hall",{"a":2,"b":1},"2026-11-21T10:30:15.000250Z","{ }",null]\n'
    )
    assert state.text == f"sha256:{sha256(written.encode()).hexdigest()}"
    assert state.rows == 2
    assert selected(LAMPS) == "SELECT id, room, told, at, body::text, watts FROM lamps ORDER BY id"

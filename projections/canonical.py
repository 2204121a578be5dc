"""One text for every row, and one hash for the state of a read model.

Whoever holds the rows can compute the hash: from PostgreSQL, or from rows in memory that were
never near a database. ``ops/docs/state-hash.md`` describes it for those who write it again.

The state hash of a read model is SHA-256 over lines, each ended by a line feed. A table begins
with the line ``["table","<name>",["<column>",...]]``; its rows follow in the order of its key. A
row is a JSON array of its values in the order of the columns. JSON is without spaces, with the
keys of objects in order, in UTF-8. A moment is UTC text with microseconds; a whole number below
2^63 is its digits, any other number the shortest text that reads back as the same double; the body
of an event is the very text that was hashed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson

from projections.table import Table

_EXACT = 2**63


class StateHash:
    """Takes tables in the order of the projection, and rows in the order of their keys."""

    def __init__(self) -> None:
        self._digest = sha256()
        self.rows = 0

    def begin(self, table: Table[Any]) -> None:
        """The rows of this table follow."""
        self._digest.update(_line(["table", table.name, list(table.names)]))

    def take(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows as ``selected`` gives them."""
        lines = [_line([canonical(value) for value in row]) for row in rows]
        self.rows += len(lines)
        self._digest.update(b"".join(lines))

    @property
    def text(self) -> str:
        """``sha256:`` and 64 hex digits."""
        return f"sha256:{self._digest.hexdigest()}"


def selected(table: Table[Any]) -> str:
    """The statement that gives a table's rows in order; ``json`` comes as the text it is."""
    columns = ", ".join(
        f"{each.name}::text" if each.type == "json" else each.name for each in table.columns
    )
    return f"SELECT {columns} FROM {table.name} ORDER BY {', '.join(table.key)}"


def in_memory(table: Table[Any], rows: Mapping[Any, Any]) -> Iterable[Sequence[Any]]:
    """The same rows, of those that a fold has put, by key, as PostgreSQL would give them."""
    ordered = [rows[key] for key in sorted(rows)]
    cells = table.cells(ordered) if ordered else []
    readers = [_READ.get(column.type) for column in table.columns]
    for row in zip(*cells, strict=True):
        yield [
            read(cell) if read and cell is not None else cell
            for read, cell in zip(readers, row, strict=True)
        ]


def canonical(value: Any) -> Any:
    """A value of which JSON has one text."""
    if isinstance(value, dict):
        return {name: canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [canonical(each) for each in value]
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    if isinstance(value, int) and not -_EXACT < value < _EXACT:
        return float(value)
    return value


def _number(value: float) -> int | float:
    """``jsonb`` keeps decimal digits: 1e18 comes back from there as a whole number."""
    if not value.is_integer() or abs(value) >= _EXACT:
        return value
    return int(Decimal(repr(value)))


def _line(values: list[Any]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


_READ: Mapping[str, Callable[[Any], Any]] = {"jsonb": orjson.loads}

"""Rows as the text of PostgreSQL's COPY, a column at a time.

A column of a few thousand values is turned into text by calls that stay inside the interpreter's C
code, and is looked at as a whole for characters that have to be escaped, which hardly any has.
A value that does not fit its column raises ``TypeError`` or ``ValueError``, or is refused by
PostgreSQL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from projections.cells import json_cell, text_cell, verbatim_cell
from projections.table import Column

NULL = "\\N"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copied(columns: Sequence[Column], rows: Iterable[tuple[Any, ...]]) -> bytes:
    """One line a row, its values in the order of the columns."""
    values = zip(*rows, strict=True)
    texts = [_column(column, each) for column, each in zip(columns, values, strict=True)]
    return "".join(f"{line}\n" for line in map("\t".join, zip(*texts, strict=True))).encode()


def _column(column: Column, values: Sequence[Any]) -> Sequence[str]:
    text = _TEXT.get(column.type, _plain)
    if not column.nullable or None not in values:
        return text(values)
    there = iter(text([value for value in values if value is not None]))
    return [NULL if value is None else next(there) for value in values]


def _plain(values: Sequence[Any]) -> Sequence[str]:
    return list(map(str, values))


def _texts(values: Sequence[str]) -> Sequence[str]:
    joined = "".join(values)
    if joined.isprintable() and "\\" not in joined:
        return values
    return [(text_cell(value) or "").translate(_ESCAPED) for value in values]


def _moments(values: Sequence[datetime]) -> Sequence[str]:
    return [value.isoformat() for value in values]


def _bodies(values: Sequence[bytes]) -> Sequence[str]:
    return _texts([verbatim_cell(value) for value in values])


def _documents(values: Sequence[Any]) -> Sequence[str]:
    return _texts([json_cell(value) or "" for value in values])


_TEXT: Mapping[str, Callable[[Sequence[Any]], Sequence[str]]] = {
    "text": _texts,
    "json": _bodies,
    "jsonb": _documents,
    "timestamptz": _moments,
}

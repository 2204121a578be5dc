"""Tables described by their row classes: columns, types and keys follow from the dataclass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from projections.cells import json_cell, json_list, text_cell, verbatim_cell

R = TypeVar("R")
Key = tuple[Any, ...]

TYPES: Mapping[Any, str] = {
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
    dict: "jsonb",
    list: "jsonb",
    Any: "json",
}
"""PostgreSQL's type for a field's. ``json`` keeps a body's bytes as they are."""
_CELLS: Mapping[str, Callable[[Any], Any]] = {
    "text": text_cell,
    "jsonb": json_cell,
    "json": verbatim_cell,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``nullable`` when the field may be ``None``."""

    name: str
    type: str
    nullable: bool

    @property
    def definition(self) -> str:
        """As DDL. Text compares by code point, so that order is the same everywhere."""
        collation = ' COLLATE "C"' if self.type == "text" else ""
        return f"{self.name} {self.type}{collation}{'' if self.nullable else ' NOT NULL'}"


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """Where rows of one class lie. ``indexes`` are column lists.

    With ``history`` every state of a row is kept in ``<name>_history`` with its position.
    """

    row: type[R]
    name: str
    key: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    history: bool = False

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """In the order of the fields."""
        hints = get_type_hints(self.row)
        return tuple(_column(field.name, hints[field.name]) for field in fields(self.row))  # type: ignore[arg-type]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def values(self) -> Callable[[R], tuple[Any, ...]]:
        """A row's values in the order of the columns."""
        return attrgetter(*self.names)

    @cached_property
    def key_of(self) -> Callable[[R], Key]:
        """A row's key, always a tuple."""
        if len(self.key) > 1:
            return attrgetter(*self.key)
        single = attrgetter(self.key[0])
        return lambda row: (single(row),)

    def cells(self, rows: list[R]) -> list[list[Any]]:
        """Columns of values that PostgreSQL takes."""
        found = []
        for column, values in zip(
            self.columns, zip(*map(self.values, rows), strict=True), strict=True
        ):
            cell = _CELLS.get(column.type)
            found.append([cell(value) for value in values] if cell else list(values))
        return found

    def states(self, rows: list[R]) -> list[str]:
        """Whole rows as JSON, for the history."""
        values = (dict(zip(self.names, self.values(row), strict=True)) for row in rows)
        return json_list(values)

    def type_of(self, column: str) -> str:
        """PostgreSQL's type of a column."""
        return next(each.type for each in self.columns if each.name == column)


def _column(name: str, hint: Any) -> Column:
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kept = next(option for option in options if option is not NoneType)
    return Column(name, TYPES[get_origin(kept) or kept], NoneType in options)

"""Tables described by their row classes: columns, types and keys follow from the dataclass."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from functools import cached_property
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from projections.cells import json_cell, text_cell, verbatim_cell

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


class Past(Enum):
    """How a table keeps what was so before.

    STATES: every state of a row, with the position of its event. SUMS: every amount that was
    added. GROWS: rows never change, and their own ``position`` says since when they are there.
    NONE: not at all.
    """

    STATES = "states"
    SUMS = "sums"
    GROWS = "grows"
    NONE = "none"


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

    ``fixed`` are columns that never differ between two states of a row, beside its key: its past
    is not kept, and conditions on it are as fast in the past as in the present. ``sought``: folds
    look up rows that they added, though they never change.
    """

    row: type[R]
    name: str
    key: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    past: Past = Past.STATES
    fixed: tuple[str, ...] = ()
    sought: bool = False

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

    @property
    def only_appended(self) -> bool:
        """Whether folds never look here nor write a row again."""
        return self.past is Past.GROWS and not self.sought

    @property
    def history(self) -> bool:
        """Whether what was so before lies in a table of its own, ``<name>_history``."""
        return self.past in {Past.STATES, Past.SUMS}

    @cached_property
    def moving(self) -> tuple[Column, ...]:
        """The columns that states of a row differ in."""
        return tuple(
            column for column in self.columns if column.name not in (*self.key, *self.fixed)
        )

    @cached_property
    def history_columns(self) -> tuple[Column, ...]:
        """Columns of the history; ``as_of`` is the position from which a state is so."""
        known = {column.name: column for column in self.columns}
        keys = (known[name] for name in self.key)
        return (*keys, *self.moving, Column("as_of", "bigint", nullable=False))

    @cached_property
    def history_names(self) -> tuple[str, ...]:
        """Names of the history's columns."""
        return tuple(column.name for column in self.history_columns)

    @cached_property
    def fixed_of(self) -> Callable[[R], Any] | None:
        """What never changes of a row, if there is anything."""
        return attrgetter(*self.fixed) if self.fixed else None

    def cells(self, rows: list[R]) -> list[list[Any]]:
        """Columns of values that PostgreSQL takes."""
        return _cells(self.columns, map(self.values, rows))

    def history_values(self, states: Iterable[tuple[int, R]]) -> Iterator[tuple[Any, ...]]:
        """What the history keeps of states with their positions, in the order of its columns."""
        values = attrgetter(*self.history_names[:-1])
        return ((*values(row), position) for position, row in states)

    def type_of(self, column: str) -> str:
        """PostgreSQL's type of a column."""
        return next(each.type for each in self.columns if each.name == column)


def _cells(columns: Iterable[Column], rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    found = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        cell = _CELLS.get(column.type)
        found.append([cell(value) for value in values] if cell else list(values))
    return found


def _column(name: str, hint: Any) -> Column:
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kept = next(option for option in options if option is not NoneType)
    return Column(name, TYPES[get_origin(kept) or kept], NoneType in options)

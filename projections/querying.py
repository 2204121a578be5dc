"""What all queries share: pages with opaque cursors, conditions, and who may see what."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar, cast

import psycopg
from psycopg.rows import class_row

from domain.shared.checks import within
from domain.shared.errors import InvalidInputError
from domain.shared.scope import Scope
from projections.cells import text_cell

R = TypeVar("R")
PAGE_LIMIT = 500

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: the position that orders it."""

    position: int

    def encode(self) -> str:
        """The opaque text that clients send back."""
        return urlsafe_b64encode(f"p{self.position}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, field: str = "after") -> Self:
        """Read it again. Raises ``InvalidInputError``."""
        try:
            plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        except ValueError:
            plain = ""
        digits = plain[1:]
        if plain[:1] != "p" or not digits.isdecimal() or len(digits) > 19:
            raise InvalidInputError("the cursor is not one of ours", field=field)
        return cls(int(digits))


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Up to ``first`` rows; ``has_more`` says whether others follow."""

    items: list[R]
    has_more: bool


class Where:
    """Conditions joined by AND, with their values."""

    def __init__(self) -> None:
        self._conditions: list[str] = ["true"]
        self.values: dict[str, Any] = {}

    def add(self, condition: str, **values: Any) -> Self:
        """One more condition; its values are named ``%(name)s`` in it."""
        self._conditions.append(f"({condition})")
        self.values |= values
        return self

    def if_given(self, value: object, condition: str, **values: Any) -> Self:
        """The condition only where a filter was given."""
        return self.add(condition, **values) if value not in (None, "", ()) else self

    def __str__(self) -> str:
        return " AND ".join(self._conditions)


def visible(scope: Scope, *, owned: str) -> Where:
    """Rows of readable organisations, and what ``owned`` says of a vendor's own nodes.

    ``owned`` is a condition on ``%(vendor)s`` (the account) and ``%(vends)s`` (organisations in
    which it is a vendor).
    """
    readable: str | list[str] = scope.readable
    condition = "organisation_id = ANY(%(readable)s)"
    if len(readable) == 1:
        # Only by an equality does an index give the rows in the order of a page.
        condition, readable = "organisation_id = %(readable)s", readable[0]
    if not scope.vended:
        return Where().add(condition, readable=readable)
    return Where().add(
        f"{condition} OR {owned}",
        readable=readable,
        vendor=scope.account_id,
        vends=scope.vended,
    )


async def fetch(connection: Connection, row: type[R], text: str, values: dict[str, Any]) -> list[R]:
    """All rows of a statement whose columns are the fields of ``row``."""
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(text.encode(), {name: _asked(each) for name, each in values.items()})
        return await cursor.fetchall()


async def fetch_page(
    connection: Connection,
    row: type[R],
    table: str,
    where: Where,
    *,
    first: int,
    after: Cursor | None,
    order: str = "created",
    newest_first: bool = False,
) -> Page[R]:
    """One page of a table in the order of a position column, by key set."""
    within("first", first, 1, PAGE_LIMIT)
    if after is not None:
        where.add(f"{order} {'<' if newest_first else '>'} %(after)s", after=after.position)
    text = (
        f"SELECT {columns(row)} FROM {table} WHERE {where}"
        f" ORDER BY {order} {'DESC' if newest_first else 'ASC'} LIMIT %(limit)s"
    )
    found = await fetch(connection, row, text, {**where.values, "limit": first + 1})
    return Page(found[:first], len(found) > first)


async def fetch_any(
    connection: Connection,
    row: type[R],
    table: str,
    where: Where,
    *,
    column: str,
    ids: Sequence[str],
    order: str,
) -> list[R]:
    """The rows whose ``column`` is one of ``ids``, in one statement."""
    where.add(f"{column} = ANY(%(ids)s)", ids=list(ids))
    text = f"SELECT {columns(row)} FROM {table} WHERE {where} ORDER BY {order}"
    return await fetch(connection, row, text, where.values)


def grouped(rows: Sequence[R], ids: Sequence[str], field: str) -> dict[str, list[R]]:
    """Rows by the value of a field; every id has a list."""
    found: dict[str, list[R]] = {each: [] for each in ids}
    for row in rows:
        found[cast("str", getattr(row, field))].append(row)
    return found


def columns(row: type[Any]) -> str:
    """The fields of a row class as a column list."""
    return ", ".join(field.name for field in fields(row))


def _asked(value: Any) -> Any:
    """PostgreSQL holds no text with NUL, so that a question about one finds nothing."""
    if isinstance(value, list):
        return [_asked(each) for each in value]
    return text_cell(value) if isinstance(value, str) else value

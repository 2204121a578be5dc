"""Scalars of our own, each with the range it takes."""

from datetime import UTC, datetime
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

EXACT = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""
POSITION_DIGITS = 19

Position = NewType("Position", int)
Int53 = NewType("Int53", int)
Instant = NewType("Instant", datetime)


def read_position(value: object) -> int:
    """A position from its decimal text; ``0`` is the beginning of the log."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= POSITION_DIGITS):
        raise GraphQLError("a position is a decimal number written as text")
    return int(text)


def read_int53(value: object) -> int:
    """A whole number that JSON carries exactly."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > EXACT:
        raise GraphQLError(f"a whole number from -{EXACT} to {EXACT} is wanted")
    return value


def write_instant(value: datetime) -> str:
    """UTC with milliseconds: ``2026-01-12T10:30:00.000Z``."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_instant(value: object) -> datetime:
    """A moment from ISO 8601 text with its zone."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # refused in the same words as everything else that is no moment
    raise GraphQLError("a moment is ISO 8601 with a zone, such as 2026-01-12T10:30:00Z")


SCALARS: dict[object, ScalarDefinition] = {
    Position: strawberry.scalar(
        name="Position",
        description="A place in the event log, as a decimal number written as text. Positions"
        " only grow; what they mean inside is not part of the contract.",
        serialize=str,
        parse_value=read_position,
    ),
    Int53: strawberry.scalar(
        name="Int53",
        description="A whole number from -(2^53 - 1) to 2^53 - 1, which JSON carries exactly.",
        serialize=int,
        parse_value=read_int53,
    ),
    Instant: strawberry.scalar(
        name="Instant",
        description="A moment in UTC with milliseconds, ISO 8601: 2026-01-12T10:30:00.000Z.",
        serialize=write_instant,
        parse_value=read_instant,
    ),
}

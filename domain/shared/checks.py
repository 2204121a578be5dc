"""Checks of values that decisions share."""

from enum import StrEnum
from typing import TypeVar

from domain.shared.errors import InvalidInputError

NAME_LIMIT = 200

E = TypeVar("E", bound=StrEnum)


def within(field: str, value: int, low: int, high: int) -> int:
    """``value`` when ``low <= value <= high``, else a refusal that names the field."""
    if not low <= value <= high:
        raise InvalidInputError(f"{field} must be from {low} to {high}, not {value}", field=field)
    return value


def positive(field: str, value: int) -> int:
    """``value`` when it is above zero, else a refusal that names the field."""
    if value <= 0:
        raise InvalidInputError(f"{field} must be above 0, not {value}", field=field)
    return value


def named(field: str, value: str) -> str:
    """``value`` without outer blanks; refused when empty, too long or with control characters."""
    text = value.strip()
    if not text or len(text) > NAME_LIMIT or not text.isprintable():
        raise InvalidInputError(
            f"{field} must be 1 to {NAME_LIMIT} printable characters", field=field
        )
    return text


def one_of(field: str, value: str, words: type[E]) -> E:
    """``value`` as one of the words, else a refusal that lists them."""
    try:
        return words(value)
    except ValueError:
        raise InvalidInputError(
            f"{field} must be one of {', '.join(words)}, not {value[:60]}", field=field
        ) from None

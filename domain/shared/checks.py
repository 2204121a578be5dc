"""Checks of values that decisions share."""

import re
from enum import StrEnum
from typing import Final, TypeVar

from domain.shared.errors import InvalidInputError
from domain.shared.personal import is_sealed

NAME_LIMIT = 200
REMARK_LIMIT = 1000
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

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


def word(field: str, value: str) -> str:
    """``value`` when it can stand in a subject and in a file's name: letters, digits, - and _."""
    if not _WORD.fullmatch(value):
        raise InvalidInputError(
            f"{field} must be 1 to 64 letters, digits, - or _, a letter or digit first", field=field
        )
    return value


def remark(field: str, value: str) -> str:
    """A person's own words, perhaps none: without outer blanks, printable but for line breaks.

    Sealed ones were looked at before they were sealed.
    """
    text = value.strip()
    if is_sealed(text):
        return text
    if len(text) > REMARK_LIMIT or not text.replace("\n", "").isprintable():
        raise InvalidInputError(
            f"{field} must be at most {REMARK_LIMIT} printable characters", field=field
        )
    return text


def stated(field: str, value: str) -> str:
    """The same where something must be said, in a line: checked as ``named`` unless sealed."""
    return value if is_sealed(value) else named(field, value)


def legible(text: str) -> str:
    """What a machine said, as a person can read it: what is unprintable replaced, the end cut."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:REMARK_LIMIT])


def one_of(field: str, value: str, words: type[E]) -> E:
    """``value`` as one of the words, else a refusal that lists them."""
    try:
        return words(value)
    except ValueError:
        raise InvalidInputError(
            f"{field} must be one of {', '.join(words)}, not {value[:60]}", field=field
        ) from None

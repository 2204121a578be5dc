"""Checks of values that decisions share."""

from domain.shared.errors import InvalidInputError

NAME_LIMIT = 200


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

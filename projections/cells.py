"""Values as PostgreSQL takes them. It stores no NUL character: one becomes U+FFFD."""

from typing import Any

import orjson

_NUL = "\\u0000"


def text_cell(value: str | None) -> str | None:
    """A text without NUL."""
    return value.replace("\0", "\ufffd") if value else value


def json_cell(value: Any) -> str | None:
    """JSON for a ``jsonb`` column, without NUL."""
    if value is None:
        return None
    text = orjson.dumps(value).decode()
    return orjson.dumps(_cleaned(value)).decode() if _NUL in text else text


def verbatim_cell(value: bytes) -> str:
    """A body as it was hashed, for a ``json`` column: its escapes stay as they are."""
    return value.decode()


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return text_cell(value)
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return value

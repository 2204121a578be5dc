"""An aggregate's attributes as JSON and back, whatever their types.

Events are contracts and stay plain. A snapshot is our own scratch paper: what JSON does not know
is written as ``{"_is_": what, "of": value}``.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from eventsourcing.utils import resolve_topic

_PLAIN = (str, int, float, bool, type(None))
_UNPACK: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "datetime": datetime.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
}


def packed(value: Any) -> Any:
    """JSON for a value. Raises ``TypeError`` for what no aggregate should hold."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [packed(item) for item in value]
    if kind is dict:
        return _packed_dict(value)
    if kind in (tuple, set, frozenset):
        return {"_is_": kind.__name__, "of": [packed(item) for item in value]}
    if kind is datetime:
        return {"_is_": "datetime", "of": value.isoformat()}
    if kind in (Decimal, UUID):
        return {"_is_": kind.__name__, "of": str(value)}
    name = f"{kind.__module__}:{kind.__qualname__}"
    if isinstance(value, Enum):
        return {"_is_": name, "of": packed(value.value)}
    if is_dataclass(value):
        return {"_is_": name, "of": {f.name: packed(getattr(value, f.name)) for f in fields(value)}}
    raise TypeError(f"a snapshot cannot hold a {kind.__qualname__}")


def unpacked(value: Any) -> Any:
    """The value again."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "_is_" not in value:
        return {key: unpacked(item) for key, item in value.items()}
    inner = unpacked(value["of"])
    name = value["_is_"]
    if name in _UNPACK:
        return _UNPACK[name](inner)
    cls: Any = resolve_topic(name)
    made: Any = cls(**inner) if isinstance(inner, dict) else cls(inner)
    return made


def _packed_dict(value: dict[Any, Any]) -> Any:
    if all(type(key) is str for key in value) and "_is_" not in value:
        return {key: packed(item) for key, item in value.items()}
    pairs = [{"_is_": "tuple", "of": [packed(key), packed(item)]} for key, item in value.items()]
    return {"_is_": "dict", "of": pairs}

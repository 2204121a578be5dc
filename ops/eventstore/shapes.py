"""Gives JSON values back the types that a dataclass's annotations promise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

Restore = Callable[[Any], Any]

_FROM_TEXT: dict[Any, Restore] = {
    UUID: UUID,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
}


@cache
def restorers_of(model: Any) -> dict[str, Restore]:
    """The fields of a dataclass whose JSON form is not their own, and how to restore each."""
    hints = get_type_hints(model)
    found = {field.name: _restore(hints[field.name]) for field in fields(model)}
    return {name: restore for name, restore in found.items() if restore is not None}


def restored(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Restore the values of a dataclass's fields in place."""
    for name, restore in restorers_of(cls).items():
        if values.get(name) is not None:
            values[name] = restore(values[name])
    return values


def _restore(hint: Any) -> Restore | None:
    if hint in _FROM_TEXT:
        return _FROM_TEXT[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: hint(**restored(hint, dict(value)))
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(args)
    if origin in (tuple, set, frozenset):
        return _collection(origin, _restore(args[0]))
    if origin in (list, Sequence):
        each = _restore(args[0])
        return None if each is None else _collection(list, each)
    if origin in (dict, Mapping):
        return _mapping(_restore(args[1]))
    return None


def _optional(args: tuple[Any, ...]) -> Restore | None:
    given = [arg for arg in args if arg is not NoneType]
    restore = _restore(given[0]) if len(given) == 1 else None
    return None if restore is None else lambda value: None if value is None else restore(value)


def _collection(make: Callable[[Any], Any], each: Restore | None) -> Restore:
    if each is None:
        return make
    return lambda values: make(each(value) for value in values)


def _mapping(each: Restore | None) -> Restore | None:
    if each is None:
        return None
    return lambda values: {key: each(value) for key, value in values.items()}

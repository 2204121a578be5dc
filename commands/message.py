"""What a command is: a frozen value with checked fields, named by its class."""

from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from domain.shared.errors import InvalidInputError

T = TypeVar("T")

MESSAGES: dict[str, TypeAdapter[Any]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a class a part of commands: frozen, keyword-only, unknown fields refused."""
    made = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))(cls)
    return cast("type[T]", made)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(cls: type[T]) -> type[T]:
    """Make a class a command: such a value, found by its name."""
    made = value(cls)
    MESSAGES[cls.__name__] = TypeAdapter(made)
    return made


def parse(name: str, payload: bytes) -> Any:
    """The command of that name from its JSON. Raises ``InvalidInputError`` naming the field."""
    if name not in MESSAGES:
        raise InvalidInputError(f"there is no command {name[:60]}", field="name")
    try:
        return MESSAGES[name].validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise InvalidInputError(f"{field or name}: {first['msg']}", field=field) from None

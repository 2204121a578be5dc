"""Fields that say what they mean. Strawberry's own decorators lose a resolver's type."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

F = TypeVar("F", bound=Callable[..., Any])


def described(text: str) -> Any:
    """A field with its description; units stand in it."""
    return strawberry.field(description=text)


def resolved(text: str) -> Callable[[F], F]:
    """A method that is a field, described by ``text``."""
    return cast("Callable[[F], F]", strawberry.field(description=text))


def watched(text: str) -> Callable[[F], F]:
    """An asynchronous generator that is a subscription, described by ``text``."""
    return cast("Callable[[F], F]", strawberry.subscription(description=text))

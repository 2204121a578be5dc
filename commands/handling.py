"""The register of handlers: which function decides on which message."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from commands.world import World
from domain.shared.aggregate import ImeweAggregate

M = TypeVar("M")
A = TypeVar("A", bound=ImeweAggregate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """``decide`` returns the aggregate that changed, or would have; it saves nothing itself.
    ``tell`` gives what the answer holds beside position and id, from the aggregate's state."""

    decide: Callable[[Any, World], ImeweAggregate]
    tell: Callable[[Any], dict[str, Any]]


HANDLERS: dict[str, Handling] = {}


def _nothing_more(aggregate: Any) -> dict[str, Any]:
    return {}


def handles(
    message: type[M], *, tell: Callable[[Any], dict[str, Any]] = _nothing_more
) -> Callable[[Callable[[M, World], A]], Callable[[M, World], A]]:
    """Make a function the handler of a message."""

    def register(decide: Callable[[M, World], A]) -> Callable[[M, World], A]:
        HANDLERS[message.__name__] = Handling(
            decide=cast("Callable[[Any, World], ImeweAggregate]", decide), tell=tell
        )
        return decide

    return register

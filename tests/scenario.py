"""given / when / then for aggregates.

``then`` compares event types and whole payloads, and folds the aggregate's history again: what a
replay makes of it must equal what lives.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

import pytest

from domain.shared.aggregate import Fact, ImeweAggregate
from domain.shared.errors import ImeweError

A = TypeVar("A", bound=ImeweAggregate)
Expected = tuple[type[Fact], dict[str, Any]]

_FRAME = {"originator_id", "originator_version", "originator_topic", "timestamp"}


class Scenario(Generic[A]):
    """An aggregate with its whole history still pending, as the tests make it."""

    def __init__(self, aggregate: A) -> None:
        self._aggregate = aggregate
        self._past = list(aggregate.pending_events)
        self._acts: list[Callable[[A], object]] = []

    def when(self, act: Callable[[A], object]) -> "Scenario[A]":
        """What is done; may be said several times."""
        self._acts.append(act)
        return self

    def then(self, *expected: Expected) -> A:
        """Exactly these events follow. Returns the aggregate."""
        for act in self._acts:
            act(self._aggregate)
        every = list(self._aggregate.pending_events)
        assert [told(event) for event in every[len(self._past) :]] == list(expected)
        assert refolded(every) == settled(self._aggregate)
        return self._aggregate

    def then_nothing(self) -> A:
        """It was so already: no event, no error."""
        return self.then()

    def then_refused(self, error: type[ImeweError], *, match: str = "", field: str = "") -> A:
        """The last act is refused by this error and leaves no trace."""
        *before, last = self._acts
        for act in before:
            act(self._aggregate)
        count = len(self._aggregate.pending_events)
        state = deepcopy(vars(self._aggregate))
        with pytest.raises(error, match=match or None) as caught:
            last(self._aggregate)
        assert caught.type is error
        assert caught.value.field == field
        assert len(self._aggregate.pending_events) == count
        assert vars(self._aggregate) == state
        return self._aggregate


def given(aggregate: A) -> Scenario[A]:
    """Begin with this aggregate."""
    return Scenario(aggregate)


def told(event: Any) -> Expected:
    """An event as its type and payload."""
    return type(event), {k: v for k, v in vars(event).items() if k not in _FRAME}


def refolded(events: Sequence[Any]) -> Any:
    """What a replay makes of a history."""
    aggregate = None
    for event in events:
        aggregate = deepcopy(event).mutate(aggregate)
    return aggregate


def settled(aggregate: A) -> A:
    """A copy without pending events, to compare."""
    copy = deepcopy(aggregate)
    copy.collect_events()
    return copy

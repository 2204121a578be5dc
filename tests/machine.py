"""A hypothesis state machine over one aggregate: any order of acts, and what always holds."""

from collections.abc import Callable
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from domain.shared.aggregate import ImeweAggregate
from domain.shared.errors import ImeweError
from tests.scenario import refolded, settled


class AggregateMachine(RuleBasedStateMachine):
    """Acts may be refused, and then leave no trace; what a replay makes equals what lives.

    ``attempt`` runs an act and says whether it was obeyed.
    """

    aggregate: Any

    def attempt(self, act: Callable[[Any], object]) -> bool:
        aggregate: ImeweAggregate = self.aggregate
        count, version = len(aggregate.pending_events), aggregate.version
        try:
            act(aggregate)
        except ImeweError:
            assert (len(aggregate.pending_events), aggregate.version) == (count, version)
            return False
        recorded = len(aggregate.pending_events)
        act(aggregate)  # the same again is obeyed already
        assert len(aggregate.pending_events) == recorded
        return True

    @invariant()
    def a_replay_makes_the_same(self) -> None:
        assert refolded(list(self.aggregate.pending_events)) == settled(self.aggregate)

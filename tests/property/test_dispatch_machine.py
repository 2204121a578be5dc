"""Any order, repetition and lateness of the saga's steps: attempts go one by one, and it closes
once."""

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.dispatch.aggregate import Dispatch, DispatchStatus
from tests.machine import AggregateMachine

ATTEMPTS = st.integers(0, 4)


class DispatchMachine(AggregateMachine):
    aggregate: Dispatch

    @initialize()
    def request(self) -> None:
        self.aggregate = Dispatch.request(
            UUID(int=6), organisation_id="org", job_id="job", part_id="part", piece=0, work={}
        )

    @rule(attempt=ATTEMPTS)
    def choose(self, attempt: int) -> None:
        self.attempt(
            lambda dispatch: dispatch.choose(
                attempt=attempt,
                build_id=f"b{attempt}",
                node_id=f"n{attempt}",
                inventory_id="lot",
                decision={},
            )
        )

    @rule(attempt=ATTEMPTS)
    def reserve_node(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.reserve_node(attempt, epoch=1))

    @rule(attempt=ATTEMPTS)
    def reserve_material(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.reserve_material(attempt, quantity_mg=1))

    @rule(attempt=ATTEMPTS)
    def send(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.send(attempt))

    @rule(attempt=ATTEMPTS)
    def start(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.start(attempt))

    @rule(attempt=ATTEMPTS)
    def revert(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.revert(attempt, reason="refused"))

    @rule(attempt=ATTEMPTS)
    def finish_revert(self, attempt: int) -> None:
        self.attempt(lambda dispatch: dispatch.finish_revert(attempt))

    @rule(outcome=st.sampled_from(["made", "failed"]))
    def close(self, outcome: str) -> None:
        self.attempt(lambda dispatch: dispatch.close(outcome))

    @invariant()
    def it_starts_at_one_machine_and_closes_once(self) -> None:
        kinds = [type(event) for event in self.aggregate.pending_events]
        assert kinds.count(Dispatch.Started) <= 1
        assert kinds.count(Dispatch.Closed) <= 1
        assert Dispatch.Closed not in kinds[:-1]
        begun = Dispatch.Started in kinds
        assert not begun or Dispatch.Reverting not in kinds[kinds.index(Dispatch.Started) :]

    @invariant()
    def attempts_are_counted_and_given_back_one_by_one(self) -> None:
        kinds = [type(event) for event in self.aggregate.pending_events]
        chosen, reverted = kinds.count(Dispatch.NodeChosen), kinds.count(Dispatch.Reverted)
        assert chosen - reverted in {0, 1}
        assert len(self.aggregate.tried) == reverted
        waiting = self.aggregate.status == DispatchStatus.REQUESTED
        assert not waiting or chosen == reverted


TestDispatch = DispatchMachine.TestCase

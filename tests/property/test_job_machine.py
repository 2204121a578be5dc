"""Any order of what parts report and people wish leaves a job that follows from its parts."""

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.job.aggregate import Job
from domain.job.states import ENDED, JobStatus, derived_status
from tests.machine import AggregateMachine

ARTIFACT = {"digest": "d" * 64, "size": 1, "format": "stl", "name": "a.stl"}
S = JobStatus
BEGINNING = frozenset({S.SUBMITTED, S.VALIDATED})
LINE = {"name": "a", "artifact": ARTIFACT, "material": "PLA", "quantity": 1}


class JobMachine(AggregateMachine):
    aggregate: Job

    @initialize(lines=st.integers(1, 4))
    def submit(self, lines: int) -> None:
        self.aggregate = Job.submit(
            UUID(int=1),
            organisation_id="org",
            owner_id="anna",
            name="job",
            priority=5,
            deadline=None,
            parts=[dict(LINE) for _ in range(lines)],
        )
        self.cancelled = False

    @rule(line=st.integers(0, 4), status=st.sampled_from(list(S)))
    def follow(self, line: int, status: JobStatus) -> None:
        part = [*self.aggregate.parts, "foreign"][min(line, len(self.aggregate.parts))]
        if status in BEGINNING and self.aggregate.parts.get(part) not in {None, S.SUBMITTED}:
            return  # a part never goes back to before it was scheduled
        obeyed = self.attempt(lambda job: job.follow_part(part, status))
        assert obeyed == (part != "foreign")

    @rule(priority=st.integers(-1, 12))
    def reprioritize(self, priority: int) -> None:
        if self.attempt(lambda job: job.reprioritize(priority)):
            assert self.aggregate.priority == priority

    @rule()
    def cancel(self) -> None:
        ended = S(self.aggregate.status) in ENDED - {S.CANCELLED}
        obeyed = self.attempt(lambda job: job.cancel("why not"))
        assert obeyed or ended

    @invariant()
    def its_state_follows_from_its_parts(self) -> None:
        parts = [S(status) for status in self.aggregate.parts.values()]
        assert self.aggregate.status == derived_status(parts)
        assert 1 <= self.aggregate.priority <= 10

    @invariant()
    def a_wish_to_cancel_is_never_forgotten(self) -> None:
        assert self.aggregate.cancel_requested or not self.cancelled
        self.cancelled = self.aggregate.cancel_requested


TestJob = JobMachine.TestCase

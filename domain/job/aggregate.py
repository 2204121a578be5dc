"""A customer's order for parts."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.job.states import ENDED, JobStatus, derived_status
from domain.shared.aggregate import Created, Fact, ImeweAggregate
from domain.shared.checks import named, positive, remark, within
from domain.shared.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.shared.identifiers import part_id

LINES_LIMIT = 200
PIECES_LIMIT = 1000


class Job(ImeweAggregate):
    """An order from submission to completion; its state follows from its parts.

    Public methods decide and may refuse. Private ``@event`` methods remember: they
    run again on every replay, so they only assign; no check, no clock, no raise.
    """

    TOPIC = "imewe.job:Job"

    class Submitted(Created):
        """The order came in. ``parts``: one entry a line, see ``schema/events``."""

        TOPIC = "imewe.job:Submitted"
        organisation_id: str
        owner_id: str
        name: str
        priority: int
        deadline: str
        parts: list[dict[str, Any]]

    class Validated(ImeweAggregate.Event):
        """The last part was found feasible."""

        TOPIC = "imewe.job:Validated"
        part_id: str
        part_status: str

    class Scheduled(ImeweAggregate.Event):
        """A part waits for a machine."""

        TOPIC = "imewe.job:Scheduled"
        part_id: str
        part_status: str

    class Assigned(ImeweAggregate.Event):
        """A piece was given to a machine."""

        TOPIC = "imewe.job:Assigned"
        part_id: str
        part_status: str

    class Started(ImeweAggregate.Event):
        """A machine works on a piece, or goes on after a pause."""

        TOPIC = "imewe.job:Started"
        part_id: str
        part_status: str

    class Paused(ImeweAggregate.Event):
        """Every open part is held."""

        TOPIC = "imewe.job:Paused"
        part_id: str
        part_status: str

    class Completed(ImeweAggregate.Event):
        """Every piece of every part has passed."""

        TOPIC = "imewe.job:Completed"
        part_id: str
        part_status: str

    class Failed(ImeweAggregate.Event):
        """A part was given up."""

        TOPIC = "imewe.job:Failed"
        part_id: str
        part_status: str

    class Rejected(ImeweAggregate.Event):
        """A part cannot be made; ``Part.Rejected`` holds the reasons."""

        TOPIC = "imewe.job:Rejected"
        part_id: str
        part_status: str

    class Cancelled(ImeweAggregate.Event):
        """The last part that had to stop has stopped."""

        TOPIC = "imewe.job:Cancelled"
        part_id: str
        part_status: str

    class PartAdvanced(ImeweAggregate.Event):
        """A part's state moved and the job's did not."""

        TOPIC = "imewe.job:PartAdvanced"
        part_id: str
        part_status: str

    class Reprioritized(ImeweAggregate.Event):
        """The place in the queue was changed."""

        TOPIC = "imewe.job:Reprioritized"
        priority: int

    class CancelRequested(ImeweAggregate.Event):
        """Somebody wants it stopped; machines have yet to confirm."""

        TOPIC = "imewe.job:CancelRequested"
        reason: str

    @classmethod
    def submit(
        cls,
        job_id: UUID,
        *,
        organisation_id: str,
        owner_id: str,
        name: str,
        priority: int,
        deadline: datetime | None,
        parts: list[dict[str, Any]],
    ) -> Self:
        """Take an order. Each part: name, artifact {digest, size, format, name}, material,
        quantity. Raises ``InvalidInputError``."""
        within("priority", priority, 1, 10)
        if not parts:
            raise InvalidInputError("a job needs at least one part", field="parts")
        within("parts", len(parts), 1, LINES_LIMIT)
        lines = [
            {**part, "part_id": str(part_id(job_id, line)), "line": line, **_checked(part, line)}
            for line, part in enumerate(parts)
        ]
        return cls._create(
            cls.Submitted,
            id=job_id,
            organisation_id=organisation_id,
            owner_id=owner_id,
            name=named("name", name),
            priority=priority,
            deadline=deadline.isoformat() if deadline else "",
            parts=lines,
        )

    @event(Submitted)
    def __init__(
        self,
        organisation_id: str,
        owner_id: str,
        name: str,
        priority: int,
        deadline: str,
        parts: list[dict[str, Any]],
    ) -> None:
        self.organisation_id = organisation_id
        self.owner_id = owner_id
        self.name = name
        self.priority = priority
        self.deadline = deadline
        self.parts: dict[str, str] = {part["part_id"]: JobStatus.SUBMITTED.value for part in parts}
        self.status: str = JobStatus.SUBMITTED.value
        self.cancel_requested = False

    def follow_part(self, part: str, part_status: JobStatus) -> None:
        """Take over a part's state; the job's own follows by the table in ``states``.

        A part that has ended stays so: what is said of it later was on its way too long.
        """
        if part not in self.parts:
            raise NotFoundError(f"Part {part} is not of job {self.id}")
        if self.parts[part] == part_status or JobStatus(self.parts[part]) in ENDED:
            return
        statuses = {**self.parts, part: part_status.value}
        status = derived_status([JobStatus(value) for value in statuses.values()])
        moved = EVENT_OF[status] if status != self.status else Job.PartAdvanced
        self.trigger_event(moved, part_id=part, part_status=part_status.value)

    def reprioritize(self, priority: int) -> None:
        """Change the place in the queue, 1 (last) to 10 (first)."""
        within("priority", priority, 1, 10)
        if priority == self.priority:
            return
        self._refuse_when_ended("reprioritized")
        self._reprioritized(priority=priority)

    def cancel(self, reason: str) -> None:
        """Ask for the end; it is cancelled when every machine has confirmed."""
        if self.cancel_requested or self.status == JobStatus.CANCELLED:
            return
        self._refuse_when_ended("cancelled")
        self._cancel_requested(reason=remark("reason", reason))

    def _refuse_when_ended(self, wish: str) -> None:
        if JobStatus(self.status) in ENDED:
            raise IllegalTransitionError(f"Job {self.id} is {self.status} and cannot be {wish}")

    def _advance(self, part: str, part_status: str, status: JobStatus | None = None) -> None:
        self.parts[part] = part_status
        if status:
            self.status = status.value

    @event(Validated)
    def _validated(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.VALIDATED)

    @event(Scheduled)
    def _scheduled(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.SCHEDULED)

    @event(Assigned)
    def _assigned(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.ASSIGNED)

    @event(Started)
    def _started(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.IN_PROGRESS)

    @event(Paused)
    def _paused(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.PAUSED)

    @event(Completed)
    def _completed(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.COMPLETED)

    @event(Failed)
    def _failed(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.FAILED)

    @event(Rejected)
    def _rejected(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.REJECTED)

    @event(Cancelled)
    def _cancelled(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status, JobStatus.CANCELLED)

    @event(PartAdvanced)
    def _part_advanced(self, part_id: str, part_status: str) -> None:
        self._advance(part_id, part_status)

    @event(Reprioritized)
    def _reprioritized(self, priority: int) -> None:
        self.priority = priority

    @event(CancelRequested)
    def _cancel_requested(self, reason: str) -> None:
        self.cancel_requested = True


EVENT_OF: dict[JobStatus, type[Fact]] = {
    JobStatus.SUBMITTED: Job.PartAdvanced,
    JobStatus.VALIDATED: Job.Validated,
    JobStatus.SCHEDULED: Job.Scheduled,
    JobStatus.ASSIGNED: Job.Assigned,
    JobStatus.IN_PROGRESS: Job.Started,
    JobStatus.PAUSED: Job.Paused,
    JobStatus.COMPLETED: Job.Completed,
    JobStatus.FAILED: Job.Failed,
    JobStatus.REJECTED: Job.Rejected,
    JobStatus.CANCELLED: Job.Cancelled,
}


def _checked(part: dict[str, Any], line: int) -> dict[str, Any]:
    place = f"parts.{line}"
    within(f"{place}.quantity", part["quantity"], 1, PIECES_LIMIT)
    positive(f"{place}.artifact.size", part["artifact"]["size"])
    return {
        "name": named(f"{place}.name", part["name"]),
        "material": named(f"{place}.material", part["material"]).upper(),
    }

"""Folds the events of jobs."""

from datetime import datetime

from domain.job.aggregate import EVENT_OF, Job
from domain.job.states import ENDED, JobStatus
from domain.shared.aggregate import Fact
from domain.shared.recorded import RecordedEvent
from projections.jobs.rows import JobRow
from projections.jobs.tables import JOBS
from projections.replacing import replace
from projections.rows import Rows

STATUS_OF: dict[type[Fact], JobStatus] = {
    event: status for status, event in EVENT_OF.items() if event is not Job.PartAdvanced
}
"""The state to which each event leads."""


def fold_job(rows: Rows, recorded: RecordedEvent) -> str:
    """Remember one event and return the job's id."""
    job_id = str(recorded.aggregate_id)
    event = recorded.event
    if isinstance(event, Job.Submitted):
        rows.put(JOBS, _submitted(event, recorded))
        return job_id
    row = replace(rows.get(JOBS, job_id), position=recorded.position, version=recorded.version)
    match event:
        case Job.Reprioritized():
            row = replace(row, priority=event.priority)
        case Job.CancelRequested():
            row = replace(row, cancel_requested=True, cancel_reason=event.reason)
        case _ if status := STATUS_OF.get(type(event)):
            row = _advanced(row, status, recorded.envelope.occurred_at)
        case _:
            pass
    rows.put(JOBS, row)
    return job_id


def _advanced(row: JobRow, status: JobStatus, at: datetime) -> JobRow:
    started = row.started_at or (at if status is JobStatus.IN_PROGRESS else None)
    ended = at if status in ENDED else None
    return replace(row, status=status.value, started_at=started, ended_at=ended)


def _submitted(event: Job.Submitted, recorded: RecordedEvent) -> JobRow:
    return JobRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        owner_id=event.owner_id,
        name=event.name,
        priority=event.priority,
        deadline=datetime.fromisoformat(event.deadline) if event.deadline else None,
        status=JobStatus.SUBMITTED.value,
        cancel_requested=False,
        cancel_reason="",
        lines=len(event.parts),
        pieces=sum(part["quantity"] for part in event.parts),
        submitted_at=recorded.envelope.occurred_at,
        started_at=None,
        ended_at=None,
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )

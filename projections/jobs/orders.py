"""Folds the events of jobs."""

from datetime import datetime
from typing import Any

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
    row = rows.get(JOBS, job_id)
    told = _told(row, event, recorded.envelope.occurred_at)
    position, version = recorded.position, recorded.version
    rows.put(JOBS, replace(row, position=position, version=version, **told))
    return job_id


def _told(row: JobRow, event: Fact, at: datetime) -> dict[str, Any]:
    """The fields of the row that the event tells anew."""
    match event:
        case Job.Reprioritized():
            return {"priority": event.priority}
        case Job.CancelRequested():
            return {"cancel_requested": True, "cancel_reason": event.reason}
        case _ if status := STATUS_OF.get(type(event)):
            return {
                "status": status.value,
                "started_at": row.started_at or (at if status is JobStatus.IN_PROGRESS else None),
                "ended_at": at if status in ENDED else None,
            }
        case _:
            return {}


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

"""The states of jobs and parts, and the table by which a job's state follows from its parts."""

from collections.abc import Collection
from enum import StrEnum


class JobStatus(StrEnum):
    """Where an order stands."""

    SUBMITTED = "SUBMITTED"
    VALIDATED = "VALIDATED"
    SCHEDULED = "SCHEDULED"
    ASSIGNED = "ASSIGNED"
    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


ENDED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REJECTED})

RANK = {
    JobStatus.SUBMITTED: 0,
    JobStatus.VALIDATED: 1,
    JobStatus.SCHEDULED: 2,
    JobStatus.ASSIGNED: 3,
    JobStatus.IN_PROGRESS: 4,
}


def derived_status(parts: Collection[JobStatus]) -> JobStatus:
    """A job's state from the states of its parts.

    ============================================  ===========
    parts                                         job
    ============================================  ===========
    every part has ended, one was rejected        REJECTED
    every part has ended, one has failed          FAILED
    every part has ended, one was cancelled       CANCELLED
    every part is completed                       COMPLETED
    parts that have not ended are all paused      PAUSED
    some part is completed or in progress         IN_PROGRESS
    else: the least advanced part while none is   VALIDATED when all are validated,
    assigned, else the most advanced              SCHEDULED, ASSIGNED ...
    ============================================  ===========
    """
    if not parts:
        return JobStatus.SUBMITTED
    open_parts = [status for status in parts if status not in ENDED]
    if not open_parts:
        return _ended(parts)
    if all(status is JobStatus.PAUSED for status in open_parts):
        return JobStatus.PAUSED
    if len(open_parts) < len(parts) or JobStatus.PAUSED in open_parts:
        return JobStatus.IN_PROGRESS
    most = max(open_parts, key=RANK.__getitem__)
    least = min(open_parts, key=RANK.__getitem__)
    return most if RANK[most] >= RANK[JobStatus.SCHEDULED] else least


def _ended(parts: Collection[JobStatus]) -> JobStatus:
    for status in (JobStatus.REJECTED, JobStatus.FAILED, JobStatus.CANCELLED):
        if status in parts:
            return status
    return JobStatus.COMPLETED

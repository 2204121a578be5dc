"""Orders: what they accept, and how their state follows from their parts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.job.aggregate import LINES_LIMIT, Job
from domain.job.states import ENDED, JobStatus, derived_status
from domain.shared.errors import IllegalTransitionError, InvalidInputError, NotFoundError
from domain.shared.identifiers import part_id
from tests.scenario import given

JOB_ID = UUID(int=1)
FIRST, SECOND = str(part_id(JOB_ID, 0)), str(part_id(JOB_ID, 1))
S = JobStatus


def line(**changes: Any) -> dict[str, Any]:
    artifact = {"digest": "d" * 64, "size": 10, "format": "stl", "name": "hook.stl"}
    return {"name": "Hook", "artifact": artifact, "material": "pla", "quantity": 1, **changes}


def a_job(parts: list[dict[str, Any]] | None = None, **changes: Any) -> Job:
    order: dict[str, Any] = {
        "organisation_id": "org",
        "owner_id": "anna",
        "name": "Hooks",
        "priority": 5,
        "deadline": None,
        **changes,
    }
    return Job.submit(JOB_ID, parts=[line(), line()] if parts is None else parts, **order)


def job_in(*states: JobStatus) -> Job:
    """A job of two parts in these states."""
    job = a_job()
    for part, status in zip((FIRST, SECOND), states, strict=True):
        job.follow_part(part, status)
    return job


def test_an_order_names_its_parts_and_their_materials_in_capitals() -> None:
    job = a_job([line(name=" Hook ", quantity=3)], deadline=datetime(2026, 12, 1, tzinfo=UTC))
    submitted: Any = job.pending_events[0]
    assert submitted.parts == [
        {**line(name="Hook", quantity=3, material="PLA"), "part_id": FIRST, "line": 0}
    ]
    assert submitted.deadline == "2026-12-01T00:00:00+00:00"
    assert (job.status, job.parts) == ("SUBMITTED", {FIRST: "SUBMITTED"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": 0}, "priority"),
        ({"priority": 11}, "priority"),
        ({"parts": []}, "parts"),
        ({"parts": [line()] * (LINES_LIMIT + 1)}, "parts"),
        ({"parts": [line(), line(quantity=0)]}, "parts.1.quantity"),
        ({"parts": [line(quantity=-1)]}, "parts.0.quantity"),
        ({"parts": [line(quantity=1001)]}, "parts.0.quantity"),
        ({"parts": [line(material=" ")]}, "parts.0.material"),
        ({"parts": [line(name="a\nb")]}, "parts.0.name"),
        ({"parts": [line(artifact={"size": 0})]}, "parts.0.artifact.size"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_an_order_that_nobody_can_obey_is_refused_by_the_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        a_job(**changes)
    assert refused.value.field == field


def test_a_job_becomes_validated_with_its_last_part() -> None:
    given(a_job()).when(lambda job: job.follow_part(FIRST, S.VALIDATED)).then(
        (Job.PartAdvanced, {"part_id": FIRST, "part_status": "VALIDATED"})
    )
    job = a_job()
    job.follow_part(FIRST, S.VALIDATED)
    given(job).when(lambda job: job.follow_part(SECOND, S.VALIDATED)).then(
        (Job.Validated, {"part_id": SECOND, "part_status": "VALIDATED"})
    )
    assert job.status == "VALIDATED"


@pytest.mark.parametrize(
    ("before", "part_status", "event", "status"),
    [
        ((S.VALIDATED, S.VALIDATED), S.SCHEDULED, Job.Scheduled, S.SCHEDULED),
        ((S.SCHEDULED, S.SCHEDULED), S.ASSIGNED, Job.Assigned, S.ASSIGNED),
        ((S.ASSIGNED, S.SCHEDULED), S.IN_PROGRESS, Job.Started, S.IN_PROGRESS),
        ((S.IN_PROGRESS, S.PAUSED), S.PAUSED, Job.Paused, S.PAUSED),
        ((S.PAUSED, S.PAUSED), S.IN_PROGRESS, Job.Started, S.IN_PROGRESS),
        ((S.IN_PROGRESS, S.COMPLETED), S.COMPLETED, Job.Completed, S.COMPLETED),
        ((S.IN_PROGRESS, S.COMPLETED), S.FAILED, Job.Failed, S.FAILED),
        ((S.SUBMITTED, S.COMPLETED), S.REJECTED, Job.Rejected, S.REJECTED),
        ((S.IN_PROGRESS, S.CANCELLED), S.CANCELLED, Job.Cancelled, S.CANCELLED),
        ((S.IN_PROGRESS, S.IN_PROGRESS), S.COMPLETED, Job.PartAdvanced, S.IN_PROGRESS),
    ],
)
def test_a_jobs_state_follows_from_its_parts(
    before: tuple[JobStatus, JobStatus], part_status: JobStatus, event: Any, status: JobStatus
) -> None:
    job = given(job_in(*before)).when(lambda job: job.follow_part(FIRST, part_status))
    after = job.then((event, {"part_id": FIRST, "part_status": part_status.value}))
    assert after.status == status


def test_a_parts_state_reported_twice_is_no_news() -> None:
    given(job_in(S.VALIDATED, S.SUBMITTED)).when(
        lambda job: job.follow_part(FIRST, S.VALIDATED)
    ).then_nothing()


def test_a_foreign_part_is_not_found() -> None:
    given(a_job()).when(lambda job: job.follow_part("elsewhere", S.VALIDATED)).then_refused(
        NotFoundError, match="not of job"
    )


def test_a_new_priority_is_recorded_once() -> None:
    job = (
        given(a_job())
        .when(lambda job: job.reprioritize(9))
        .then((Job.Reprioritized, {"priority": 9}))
    )
    given(job).when(lambda job: job.reprioritize(9)).then_nothing()


@pytest.mark.parametrize("priority", [0, 11, -1])
def test_a_priority_outside_one_to_ten_is_refused(priority: int) -> None:
    given(a_job()).when(lambda job: job.reprioritize(priority)).then_refused(
        InvalidInputError, field="priority"
    )


OPEN = [status for status in JobStatus if status not in ENDED]


@pytest.mark.parametrize("status", OPEN)
def test_a_job_can_be_cancelled_in_every_open_state(status: JobStatus) -> None:
    job = job_in(status, status)
    given(job).when(lambda job: job.cancel("changed my mind")).then(
        (Job.CancelRequested, {"reason": "changed my mind"})
    )
    given(job).when(lambda job: job.cancel("again")).then_nothing()
    assert job.status == status


@pytest.mark.parametrize("status", sorted(ENDED - {S.CANCELLED}))
@pytest.mark.parametrize("wish", [lambda job: job.cancel(""), lambda job: job.reprioritize(9)])
def test_an_ended_job_is_left_alone(status: JobStatus, wish: Callable[[Job], None]) -> None:
    given(job_in(status, status)).when(wish).then_refused(IllegalTransitionError, match=status)


def test_cancelling_a_cancelled_job_is_obeyed_already() -> None:
    given(job_in(S.CANCELLED, S.CANCELLED)).when(lambda job: job.cancel("")).then_nothing()


@pytest.mark.parametrize(
    ("parts", "job"),
    [
        ([], S.SUBMITTED),
        ([S.SUBMITTED, S.VALIDATED], S.SUBMITTED),
        ([S.VALIDATED, S.SCHEDULED], S.SCHEDULED),
        ([S.SUBMITTED, S.ASSIGNED], S.ASSIGNED),
        ([S.SCHEDULED, S.PAUSED], S.IN_PROGRESS),
        ([S.SCHEDULED, S.COMPLETED], S.IN_PROGRESS),
        ([S.PAUSED, S.COMPLETED], S.PAUSED),
        ([S.COMPLETED, S.FAILED, S.CANCELLED], S.FAILED),
        ([S.COMPLETED, S.CANCELLED], S.CANCELLED),
        ([S.REJECTED, S.FAILED], S.REJECTED),
    ],
)
def test_the_written_table_of_job_states(parts: list[JobStatus], job: JobStatus) -> None:
    assert derived_status(parts) is job

"""Decisions about orders."""

from datetime import UTC, datetime
from typing import Any

from commands.handling import handles
from commands.jobs.messages import CancelJob, FollowPart, PartOrder, ReprioritizeJob, SubmitJob
from commands.world import World
from domain.job.aggregate import LINES_LIMIT, Job
from domain.job.states import JobStatus
from domain.shared.checks import one_of, remark
from domain.shared.errors import InvalidInputError, NotFoundError


@handles(SubmitJob, tell=lambda job: {"part_ids": list(job.parts)})
def submit_job(command: SubmitJob, world: World) -> Job:
    lines = command.parts[: LINES_LIMIT + 1]  # one beyond is refused without looking at the rest
    return Job.submit(
        world.fresh(Job),
        organisation_id=world.home(),
        owner_id=world.principal.id,
        name=command.name,
        priority=command.priority,
        deadline=_in_utc(command.deadline),
        parts=[_line(world, part, number) for number, part in enumerate(lines)],
    )


@handles(ReprioritizeJob)
def reprioritize_job(command: ReprioritizeJob, world: World) -> Job:
    job = world.get(Job, command.job_id)
    job.reprioritize(command.priority)
    return job


@handles(CancelJob)
def cancel_job(command: CancelJob, world: World) -> Job:
    job = world.get(Job, command.job_id)
    job.cancel(world.in_own_words(remark("reason", command.reason)))
    return job


@handles(FollowPart, tell=lambda job: {"status": job.status})
def follow_part(command: FollowPart, world: World) -> Job:
    job = world.get(Job, command.job_id)
    job.follow_part(command.part_id, one_of("part_status", command.part_status, JobStatus))
    return job


def _line(world: World, part: PartOrder, line: int) -> dict[str, Any]:
    try:
        file = world.ports.artifacts.info(part.artifact_digest, world.home())
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no file {part.artifact_digest[:64]}",
            field=f"parts.{line}.artifact_digest",
            remedy="upload it first",
        ) from error
    return {
        "name": part.name,
        "artifact": {
            "digest": file.digest,
            "size": file.size,
            "format": file.format,
            "name": file.name,
        },
        "material": part.material,
        "quantity": part.quantity,
    }


def _in_utc(deadline: datetime | None) -> datetime | None:
    if deadline is not None and deadline.tzinfo is None:
        raise InvalidInputError("the deadline needs a time zone", field="deadline")
    try:
        return deadline.astimezone(UTC) if deadline else None
    except OverflowError:
        raise InvalidInputError(
            "the deadline lies outside the calendar", field="deadline"
        ) from None

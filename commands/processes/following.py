"""Tells a job when the derived state of one of its parts has moved."""

from commands.fleet.fleet import Fleet
from commands.jobs.messages import FollowPart
from commands.processes.outputs import Cause, Output
from domain.part.aggregate import Part
from domain.shared.recorded import RecordedEvent


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """Compare the part's state with the one in which this event found it.

    Not with what its job says: the job hears of it later, and a state that came back meanwhile
    would be taken for one that never left.
    """
    if not isinstance(recorded.event, Part.Event):
        return []
    part = fleet.parts[str(recorded.aggregate_id)]
    if fleet.before in {None, part.status}:
        return []
    command = FollowPart(job_id=part.job_id, part_id=str(part.id), part_status=part.status.value)
    return [Cause.of(recorded).send(command, lane=part.job_id)]

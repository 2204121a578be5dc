"""Carries a wish to stop from the job to its parts, and from a part to whatever makes it."""

from commands.builds.messages import RequestBuildCancel
from commands.fleet.fleet import Fleet
from commands.parts.messages import CancelPart
from commands.processes.dispatching import close
from commands.processes.outputs import Cause, Output
from domain.dispatch.aggregate import DispatchStatus
from domain.job.aggregate import Job
from domain.job.states import ENDED
from domain.part.aggregate import Part
from domain.shared.recorded import RecordedEvent


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """Stop what a cancelled job or a part that was given up still has under way."""
    cause, key = Cause.of(recorded), str(recorded.aggregate_id)
    match recorded.event:
        case Job.CancelRequested():
            return _cancel_parts(fleet, cause, key)
        case Part.CancelRequested():
            return _stop(fleet, cause, key, outcome="cancelled")
        case Part.Failed():
            return _stop(fleet, cause, key, outcome="failed")
    return []


def _cancel_parts(fleet: Fleet, cause: Cause, job_id: str) -> list[Output]:
    """Also those that have yet to be ordered: that stands before this in the same lane."""
    known = fleet.parts
    return [
        cause.send(CancelPart(part_id=part), lane=job_id)
        for part in fleet.jobs[job_id].parts
        if part not in known or known[part].status not in ENDED
    ]


def _stop(fleet: Fleet, cause: Cause, part_id: str, *, outcome: str) -> list[Output]:
    stopped: list[Output] = []
    for dispatch_id in fleet.dispatches_of.get(part_id, ()):
        dispatch = fleet.dispatches[dispatch_id]
        if dispatch.status == DispatchStatus.REQUESTED:
            stopped.append(close(cause, dispatch, outcome))
        elif dispatch.status not in {DispatchStatus.REVERTING, DispatchStatus.CLOSED}:
            cancel = RequestBuildCancel(build_id=dispatch.build_id)
            stopped.append(cause.send(cancel, lane=dispatch.job_id))
    return stopped

"""The sentence that tells one event of a job's story to a person.

Names of machines and parts are looked up by their ids where the story is shown.
"""

from collections.abc import Callable
from typing import Any

from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.job.aggregate import Job
from domain.part.aggregate import Part
from projections.jobs.waiting import why_waiting

WORDS: dict[type[Any], str | Callable[[Any], str]] = {
    Job.Submitted: lambda e: f"Submitted with {len(e.parts)} part(s), priority {e.priority}",
    Job.Validated: "Every part can be made",
    Job.Scheduled: "Waits for a machine",
    Job.Assigned: "A machine was found",
    Job.Started: "In progress",
    Job.Paused: "Paused",
    Job.Completed: "Every piece of every part has passed",
    Job.Failed: "A part was given up",
    Job.Rejected: "A part cannot be made",
    Job.Cancelled: "Cancelled; every machine has stopped",
    Job.PartAdvanced: lambda e: f"A part is now {e.part_status}",
    Job.Reprioritized: lambda e: f"Priority is now {e.priority}",
    Job.CancelRequested: lambda e: _because("Cancel requested", e.reason),
    Part.Ordered: lambda e: f"{e.quantity} x {e.name} in {e.material} ordered",
    Part.Validated: lambda e: f"Can be made by {e.process}; estimate by {e.estimated_by}",
    Part.Rejected: lambda e: "Cannot be made: " + "; ".join(r["message"] for r in e.reasons),
    Part.Scheduled: "Pieces wait for machines",
    Part.MachineMissing: lambda e: (
        "No machine yet: " + " ".join(why_waiting(*each)["message"] for each in e.reasons.items())
    ),
    Part.PieceQueued: lambda e: f"Piece {e.piece + 1} has a machine",
    Part.PieceReturned: lambda e: f"Piece {e.piece + 1} lost its machine and waits again",
    Part.PieceStarted: lambda e: f"Piece {e.piece + 1} is being made",
    Part.PiecePaused: lambda e: f"Piece {e.piece + 1} is held",
    Part.PieceMade: lambda e: f"Piece {e.piece + 1} waits for inspection",
    Part.PiecePassed: lambda e: f"Piece {e.piece + 1} passed",
    Part.PieceScrapped: lambda e: _because(f"Piece {e.piece + 1} is scrap", e.reason),
    Part.PieceCancelled: lambda e: f"Piece {e.piece + 1} will not be made",
    Part.CancelRequested: "No further piece begins",
    Part.Failed: lambda e: _because("Given up", e.reason),
    Build.Planned: lambda e: f"Build planned, attempt {e.attempt}",
    Build.Reserved: lambda e: f"Machine and material held, epoch {e.epoch}",
    Build.Sent: "Sent to the machine's queue",
    Build.Accepted: "The bridge took it over",
    Build.Started: "The machine began",
    Build.Progressed: lambda e: f"{e.percent} % done",
    Build.Paused: "The machine holds",
    Build.Resumed: "The machine goes on",
    Build.Finished: "The machine reports the end",
    Build.Failed: lambda e: _because("Failed", e.reason),
    Build.CancelRequested: "The machine was asked to stop",
    Build.Cancelled: "Stopped",
    Build.OutcomeBecameUnknown: lambda e: _because("Nobody knows what came of it", e.reason),
    Build.FiguresCorrected: lambda e: _because("What it used was corrected", e.reason),
    Build.Inspected: lambda e: "Judged good" if e.passed else "Judged scrap",
    Dispatch.Requested: lambda e: f"Piece {e.piece + 1} wants a machine",
    Dispatch.NodeChosen: lambda e: f"Machine chosen, attempt {e.attempt}",
    Dispatch.NodeReserved: "The machine is held",
    Dispatch.MaterialReserved: lambda e: f"{e.quantity_mg} mg of material are held",
    Dispatch.Sent: "On the machine's queue",
    Dispatch.Started: "The machine began",
    Dispatch.Reverting: lambda e: _because("The attempt is given up", e.reason),
    Dispatch.Reverted: "Everything was given back",
    Dispatch.Closed: lambda e: f"Nothing is left to do: {e.outcome}",
}


def words_of(event: Any) -> str:
    """One sentence; the event's name where none was written."""
    words = WORDS.get(type(event), type(event).__name__)
    return words if isinstance(words, str) else words(event)


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what

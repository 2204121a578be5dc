"""From an order to pieces that want a machine, and to their replacements."""

from commands.dispatches.messages import RequestDispatch
from commands.fleet.fleet import Fleet
from commands.parts.messages import ArtifactField, FailPart, OrderPart, SchedulePart
from commands.processes.outputs import Cause, Output
from domain.job.aggregate import Job
from domain.part.aggregate import Part
from domain.part.states import PieceStatus
from domain.shared.recorded import RecordedEvent

NO_MORE_TRIES = "too many pieces were lost"
MOST_HALTS = 2
"""Machines that one program may halt: the first may be the machine's fault, hardly the second."""
HALTS_MACHINES = f"its program halted the machine {MOST_HALTS} times; no other machine is tried"


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """Order the lines, let validated parts wait, ask for a machine for each piece."""
    cause = Cause.of(recorded)
    match recorded.event:
        case Job.Submitted():
            return _order(cause, str(recorded.aggregate_id), recorded.event)
        case Part.Event():
            return _advance(fleet, cause, str(recorded.aggregate_id), recorded.event)
    return []


def _advance(fleet: Fleet, cause: Cause, part_id: str, event: Part.Event) -> list[Output]:
    part = fleet.parts[part_id]
    lane = part.job_id
    match event:
        case Part.Validated():
            return [cause.send(SchedulePart(part_id=part_id), lane=lane)]
        case Part.Scheduled():
            ordered = [n for n, piece in enumerate(part.pieces) if piece == PieceStatus.ORDERED]
            return [_request(fleet, cause, part, piece) for piece in ordered]
        case Part.PieceScrapped() | Part.PieceMade() if fleet.stopping(part_id):
            return []
        case Part.PieceScrapped() | Part.PieceMade() if fleet.halts_of(part) >= MOST_HALTS:
            return [cause.send(FailPart(part_id=part_id, reason=HALTS_MACHINES), lane=lane)]
        case Part.PieceScrapped(replacement=replacement) if replacement >= 0:
            return [_request(fleet, cause, part, replacement)]
        case Part.PieceScrapped():
            return [cause.send(FailPart(part_id=part_id, reason=NO_MORE_TRIES), lane=lane)]
    return []


def _order(cause: Cause, job_id: str, event: Job.Submitted) -> list[Output]:
    return [
        cause.send(
            OrderPart(
                job_id=job_id,
                line=line["line"],
                name=line["name"],
                artifact=ArtifactField(**line["artifact"]),
                material=line["material"],
                quantity=line["quantity"],
            ),
            lane=job_id,
        )
        for line in event.parts
    ]


def _request(fleet: Fleet, cause: Cause, part: Part, piece: int) -> Output:
    estimate = fleet.estimates[str(part.id)]
    command = RequestDispatch(
        job_id=part.job_id,
        part_id=str(part.id),
        piece=piece,
        work={
            "process": estimate.process,
            "material": part.material,
            "size_mm": estimate.reach_mm,
            "material_mg": estimate.material_mg,
            "material_mm3": estimate.material_mm3,
            "duration_ms": estimate.duration_ms,
            "nozzle_c": estimate.nozzle_c,
            "bed_c": estimate.bed_c,
            "program": estimate.program,
            "avoid": _lost_at(fleet, part),
        },
    )
    return cause.send(command, lane=part.job_id)


def _lost_at(fleet: Fleet, part: Part) -> list[str]:
    """The nodes at which pieces of this part were lost."""
    scrapped = {n for n, piece in enumerate(part.pieces) if piece == PieceStatus.SCRAPPED}
    lost = [build for build, piece in part.builds.items() if piece in scrapped]
    return sorted({fleet.builds[build].node_id for build in lost if build in fleet.builds})

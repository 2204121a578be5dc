"""Folds the events of parts and of their pieces."""

from collections.abc import Iterable
from typing import Any

from domain.job.states import JobStatus
from domain.part.aggregate import Part
from domain.part.states import PieceStatus, derived_status
from domain.shared.recorded import RecordedEvent
from projections.jobs.rows import PartRow, PieceRow
from projections.jobs.tables import PARTS, PIECES
from projections.jobs.waiting import why_waiting
from projections.replacing import replace
from projections.rows import Need, Rows

_ORDER = [each.value for each in PieceStatus]
_FAILED = JobStatus.FAILED.value
_STATUS_OF: dict[type[Any], str] = {
    Part.PieceQueued: PieceStatus.QUEUED.value,
    Part.PieceReturned: PieceStatus.ORDERED.value,
    Part.PieceStarted: PieceStatus.RUNNING.value,
    Part.PiecePaused: PieceStatus.PAUSED.value,
    Part.PieceMade: PieceStatus.TO_INSPECT.value,
    Part.PiecePassed: PieceStatus.PASSED.value,
    Part.PieceScrapped: PieceStatus.SCRAPPED.value,
    Part.PieceCancelled: PieceStatus.CANCELLED.value,
}


def part_needs(recorded: RecordedEvent) -> Iterable[Need]:
    """The part; the piece that the event names, or all of them when it ends them."""
    part_id = str(recorded.aggregate_id)
    yield Need(PARTS, ("id",), (part_id,))
    if type(recorded.event) in _STATUS_OF:
        yield Need(PIECES, ("part_id", "piece"), (part_id, vars(recorded.event)["piece"]))
    elif isinstance(recorded.event, Part.CancelRequested):
        yield Need(PIECES, ("part_id",), (part_id,))


def fold_part(rows: Rows, recorded: RecordedEvent) -> PartRow:
    """Remember one event and return the part."""
    event = recorded.event
    if isinstance(event, Part.Ordered):
        return _ordered(rows, event, recorded)
    row = rows.get(PARTS, str(recorded.aggregate_id))
    told = _told(rows, row, event, recorded.position)
    position, version = recorded.position, recorded.version
    row = replace(row, position=position, version=version, **told)
    waiting_for = row.waiting_for
    if row.verdict == _FAILED or PieceStatus.ORDERED not in row.counts:
        waiting_for = []
    return rows.put(PARTS, replace(row, status=status_of(row).value, waiting_for=waiting_for))


def _told(rows: Rows, row: PartRow, event: Any, position: int) -> dict[str, Any]:
    """The fields of the part's row that the event tells anew; those of its pieces are put."""
    match event:
        case Part.Validated():
            return {"verdict": JobStatus.VALIDATED.value, **_estimate(event)}
        case Part.Rejected():
            return {"verdict": JobStatus.REJECTED.value, "reasons": event.reasons}
        case Part.Failed():
            return {"verdict": _FAILED, "failure": event.reason}
        case Part.Scheduled():
            return {"scheduled": True}
        case Part.MachineMissing():
            return {"waiting_for": [why_waiting(*each) for each in event.reasons.items()]}
        case Part.CancelRequested():
            return {"cancel_requested": True, "counts": _cancelled(rows, row, position)}
        case _ if type(event) in _STATUS_OF:
            return {"counts": _moved(rows, row, event, position)}
        case _:
            return {}


def status_of(row: PartRow) -> JobStatus:
    """As ``Part.status``: derived from verdict and pieces."""
    if row.verdict in {JobStatus.REJECTED, JobStatus.FAILED}:
        return JobStatus(row.verdict)
    if not row.verdict and not row.cancel_requested:
        return JobStatus.SUBMITTED
    return derived_status(
        [PieceStatus(status) for status, count in row.counts.items() for _ in range(count)],
        quantity=row.quantity,
        scheduled=row.scheduled,
        cancelled=row.cancel_requested,
    )


def _ordered(rows: Rows, event: Part.Ordered, recorded: RecordedEvent) -> PartRow:
    row = PartRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        job_id=event.job_id,
        line=event.line,
        name=event.name,
        artifact=event.artifact,
        material=event.material,
        quantity=event.quantity,
        status=JobStatus.SUBMITTED.value,
        verdict="",
        scheduled=False,
        cancel_requested=False,
        process="",
        program={},
        size_mm=[],
        duration_ms=0,
        material_mm3=0,
        material_mg=0,
        estimated_by="",
        reasons=[],
        failure="",
        waiting_for=[],
        counts={PieceStatus.ORDERED.value: event.quantity},
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )
    for piece in range(event.quantity):
        rows.put(PIECES, _new_piece(row, piece, recorded.position))
    return rows.put(PARTS, row)


def _estimate(event: Part.Validated) -> dict[str, Any]:
    return {
        "process": event.process,
        "program": event.program,
        "size_mm": event.size_mm,
        "duration_ms": event.duration_ms,
        "material_mm3": event.material_mm3,
        "material_mg": event.material_mg,
        "estimated_by": event.estimated_by,
    }


def _moved(rows: Rows, part: PartRow, event: Any, position: int) -> dict[str, int]:
    """Move a piece; the counts after it."""
    piece = rows.get(PIECES, part.id, event.piece)
    status = _STATUS_OF[type(event)]
    counts = _counted(part.counts, piece.status, -1)
    rows.put(PIECES, replace(piece, status=status, position=position, **_of_piece(event)))
    if isinstance(event, Part.PieceScrapped) and event.replacement >= 0:
        rows.put(PIECES, _new_piece(part, event.replacement, position))
        counts = _counted(counts, PieceStatus.ORDERED.value, 1)
    return _counted(counts, status, 1)


def _of_piece(event: Any) -> dict[str, Any]:
    match event:
        case Part.PieceQueued():
            return {"build_id": event.build_id, "node_id": event.node_id}
        case Part.PieceReturned():
            return {"build_id": "", "node_id": ""}
        case Part.PiecePassed():
            return {"judged_by": event.by}
        case Part.PieceScrapped():
            return {
                "judged_by": event.by,
                "reason": event.reason,
                "replacement": event.replacement,
            }
        case _:
            return {}


def _cancelled(rows: Rows, part: PartRow, position: int) -> dict[str, int]:
    """Pieces that no machine has are cancelled by the wish; the counts after it."""
    counts = part.counts
    for piece in rows.having(PIECES, part_id=part.id, status=PieceStatus.ORDERED.value):
        cancelled = PieceStatus.CANCELLED.value
        rows.put(PIECES, replace(piece, status=cancelled, position=position))
        counts = _counted(_counted(counts, piece.status, -1), cancelled, 1)
    return counts


def _counted(counts: dict[str, int], status: str, change: int) -> dict[str, int]:
    """Other counts in the order of the states, without zeros: the same counts, the same bytes."""
    changed = {**counts, status: counts.get(status, 0) + change}
    return {name: changed[name] for name in _ORDER if changed.get(name)}


def _new_piece(part: PartRow, piece: int, position: int) -> PieceRow:
    return PieceRow(
        part_id=part.id,
        piece=piece,
        organisation_id=part.organisation_id,
        job_id=part.job_id,
        status=PieceStatus.ORDERED.value,
        build_id="",
        node_id="",
        reason="",
        judged_by="",
        replacement=-1,
        position=position,
    )

"""Folds the events of dispatches and keeps every decision for its explanation."""

from typing import Any

from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.shared.recorded import RecordedEvent
from projections.jobs.rows import DecisionRow, DispatchRow
from projections.jobs.tables import DECISIONS, DISPATCHES
from projections.replacing import replace
from projections.rows import Rows

_STATUS_OF: dict[type[Any], str] = {
    Dispatch.NodeChosen: DispatchStatus.NODE_CHOSEN.value,
    Dispatch.NodeReserved: DispatchStatus.NODE_RESERVED.value,
    Dispatch.MaterialReserved: DispatchStatus.MATERIAL_RESERVED.value,
    Dispatch.Sent: DispatchStatus.SENT.value,
    Dispatch.Started: DispatchStatus.STARTED.value,
    Dispatch.Reverting: DispatchStatus.REVERTING.value,
    Dispatch.Reverted: DispatchStatus.REQUESTED.value,
    Dispatch.Closed: DispatchStatus.CLOSED.value,
}


def fold_dispatch(rows: Rows, recorded: RecordedEvent) -> DispatchRow:
    """Remember one event and return the dispatch."""
    event = recorded.event
    if isinstance(event, Dispatch.Requested):
        return rows.put(DISPATCHES, _requested(event, recorded))
    row = rows.get(DISPATCHES, str(recorded.aggregate_id))
    told = _told(event)
    if status := _STATUS_OF.get(type(event)):
        told["status"] = status
    if isinstance(event, Dispatch.NodeChosen):
        rows.append(DECISIONS, _decision(row, event, recorded))
    position, version = recorded.position, recorded.version
    return rows.put(DISPATCHES, replace(row, position=position, version=version, **told))


def _told(event: Any) -> dict[str, Any]:
    """The fields of the row that the event tells anew."""
    match event:
        case Dispatch.NodeChosen():
            return {
                "attempt": event.attempt,
                "build_id": event.build_id,
                "node_id": event.node_id,
                "inventory_id": event.inventory_id,
            }
        case Dispatch.Reverting():
            return {"reason": event.reason}
        case Dispatch.Reverted():
            return {"build_id": "", "node_id": "", "inventory_id": ""}
        case Dispatch.Closed():
            return {"outcome": event.outcome}
        case _:
            return {}


def _decision(row: DispatchRow, event: Dispatch.NodeChosen, recorded: RecordedEvent) -> DecisionRow:
    return DecisionRow(
        event_id=recorded.event_id,
        position=recorded.position,
        at=recorded.envelope.occurred_at,
        organisation_id=row.organisation_id,
        job_id=row.job_id,
        part_id=row.part_id,
        piece=row.piece,
        dispatch_id=row.id,
        attempt=event.attempt,
        build_id=event.build_id,
        node_id=event.node_id,
        decision=event.decision,
    )


def _requested(event: Dispatch.Requested, recorded: RecordedEvent) -> DispatchRow:
    return DispatchRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        job_id=event.job_id,
        part_id=event.part_id,
        piece=event.piece,
        work=event.work,
        status=DispatchStatus.REQUESTED.value,
        attempt=0,
        build_id="",
        node_id="",
        inventory_id="",
        reason="",
        outcome="",
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )

"""Folds the events of dispatches and keeps every decision for its explanation."""

from typing import Any

from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.shared.recorded import RecordedEvent
from projections.jobs.rows import DecisionRow, DispatchRow
from projections.jobs.tables import DECISIONS, DISPATCHES
from projections.replacing import replace
from projections.rows import Rows

_STATUS_OF: dict[type[Any], DispatchStatus] = {
    Dispatch.NodeChosen: DispatchStatus.NODE_CHOSEN,
    Dispatch.NodeReserved: DispatchStatus.NODE_RESERVED,
    Dispatch.MaterialReserved: DispatchStatus.MATERIAL_RESERVED,
    Dispatch.Sent: DispatchStatus.SENT,
    Dispatch.Started: DispatchStatus.STARTED,
    Dispatch.Reverting: DispatchStatus.REVERTING,
    Dispatch.Reverted: DispatchStatus.REQUESTED,
    Dispatch.Closed: DispatchStatus.CLOSED,
}


def fold_dispatch(rows: Rows, recorded: RecordedEvent) -> DispatchRow:
    """Remember one event and return the dispatch."""
    event = recorded.event
    if isinstance(event, Dispatch.Requested):
        return rows.put(DISPATCHES, _requested(event, recorded))
    row = replace(
        rows.get(DISPATCHES, str(recorded.aggregate_id)),
        position=recorded.position,
        version=recorded.version,
    )
    if status := _STATUS_OF.get(type(event)):
        row = replace(row, status=status.value)
    match event:
        case Dispatch.NodeChosen():
            rows.append(DECISIONS, _decision(row, event, recorded))
            row = replace(
                row,
                attempt=event.attempt,
                build_id=event.build_id,
                node_id=event.node_id,
                inventory_id=event.inventory_id,
            )
        case Dispatch.Reverting():
            row = replace(row, reason=event.reason)
        case Dispatch.Reverted():
            row = replace(row, build_id="", node_id="", inventory_id="")
        case Dispatch.Closed():
            row = replace(row, outcome=event.outcome)
        case _:
            pass
    return rows.put(DISPATCHES, row)


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

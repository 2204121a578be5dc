"""Folds the events of builds."""

from typing import Any

from domain.build.aggregate import Build
from domain.build.states import BuildStatus
from domain.shared.recorded import RecordedEvent
from projections.jobs.rows import BuildRow
from projections.jobs.tables import BUILDS
from projections.replacing import replace
from projections.rows import Rows

_STATUS_OF: dict[type[Any], str] = {
    Build.Reserved: BuildStatus.RESERVED.value,
    Build.Sent: BuildStatus.SENT.value,
    Build.Accepted: BuildStatus.ACCEPTED.value,
    Build.Started: BuildStatus.RUNNING.value,
    Build.Paused: BuildStatus.PAUSED.value,
    Build.Resumed: BuildStatus.RUNNING.value,
    Build.Finished: BuildStatus.FINISHED.value,
    Build.Failed: BuildStatus.FAILED.value,
    Build.Cancelled: BuildStatus.CANCELLED.value,
    Build.OutcomeBecameUnknown: BuildStatus.OUTCOME_UNKNOWN.value,
    Build.Inspected: BuildStatus.INSPECTED.value,
}
_FIGURES = ("duration_ms", "energy_j", "energy_source", "material_mm3", "material_mg")


def fold_build(rows: Rows, recorded: RecordedEvent) -> BuildRow:
    """Remember one event and return the build."""
    event = recorded.event
    if isinstance(event, Build.Planned):
        return rows.put(BUILDS, _planned(event, recorded))
    row = rows.get(BUILDS, str(recorded.aggregate_id))
    told = _told(row, event, recorded)
    if status := _STATUS_OF.get(type(event)):
        told["status"] = status
    position, version = recorded.position, recorded.version
    return rows.put(BUILDS, replace(row, position=position, version=version, **told))


def _told(row: BuildRow, event: Any, recorded: RecordedEvent) -> dict[str, Any]:
    """The fields of the row that the event tells anew."""
    at = recorded.envelope.occurred_at
    match event:
        case Build.Progressed():
            return {"percent": event.percent}
        case Build.Reserved():
            return {"epoch": event.epoch, "inventory_id": event.inventory_id}
        case Build.Accepted():
            return {"bridge": event.bridge}
        case Build.Started():
            return {"began": True, "started_at": at}
        case Build.Finished():
            return {"percent": 100, "ended_at": at, **_figures(event)}
        case Build.Failed():
            why = {"reason": event.reason, "native_text": event.native_text}
            return {**why, "began": event.began, "ended_at": at, **_figures(event)}
        case Build.Cancelled():
            return {"began": event.began, "ended_at": at, **_figures(event)}
        case Build.CancelRequested():
            return {"cancel_requested": True}
        case Build.OutcomeBecameUnknown():
            return {"reason": event.reason, "facts": event.facts}
        case Build.FiguresCorrected():
            return {"energy_j": event.energy_j, "material_mg": event.material_mg}
        case Build.Inspected():
            verdict = {"passed": event.passed, "inspected_by": event.by}
            return {**verdict, "ended_at": row.ended_at or at}
        case _:
            return {}


def _figures(event: Any) -> dict[str, Any]:
    return {name: vars(event)[name] for name in _FIGURES}


def _planned(event: Build.Planned, recorded: RecordedEvent) -> BuildRow:
    return BuildRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        job_id=event.job_id,
        dispatch_id=event.dispatch_id,
        attempt=event.attempt,
        node_id=event.node_id,
        part_id=event.pieces[0]["part_id"],
        piece=event.pieces[0]["piece"],
        pieces=event.pieces,
        program=event.program,
        material=event.material,
        planned_duration_ms=event.duration_ms,
        planned_material_mm3=event.material_mm3,
        planned_material_mg=event.material_mg,
        epoch=0,
        inventory_id="",
        bridge="",
        status=BuildStatus.PLANNED.value,
        percent=0,
        cancel_requested=False,
        began=False,
        duration_ms=0,
        energy_j=0,
        energy_source="none",
        material_mm3=0,
        material_mg=0,
        reason="",
        native_text="",
        facts={},
        passed=None,
        inspected_by="",
        planned_at=recorded.envelope.occurred_at,
        started_at=None,
        ended_at=None,
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )

"""Folds machines, and the runs on them as far as a machine's picture needs them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from domain.build.aggregate import Build
from domain.build.states import BuildStatus
from domain.node.aggregate import Node
from domain.node.states import Availability, EmergencyStop, Execution, NodeStatus
from domain.shared.recorded import RecordedEvent
from projections.nodes.rows import NodeRow, RunRow
from projections.projection import Projection, topics_of
from projections.replacing import replace
from projections.rows import Need, Rows
from projections.table import Table

NODES = Table(
    NodeRow,
    "nodes",
    ("id",),
    indexes=("organisation_id, created", "owner_id"),
    fixed=(
        "organisation_id",
        "owner_id",
        "name",
        "bridge",
        "virtual",
        "registered_at",
        "created",
    ),
)
RUNS = Table(
    RunRow,
    "runs",
    ("build_id",),
    indexes=("node_id",),
    fixed=(
        "organisation_id",
        "node_id",
        "job_id",
        "part_id",
        "piece",
        "program_name",
        "planned_duration_ms",
    ),
)

_RUN_STATUS: dict[type[Any], BuildStatus] = {
    Build.Reserved: BuildStatus.RESERVED,
    Build.Sent: BuildStatus.SENT,
    Build.Accepted: BuildStatus.ACCEPTED,
    Build.Started: BuildStatus.RUNNING,
    Build.Paused: BuildStatus.PAUSED,
    Build.Resumed: BuildStatus.RUNNING,
    Build.Finished: BuildStatus.FINISHED,
    Build.Failed: BuildStatus.FAILED,
    Build.Cancelled: BuildStatus.CANCELLED,
    Build.OutcomeBecameUnknown: BuildStatus.OUTCOME_UNKNOWN,
    Build.Inspected: BuildStatus.INSPECTED,
}


class Nodes(Projection):
    """Announces ids of nodes."""

    name = "nodes"
    version = 2
    topics = topics_of(Node, Build)
    tables = (NODES, RUNS)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """The machine or the run that the event is about."""
        if recorded.kind == "node":
            return [Need(NODES, ("id",), (str(recorded.aggregate_id),))]
        return [Need(RUNS, ("build_id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Fold into the row of the machine or of the run."""
        if recorded.kind == "node":
            rows.touch(fold_node(rows, recorded).id)
        else:
            rows.touch(_fold_run(rows, recorded).node_id)


def fold_node(rows: Rows, recorded: RecordedEvent) -> NodeRow:
    """Remember one event and return the machine."""
    event = recorded.event
    if isinstance(event, Node.Registered):
        return rows.put(NODES, _registered(event, recorded))
    row = replace(
        rows.get(NODES, str(recorded.aggregate_id)),
        position=recorded.position,
        version=recorded.version,
    )
    row = replace(row, **_told(row, event, recorded.envelope.occurred_at))
    return rows.put(NODES, replace(row, status=_rested(row, event).value))


def _told(row: NodeRow, event: Any, at: datetime) -> dict[str, Any]:
    """The fields of the row that the event tells anew; the state is settled after them."""
    match event:
        case Node.Configured():
            told = {"profile": event.profile, "profile_version": event.profile_version}
            return {**told, "process": event.profile["process"]}
        case Node.MachineConnected() | Node.MachineDisconnected():
            return _link(row, event, at)
        case Node.Observed():
            return {
                "availability": event.availability,
                "execution": event.execution,
                "emergency_stop": event.emergency_stop,
                "conditions": event.conditions,
            }
        case Node.Reserved():
            return {
                "status": NodeStatus.ASSIGNED.value,
                "build_id": event.build_id,
                "epoch": event.epoch,
            }
        case Node.Released():
            return {"build_id": ""}
        case Node.ExecutionBegan():
            began = {"bed_clear": False, "executing_since": at}
            return {"status": NodeStatus.EXECUTING.value, **began}
        case Node.ExecutionEnded():
            return {"build_id": "", "bed_clear": False, **_ended(row, at)}
        case Node.BedCleared():
            return {"bed_clear": True}
        case Node.Held():
            return {"held": True, "holding": event.reason}
        case Node.HoldEnded():
            return {"held": False, "holding": ""}
        case Node.EmergencyStopped():
            return {"stopped": True, "emergency_stop": EmergencyStop.TRIGGERED.value}
        case Node.EmergencyStopCleared():
            return {"stopped": False, "emergency_stop": EmergencyStop.ARMED.value}
        case Node.MaintenanceBegan():
            return {"status": NodeStatus.MAINTENANCE.value}
        case Node.MaintenanceEnded():
            return {"status": NodeStatus.CONFIGURED.value}
        case Node.DowntimeRecorded():
            return _down(row, event, sign=-1)
        case Node.DowntimeWithdrawn():
            return _down(row, event, sign=1)
        case Node.Decommissioned():
            return {"status": NodeStatus.DECOMMISSIONED.value}
        case _:
            return {}


def _down(row: NodeRow, event: Any, *, sign: int) -> dict[str, Any]:
    """What its links had told of a downtime does not count; an interval that goes on ends later."""
    return {
        "connected_ms": row.connected_ms + sign * event.connected_ms,
        "executing_ms": row.executing_ms + sign * event.executing_ms,
    }


def _link(row: NodeRow, event: Any, at: datetime) -> dict[str, Any]:
    if isinstance(event, Node.MachineConnected):
        return {
            "connected": True,
            "identity": event.identity,
            "availability": Availability.AVAILABLE.value,
            "disconnect_reason": "",
            "connected_since": row.connected_since or at,
        }
    return {
        "connected": False,
        "disconnect_reason": event.reason,
        "availability": Availability.UNAVAILABLE.value,
        "execution": Execution.UNAVAILABLE.value,
        "connected_since": None,
        "connected_ms": row.connected_ms + elapsed_ms(row.connected_since, at),
    }


def _ended(row: NodeRow, at: datetime) -> dict[str, Any]:
    return {
        "executing_since": None,
        "executing_ms": row.executing_ms + elapsed_ms(row.executing_since, at),
        "builds_ended": row.builds_ended + 1,
    }


_SETTLING = (
    Node.Configured,
    Node.MachineConnected,
    Node.Released,
    Node.ExecutionEnded,
    Node.BedCleared,
    Node.MaintenanceEnded,
)


def _rested(row: NodeRow, event: Any) -> NodeStatus:
    """As ``Node`` settles: where a machine rests that no build holds."""
    status = NodeStatus(row.status)
    away = status in {NodeStatus.MAINTENANCE, NodeStatus.DECOMMISSIONED}
    if not isinstance(event, _SETTLING) or away or row.build_id:
        return status
    if not row.profile:
        return NodeStatus.REGISTERED
    if not row.identity:
        return NodeStatus.CONFIGURED
    return NodeStatus.COMPLETED if row.epoch and not row.bed_clear else NodeStatus.IDLE


def elapsed_ms(since: datetime | None, until: datetime) -> int:
    """Whole ms between two moments; 0 when there was no beginning or clocks disagree."""
    return max(0, (until - since) // timedelta(milliseconds=1)) if since else 0


def _registered(event: Node.Registered, recorded: RecordedEvent) -> NodeRow:
    return NodeRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        owner_id=event.owner_id,
        name=event.name,
        bridge=event.bridge,
        virtual=event.virtual,
        status=NodeStatus.REGISTERED.value,
        process="",
        profile={},
        profile_version=0,
        connected=False,
        identity={},
        disconnect_reason="",
        availability=Availability.UNAVAILABLE.value,
        execution=Execution.UNAVAILABLE.value,
        emergency_stop=EmergencyStop.ARMED.value,
        conditions=[],
        bed_clear=False,
        held=False,
        holding="",
        stopped=False,
        build_id="",
        epoch=0,
        builds_ended=0,
        registered_at=recorded.envelope.occurred_at,
        connected_since=None,
        executing_since=None,
        connected_ms=0,
        executing_ms=0,
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )


def _fold_run(rows: Rows, recorded: RecordedEvent) -> RunRow:
    event = recorded.event
    run_id = str(recorded.aggregate_id)
    if isinstance(event, Build.Planned):
        return rows.put(RUNS, _planned(event, run_id, recorded.position))
    run = replace(rows.get(RUNS, run_id), position=recorded.position)
    if status := _RUN_STATUS.get(type(event)):
        run = replace(run, status=status.value)
    match event:
        case Build.Started():
            run = replace(run, started_at=recorded.envelope.occurred_at)
        case Build.Progressed():
            run = replace(run, percent=event.percent)
        case Build.Finished():
            run = replace(run, percent=100)
        case _:
            pass
    return rows.put(RUNS, run)


def _planned(event: Build.Planned, run_id: str, position: int) -> RunRow:
    return RunRow(
        build_id=run_id,
        organisation_id=event.organisation_id,
        node_id=event.node_id,
        job_id=event.job_id,
        part_id=event.pieces[0]["part_id"],
        piece=event.pieces[0]["piece"],
        program_name=event.program.get("name", ""),
        status=BuildStatus.PLANNED.value,
        percent=0,
        planned_duration_ms=event.duration_ms,
        started_at=None,
        position=position,
    )

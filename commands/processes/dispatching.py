"""Brings one piece to a machine, step by step, and back when a step is refused.

Each step is one or two commands that follow from one event of the log; the next follows from the
event that they lead to. What was taken for an attempt that has meanwhile been given up is given
back by the event that took it, whichever came first.
"""

from commands.builds.messages import FailBuild, PieceField, PlanBuild, ReserveBuild, SendBuild
from commands.dispatches.messages import (
    CloseDispatch,
    FinishRevert,
    RecordMaterialReserved,
    RecordNodeReserved,
    RevertDispatch,
)
from commands.fleet.fleet import Fleet
from commands.inventories.messages import ReleaseMaterial, ReserveMaterial
from commands.nodes.messages import ReleaseNode, ReserveNode
from commands.parts.messages import ArtifactField, FailPart, QueuePiece, ReturnPiece
from commands.processes.outputs import Cause, Output, Send
from domain.build.aggregate import Build
from domain.build.states import WITHDRAWABLE, BuildStatus
from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.inventory.aggregate import Inventory
from domain.job.states import JobStatus
from domain.node.aggregate import Node
from domain.shared.recorded import RecordedEvent

MOST_ATTEMPTS = 10
WITHDRAWN = "withdrawn"
NOBODY_TOOK_IT = f"no machine took it in {MOST_ATTEMPTS} attempts"


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """The next step of the dispatch that the event is about."""
    cause, key = Cause.of(recorded), str(recorded.aggregate_id)
    match recorded.event:
        case Dispatch.Event():
            dispatch = fleet.dispatches.get(key)
            return _go_on(fleet, cause, dispatch, recorded.event) if dispatch else []
        case Node.Reserved(build_id=build_id, epoch=epoch):
            return _node_reserved(fleet, cause, key, build_id, epoch)
        case Inventory.Reserved(build_id=build_id, quantity_mg=quantity_mg):
            return _material_reserved(fleet, cause, key, build_id, quantity_mg)
        case Build.Planned(dispatch_id=dispatch_id):
            found = fleet.dispatches.get(dispatch_id)
            if found is None or found.build_id != key or found.status == DispatchStatus.CLOSED:
                lane = recorded.event.job_id
                return [cause.send(FailBuild(build_id=key, reason=WITHDRAWN), lane=lane)]
    return []


def revert(cause: Cause, dispatch: Dispatch, reason: str) -> Send:
    """Give the present attempt up."""
    return cause.send(
        RevertDispatch(dispatch_id=str(dispatch.id), attempt=dispatch.attempt, reason=reason),
        lane=dispatch.job_id,
    )


def close(cause: Cause, dispatch: Dispatch, outcome: str) -> Send:
    """End the dispatch."""
    return cause.send(
        CloseDispatch(dispatch_id=str(dispatch.id), outcome=outcome), lane=dispatch.job_id
    )


def _go_on(fleet: Fleet, cause: Cause, dispatch: Dispatch, event: Dispatch.Event) -> list[Output]:
    match event:
        case Dispatch.Requested() if fleet.unwanted(dispatch):
            return [close(cause, dispatch, "cancelled")]
        case Dispatch.NodeChosen():
            return _plan(cause, dispatch)
        case Dispatch.NodeReserved():
            return _reserve_material(cause, dispatch)
        case Dispatch.MaterialReserved():
            return _send(fleet, cause, dispatch)
        case Dispatch.Reverting():
            return _give_back(fleet, cause, dispatch)
        case Dispatch.Reverted():
            return _after_revert(fleet, cause, dispatch)
        case Dispatch.Closed():
            build = fleet.build_of(dispatch)
            if build is None or BuildStatus(build.status) in WITHDRAWABLE:
                return _give_back(fleet, cause, dispatch)[:-1]
    return []


def _plan(cause: Cause, dispatch: Dispatch) -> list[Output]:
    work, lane = dispatch.work, dispatch.job_id
    plan = PlanBuild(
        job_id=dispatch.job_id,
        dispatch_id=str(dispatch.id),
        attempt=dispatch.attempt,
        node_id=dispatch.node_id,
        pieces=[PieceField(part_id=dispatch.part_id, piece=dispatch.piece)],
        program=ArtifactField(**work["program"]),
        material=work["material"],
        duration_ms=work["duration_ms"],
        material_mm3=work["material_mm3"],
        material_mg=work["material_mg"],
    )
    reserve = ReserveNode(node_id=dispatch.node_id, build_id=dispatch.build_id)
    return [
        cause.send(plan, lane=lane, on_refusal=revert(cause, dispatch, "it could not be planned")),
        cause.send(
            reserve, lane=lane, on_refusal=revert(cause, dispatch, "the node could not be reserved")
        ),
    ]


def _reserve_material(cause: Cause, dispatch: Dispatch) -> list[Output]:
    command = ReserveMaterial(
        inventory_id=dispatch.inventory_id,
        build_id=dispatch.build_id,
        quantity_mg=dispatch.work["material_mg"],
    )
    refusal = revert(cause, dispatch, "the material could not be reserved")
    return [cause.send(command, lane=dispatch.job_id, on_refusal=refusal)]


def _send(fleet: Fleet, cause: Cause, dispatch: Dispatch) -> list[Output]:
    node, lane = fleet.nodes[dispatch.node_id], dispatch.job_id
    refusal = revert(cause, dispatch, "the build could not be sent")
    if node.build_id != dispatch.build_id:
        return [refusal]
    build_id = dispatch.build_id
    commands = [
        ReserveBuild(build_id=build_id, epoch=node.epoch, inventory_id=dispatch.inventory_id),
        QueuePiece(
            part_id=dispatch.part_id,
            piece=dispatch.piece,
            build_id=build_id,
            node_id=dispatch.node_id,
        ),
        SendBuild(build_id=build_id),
    ]
    return [cause.send(command, lane=lane, on_refusal=refusal) for command in commands]


def _give_back(fleet: Fleet, cause: Cause, dispatch: Dispatch) -> list[Output]:
    """Everything that an attempt may have taken; what it has not taken is not there to give."""
    build_id, lane = dispatch.build_id, dispatch.job_id
    if not build_id:
        return [_finish(cause, dispatch)]
    return [
        cause.send(FailBuild(build_id=build_id, reason=WITHDRAWN), lane=lane),
        cause.send(ReleaseNode(node_id=dispatch.node_id, build_id=build_id), lane=lane),
        cause.send(
            ReleaseMaterial(inventory_id=dispatch.inventory_id, build_id=build_id), lane=lane
        ),
        cause.send(
            ReturnPiece(part_id=dispatch.part_id, piece=dispatch.piece, build_id=build_id),
            lane=lane,
        ),
        _finish(cause, dispatch),
    ]


def _finish(cause: Cause, dispatch: Dispatch) -> Send:
    command = FinishRevert(dispatch_id=str(dispatch.id), attempt=dispatch.attempt)
    return cause.send(command, lane=dispatch.job_id)


def _after_revert(fleet: Fleet, cause: Cause, dispatch: Dispatch) -> list[Output]:
    """``placing`` tries the next node unless nothing is left to try."""
    if fleet.unwanted(dispatch):
        failed = fleet.parts[dispatch.part_id].verdict == JobStatus.FAILED
        return [close(cause, dispatch, "failed" if failed else "cancelled")]
    if dispatch.attempt < MOST_ATTEMPTS:
        return []
    fail = FailPart(part_id=dispatch.part_id, reason=NOBODY_TOOK_IT)
    return [close(cause, dispatch, "failed"), cause.send(fail, lane=dispatch.job_id)]


def _node_reserved(
    fleet: Fleet, cause: Cause, node_id: str, build_id: str, epoch: int
) -> list[Output]:
    dispatch = fleet.dispatch_of(build_id)
    if dispatch is None or not _waits(dispatch, build_id, DispatchStatus.NODE_CHOSEN):
        release = ReleaseNode(node_id=node_id, build_id=build_id)
        return [cause.send(release, lane=dispatch.job_id if dispatch else node_id)]
    record = RecordNodeReserved(dispatch_id=str(dispatch.id), attempt=dispatch.attempt, epoch=epoch)
    return [cause.send(record, lane=dispatch.job_id)]


def _material_reserved(
    fleet: Fleet, cause: Cause, lot_id: str, build_id: str, quantity_mg: int
) -> list[Output]:
    dispatch = fleet.dispatch_of(build_id)
    if dispatch is None or not _waits(dispatch, build_id, DispatchStatus.NODE_RESERVED):
        release = ReleaseMaterial(inventory_id=lot_id, build_id=build_id)
        return [cause.send(release, lane=dispatch.job_id if dispatch else lot_id)]
    record = RecordMaterialReserved(
        dispatch_id=str(dispatch.id), attempt=dispatch.attempt, quantity_mg=quantity_mg
    )
    return [cause.send(record, lane=dispatch.job_id)]


def _waits(dispatch: Dispatch, build_id: str, status: DispatchStatus) -> bool:
    """Whether this step of this attempt is the one that the dispatch waits for."""
    return dispatch.build_id == build_id and dispatch.status == status

"""Decisions of the saga that brings a piece to a machine."""

from commands.dispatches.messages import (
    ChooseNode,
    CloseDispatch,
    FinishRevert,
    RecordMaterialReserved,
    RecordNodeReserved,
    RecordSent,
    RecordStarted,
    RequestDispatch,
    RevertDispatch,
)
from commands.handling import handles
from commands.world import World
from domain.dispatch.aggregate import Dispatch
from domain.shared.identifiers import dispatch_id


@handles(RequestDispatch)
def request_dispatch(command: RequestDispatch, world: World) -> Dispatch:
    return Dispatch.request(
        world.fresh(Dispatch, dispatch_id(command.part_id, command.piece)),
        organisation_id=world.home(),
        job_id=command.job_id,
        part_id=command.part_id,
        piece=command.piece,
        work=command.work,
    )


@handles(ChooseNode)
def choose_node(command: ChooseNode, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.choose(
        attempt=command.attempt,
        build_id=command.build_id,
        node_id=command.node_id,
        inventory_id=command.inventory_id,
        decision=command.decision,
    )
    return dispatch


@handles(RecordNodeReserved)
def record_node_reserved(command: RecordNodeReserved, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.reserve_node(command.attempt, epoch=command.epoch)
    return dispatch


@handles(RecordMaterialReserved)
def record_material_reserved(command: RecordMaterialReserved, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.reserve_material(command.attempt, quantity_mg=command.quantity_mg)
    return dispatch


@handles(RecordSent)
def record_sent(command: RecordSent, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.send(command.attempt)
    return dispatch


@handles(RecordStarted)
def record_started(command: RecordStarted, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.start(command.attempt)
    return dispatch


@handles(RevertDispatch)
def revert_dispatch(command: RevertDispatch, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.revert(command.attempt, reason=command.reason)
    return dispatch


@handles(FinishRevert)
def finish_revert(command: FinishRevert, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.finish_revert(command.attempt)
    return dispatch


@handles(CloseDispatch)
def close_dispatch(command: CloseDispatch, world: World) -> Dispatch:
    dispatch = world.get(Dispatch, command.dispatch_id)
    dispatch.close(command.outcome)
    return dispatch

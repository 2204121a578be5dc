"""Halting a machine and letting it work again: rights first, then straight to its bridge."""

import time
from uuid import UUID

import strawberry

from commands.authorisation import CLEAR_FAULT, EMERGENCY_STOP, anything, rules_for
from commands.principal import Principal
from domain.shared.errors import ForbiddenError, ImeweError, NotFoundError
from gateways.graphql.commanding import command
from gateways.graphql.context import Info
from gateways.graphql.payloads import (
    ClearFaultPayload,
    EmergencyStopPayload,
    NodePayload,
    StopReceipt,
)
from gateways.graphql.problems import problem_of
from gateways.graphql.whereabouts import Whereabouts
from projections.nodes import queries as nodes

CLEAR_STOP = "ClearEmergencyStop"


async def stop_node(info: Info, node_id: strawberry.ID) -> EmergencyStopPayload:
    """Ask the node's bridge to halt it now, past every queue; the bridge records the deed."""
    began = time.perf_counter()
    try:
        place, person = await allowed_at(info, EMERGENCY_STOP, node_id)
        answer = await info.context.gateway.stops.stop(
            bridge=place.bridge, node_id=place.node_id, by=str(person)
        )
    except ImeweError as error:
        return EmergencyStopPayload(node_id=node_id, problems=[problem_of(error)])
    return EmergencyStopPayload(
        node_id=node_id,
        receipt=StopReceipt(
            confirmed=answer["confirmed"],
            native_text=answer["native_text"],
            latency_ms=answer["latency_ms"],
            round_trip_ms=round((time.perf_counter() - began) * 1000, 3),
        ),
    )


async def clear_stop(
    info: Info, node_id: strawberry.ID, *, command_id: strawberry.ID | None
) -> NodePayload:
    """The bridge's latch first, then the log's: a machine that cannot be cleared stays latched in
    both, and one whose clearing was not recorded takes no work until the person says it again."""
    try:
        place, person = await allowed_at(info, CLEAR_STOP, node_id)
        await info.context.gateway.faults.clear_fault(
            bridge=place.bridge, node_id=place.node_id, by=str(person), keep_stop=False
        )
    except ImeweError as error:
        return NodePayload(problems=[problem_of(error)], command_id=command_id)
    return await command(
        info, NodePayload, CLEAR_STOP, {"node_id": node_id}, command_id=command_id, node_id="id"
    )


async def clear_fault(info: Info, node_id: strawberry.ID) -> ClearFaultPayload:
    """Have the bridge reset a machine that halted itself; an emergency stop stays latched."""
    try:
        place, person = await allowed_at(info, CLEAR_FAULT, node_id)
        answer = await info.context.gateway.faults.clear_fault(
            bridge=place.bridge, node_id=place.node_id, by=str(person), keep_stop=True
        )
    except ImeweError as error:
        return ClearFaultPayload(node_id=node_id, problems=[problem_of(error)])
    return ClearFaultPayload(node_id=node_id, execution=answer["execution"])


async def allowed_at(
    info: Info, name: str, node_id: strawberry.ID
) -> tuple[Whereabouts, Principal]:
    """Where the machine is, and the person who may do this to it.

    What is refused here no other service hears of: it is told to the audit trail.
    """
    try:
        person = info.context.caller.person()
        place = await _whereabouts(info, str(node_id))
        demand_right(name, person, place)
    except ImeweError as error:
        info.context.tell_denial(error, action=name, resource=f"node/{node_id}")
        raise
    return place, person


def demand_right(name: str, person: Principal, place: Whereabouts) -> None:
    """The one rule beside ``anything`` in these rows of the table is ownership of the machine."""
    rules = rules_for(name, person, person.place(place.organisation_id))
    if anything not in rules and place.owner_id != person.id:
        raise ForbiddenError("this machine is not yours")


async def _whereabouts(info: Info, node_id: str) -> Whereabouts:
    """Where the machine is, from memory when it was ever seen: a stop waits for no database.

    A person of another organisation hears that there is no such machine.
    """
    scope, known = info.context.scope, info.context.gateway.whereabouts
    place = known.find(node_id)
    if place is None:
        place = await _look_up(info, node_id)
    if place is None or place.organisation_id not in scope.organisations:
        raise NotFoundError(f"there is no node {node_id[:64]}", field="node_id")
    return place


async def _look_up(info: Info, node_id: str) -> Whereabouts | None:
    try:
        canonical = str(UUID(node_id))
    except ValueError:
        return None
    async with info.context.reads.use(nodes.READS) as connection:
        view = await nodes.node(connection, info.context.scope, canonical)
    return info.context.gateway.whereabouts.learn(view.node) if view else None

"""The emergency stop: rights first, then straight to the bridge, past every queue and database."""

import time
from uuid import UUID

import strawberry

from commands.authorisation import EMERGENCY_STOP, rules_for
from domain.shared.errors import ImeweError, NotFoundError
from gateways.graphql.context import Info
from gateways.graphql.payloads import EmergencyStopPayload, StopReceipt
from gateways.graphql.problems import problem_of
from gateways.graphql.whereabouts import Whereabouts
from projections.nodes import queries as nodes


async def stop_node(info: Info, node_id: strawberry.ID) -> EmergencyStopPayload:
    """Ask the node's bridge to halt it now; the bridge records the deed."""
    began = time.perf_counter()
    try:
        person = info.context.caller.person()
        place = await _whereabouts(info, str(node_id))
        rules_for(EMERGENCY_STOP, person, person.place(place.organisation_id))
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

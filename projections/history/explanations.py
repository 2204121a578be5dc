"""Why an event happened and what came of it. Call inside ``reading(pool, READS)``."""

from dataclasses import dataclass
from typing import Any, Final

from domain.dispatch.aggregate import Dispatch
from domain.shared.scope import Scope
from projections.history import queries
from projections.history.causes import chain_of
from projections.history.decisions import Choice
from projections.history.rows import EventRow
from projections.querying import Connection, Cursor

LED_TO_LIMIT: Final = 50
"""Direct consequences that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A choice, the event that was its occasion, and the work that was asked for."""

    choice: Choice
    occasion: EventRow | None
    work: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """``chain`` leads from the first known cause to the event itself. ``occasion_of`` are choices
    of machines that this event made possible."""

    event: EventRow
    chain: list[EventRow]
    led_to: list[EventRow]
    more: bool
    occasion_of: list[EventRow]
    decided: Decided | None


async def explain(connection: Connection, scope: Scope, event_id: str) -> Explanation | None:
    """``None`` where there is no such event, or none that the reader may know of."""
    event = (await queries.events_by_ids(connection, scope, [event_id])).get(event_id)
    if event is None:
        return None
    led_to = await queries.caused_by(connection, scope, [event_id], limit=LED_TO_LIMIT + 1)
    return Explanation(
        event=event,
        chain=await chain_of(connection, scope, event),
        led_to=led_to[:LED_TO_LIMIT],
        more=len(led_to) > LED_TO_LIMIT,
        occasion_of=await _occasion_of(connection, scope, event),
        decided=await _decided(connection, scope, event),
    )


async def _decided(connection: Connection, scope: Scope, event: EventRow) -> Decided | None:
    if event.topic != Dispatch.NodeChosen.TOPIC:
        return None
    choice = Choice.of(event.body)
    (requested,) = await queries.events_of(
        connection, scope, kind=event.kind, aggregate_id=event.aggregate_id, first=1
    )
    return Decided(
        choice=choice,
        occasion=await queries.event_at(connection, scope, choice.fleet_position),
        work=requested.body["work"],
    )


async def _occasion_of(connection: Connection, scope: Scope, event: EventRow) -> list[EventRow]:
    """Choices follow their occasion at once: they are among the next that were recorded."""
    wanted = queries.EventFilter(topics=(Dispatch.NodeChosen.TOPIC,))
    page = await queries.event_history(
        connection, scope, wanted, first=LED_TO_LIMIT, after=Cursor(event.position)
    )
    return [
        row for row in page.items if row.body["decision"].get("fleet_position") == event.position
    ]

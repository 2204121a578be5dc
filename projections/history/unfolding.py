"""Aggregates as they were, read event by event. Call inside ``reading(pool, READS)``.

A page of events is in memory at a time, however many there are.
"""

from collections.abc import AsyncIterator
from typing import Final

from domain.shared.errors import InvalidInputError
from domain.shared.scope import Scope
from projections.history.queries import events_of, kind_of
from projections.history.rows import EventRow
from projections.history.states import Comparing, Decode, Ends, Folding, State, Traced
from projections.querying import PAGE_LIMIT, Connection

COMPARED_LIMIT: Final = 5000
"""Events of one aggregate between the two ends of a comparison."""


async def state_at(
    connection: Connection, scope: Scope, decode: Decode, *, kind: str, aggregate_id: str
) -> State | None:
    """What it was at the moment that the reading shows; ``None`` when it was not there yet.

    Raises ``InvalidInputError`` for an id of another kind and ``UnreadableEventError``.
    """
    folding = Folding(decode)
    async for page in _pages(connection, scope, kind=kind, aggregate_id=aggregate_id):
        folding.take(page)
    if folding.last is None:
        await demand_kind(connection, scope, kind, aggregate_id)
    return folding.state


async def ends(
    connection: Connection,
    scope: Scope,
    decode: Decode,
    *,
    kind: str,
    aggregate_id: str,
    after: int,
    upto: int,
) -> Ends:
    """What it was at ``after`` and at ``upto``. Raises ``UnreadableEventError``."""
    found = Ends(decode, after=after)
    async for page in _pages(connection, scope, kind=kind, aggregate_id=aggregate_id, upto=upto):
        found.take(page)
    return found


async def compared(
    connection: Connection,
    scope: Scope,
    decode: Decode,
    *,
    kind: str,
    aggregate_id: str,
    after: int,
    upto: int,
) -> list[Traced]:
    """What is different at ``upto`` from what it was at ``after``.

    Raises ``InvalidInputError`` for too many events between the two, and ``UnreadableEventError``.
    """
    comparing, between = Comparing(decode, after=after), 0
    async for page in _pages(connection, scope, kind=kind, aggregate_id=aggregate_id, upto=upto):
        between += sum(row.position > after for row in page)
        if between > COMPARED_LIMIT:
            raise InvalidInputError(
                f"more than {COMPARED_LIMIT} events lie between the two",
                field="from",
                remedy="choose a shorter interval",
            )
        comparing.take(page)
    return comparing.differences()


async def demand_kind(connection: Connection, scope: Scope, kind: str, aggregate_id: str) -> None:
    """Raises ``InvalidInputError`` for an id of another kind; one of none is let pass."""
    known = await kind_of(connection, scope, aggregate_id)
    if known not in {None, kind}:
        raise InvalidInputError(
            f"{aggregate_id} is no {kind[:64]}", field="kind", remedy=f"ask for kind {known}"
        )


async def _pages(
    connection: Connection,
    scope: Scope,
    *,
    kind: str,
    aggregate_id: str,
    upto: int | None = None,
) -> AsyncIterator[list[EventRow]]:
    position = 0
    while True:
        page = await events_of(
            connection, scope, kind=kind, aggregate_id=aggregate_id, after=position, upto=upto
        )
        yield page
        if len(page) < PAGE_LIMIT:
            return
        position = page[-1].position

"""Which aggregates changed between two positions. Call inside ``reading(pool, READS)``."""

from dataclasses import dataclass
from typing import Final

from domain.shared.scope import Scope
from projections.history.queries import visible_events
from projections.querying import Connection, Cursor, Page, fetch

WIDEST: Final = 2_000_000
"""Positions between the two ends; every one of them is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One aggregate: how many events it had in the interval, and where the last one stands."""

    kind: str
    aggregate_id: str
    events: int
    first: int
    last: int


async def changed_between(
    connection: Connection,
    scope: Scope,
    *,
    after: int,
    upto: int,
    kind: str = "",
    aggregate_id: str = "",
    first: int = 50,
    cursor: Cursor | None = None,
) -> Page[Changed]:
    """Aggregates with events in ``(after, upto]``, the last changed first (cursor: ``last``)."""
    where = visible_events(scope).add(
        "position > %(from)s AND position <= %(to)s", **{"from": after, "to": upto}
    )
    where.if_given(kind, "kind = %(kind)s", kind=kind)
    where.if_given(aggregate_id, "aggregate_id = %(id)s", id=aggregate_id)
    before = upto + 1 if cursor is None else cursor.position
    text = (
        "SELECT kind, aggregate_id, count(*) AS events, min(position) AS first,"
        f" max(position) AS last FROM events WHERE {where} GROUP BY kind, aggregate_id"
        " HAVING max(position) < %(before)s ORDER BY max(position) DESC LIMIT %(limit)s"
    )
    values = {**where.values, "before": before, "limit": first + 1}
    found = await fetch(connection, Changed, text, values)
    return Page(found[:first], len(found) > first)

"""Reads the event history. Call inside ``reading(pool, READS)``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.shared.scope import Scope
from projections.history.rows import EventRow
from projections.querying import (
    PAGE_LIMIT,
    Connection,
    Cursor,
    Page,
    Where,
    columns,
    fetch,
    fetch_any,
    fetch_page,
)

READS = ("history",)

OF_PEOPLE = ("account", "organisation")
"""Kinds whose events only those who audit may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted; empty fields want all. ``before`` is a position, exclusive.

    ``since`` and ``until`` bound the time of recording; ``until`` is exclusive.
    """

    aggregate_id: str = ""
    kind: str = ""
    topics: Sequence[str] = ()
    correlation_id: str = ""
    actor_id: str = ""
    organisation_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


EVERY_EVENT = EventFilter()


async def event_history(
    connection: Connection,
    scope: Scope,
    wanted: EventFilter = EVERY_EVENT,
    *,
    first: int = 50,
    after: Cursor | None = None,
    newest_first: bool = False,
) -> Page[EventRow]:
    """Events in the order of the log (cursor: ``position``), or backwards."""
    return await fetch_page(
        connection,
        EventRow,
        "events",
        _filtered(scope, wanted),
        first=first,
        after=after,
        order="position",
        newest_first=newest_first,
    )


async def events_by_ids(
    connection: Connection, scope: Scope, event_ids: Sequence[str]
) -> dict[str, EventRow]:
    """Events by id."""
    rows = await fetch_any(
        connection,
        EventRow,
        "events",
        visible_events(scope),
        column="event_id",
        ids=event_ids,
        order="position",
    )
    return {row.event_id: row for row in rows}


async def events_of(
    connection: Connection,
    scope: Scope,
    *,
    kind: str,
    aggregate_id: str,
    after: int = 0,
    upto: int | None = None,
    first: int = PAGE_LIMIT,
) -> list[EventRow]:
    """Up to ``first`` events of one aggregate behind ``after`` and not behind ``upto``."""
    where = visible_events(scope).add(
        "kind = %(kind)s AND aggregate_id = %(id)s AND position > %(from)s",
        kind=kind,
        id=aggregate_id,
        **{"from": after},
    )
    where.if_given(upto, "position <= %(upto)s", upto=upto)
    return await _first(connection, where, first)


async def events_of_story(
    connection: Connection, scope: Scope, correlation_id: str, *, limit: int
) -> list[EventRow]:
    """The first ``limit`` events of a story."""
    where = visible_events(scope).add("correlation_id = %(story)s", story=correlation_id)
    return await _first(connection, where, limit)


async def events_about(
    connection: Connection, scope: Scope, aggregate_ids: Sequence[str], *, limit: int
) -> list[EventRow]:
    """The first ``limit`` events of several aggregates."""
    where = visible_events(scope).add("aggregate_id = ANY(%(ids)s)", ids=list(aggregate_ids))
    return await _first(connection, where, limit)


async def caused_by(
    connection: Connection, scope: Scope, causes: Sequence[str], *, limit: int
) -> list[EventRow]:
    """The first ``limit`` events that follow from any of these events or commands."""
    where = visible_events(scope).add("causation_id = ANY(%(causes)s)", causes=list(causes))
    return await _first(connection, where, limit)


async def event_at(connection: Connection, scope: Scope, position: int) -> EventRow | None:
    """The event at a position."""
    where = visible_events(scope).add("position = %(at)s", at=position)
    found = await _first(connection, where, 1)
    return found[0] if found else None


async def kind_of(connection: Connection, scope: Scope, aggregate_id: str) -> str | None:
    """What an id is the id of."""
    found = await events_about(connection, scope, [aggregate_id], limit=1)
    return found[0].kind if found else None


async def _first(connection: Connection, where: Where, limit: int) -> list[EventRow]:
    text = f"SELECT {columns(EventRow)} FROM events WHERE {where} ORDER BY position LIMIT %(limit)s"
    return await fetch(connection, EventRow, text, {**where.values, "limit": limit})


def _filtered(scope: Scope, wanted: EventFilter) -> Where:
    where = visible_events(scope)
    where.if_given(wanted.aggregate_id, "aggregate_id = %(id)s", id=wanted.aggregate_id)
    where.if_given(wanted.kind, "kind = %(kind)s", kind=wanted.kind)
    where.if_given(tuple(wanted.topics), "topic = ANY(%(topics)s)", topics=list(wanted.topics))
    where.if_given(wanted.correlation_id, "correlation_id = %(story)s", story=wanted.correlation_id)
    where.if_given(wanted.actor_id, "actor_id = %(actor)s", actor=wanted.actor_id)
    where.if_given(wanted.organisation_id, "organisation_id = %(of)s", of=wanted.organisation_id)
    where.if_given(wanted.since, "recorded_at >= %(since)s", since=wanted.since)
    where.if_given(wanted.until, "recorded_at < %(until)s", until=wanted.until)
    return where.if_given(wanted.before, "position < %(before)s", before=wanted.before)


def visible_events(scope: Scope) -> Where:
    """Own organisations' events; those of people only for admins and auditors."""
    return Where().add(
        "organisation_id = ANY(%(audited)s)"
        " OR (organisation_id = ANY(%(readable)s) AND kind <> ALL(%(people)s))",
        audited=scope.audited,
        readable=scope.readable,
        people=list(OF_PEOPLE),
    )

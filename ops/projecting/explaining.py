"""Rows that differ, page by page, each with the event that explains it.

Of a table that keeps its past it is the event whose fold first gave another state in the candidate
than in the schema in use; of a row that never changes the event that made it; of any other the
last that changed it.
"""

from typing import Any

from psycopg import sql

from domain.shared.errors import NotFoundError
from ops.eventstore.reader import PoisonEventError
from ops.projecting.differing import Comparison, Shape, TableDiff, differing, shapes
from ops.projecting.places import Connection
from ops.projecting.source import EventSource

PAGE_LIMIT = 100

ADDED, REMOVED, CHANGED = "ADDED", "REMOVED", "CHANGED"


def last_comparison(connection: Connection, name: str) -> Comparison:
    """The last diff. Raises ``NotFoundError`` when there is none."""
    row = connection.execute(
        "SELECT live, candidate, position, tables FROM imewe.comparisons WHERE name = %s", [name]
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"{name} was not compared yet", field="name", remedy=f"imewe projections diff {name}"
        )
    shown, candidate, position, tables = row
    return Comparison(
        name=name,
        live=shown,
        candidate=candidate,
        position=position,
        tables=[TableDiff(**each) for each in tables],
    )


def samples(
    connection: Connection,
    source: EventSource,
    name: str,
    *,
    of: str,
    first: int = 20,
    after: int = 0,
    seen: frozenset[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of one table that differ, behind number ``after``, in the order of their keys:
    ``number``, ``kind``, ``key``, ``changes`` (``column``, ``before``, ``after``) and ``event``,
    ``None`` where no event can be named. Values of organisations that are not in ``seen`` are
    withheld.
    """
    comparison = last_comparison(connection, name)
    rows = connection.execute(
        "SELECT number, key, before, after FROM imewe.differences"
        " WHERE name = %s AND of = %s AND number > %s ORDER BY number LIMIT %s",
        [name, of, after, min(first, PAGE_LIMIT)],
    ).fetchall()
    sides = shapes(connection, comparison.live), shapes(connection, comparison.candidate)
    found = []
    for number, key, before, behind in rows:
        position = _explained_by(connection, comparison, of, key, [before, behind], sides)
        event = _event(source, position) if position else None
        place = (behind or before).get("organisation_id") or (event or {}).get("organisation_id")
        withheld = seen is not None and place not in seen
        changes = _changes(before or {}, behind or {}, both=bool(before and behind))
        found.append(
            {
                "number": number,
                "of": of,
                "kind": _kind(before, behind),
                "key": key,
                "changes": [] if withheld else changes,
                "withheld": withheld,
                "event": event,
            }
        )
    return found


def _kind(before: Any, after: Any) -> str:
    if before is None:
        return ADDED
    return REMOVED if after is None else CHANGED


def _changes(before: dict[str, Any], after: dict[str, Any], *, both: bool) -> list[dict[str, Any]]:
    names = [each for each in {**before, **after} if not both or (each in before and each in after)]
    return [
        {"column": each, "before": before.get(each), "after": after.get(each)}
        for each in names
        if before.get(each) != after.get(each)
    ]


def _explained_by(
    connection: Connection,
    comparison: Comparison,
    of: str,
    key: dict[str, Any],
    rows: list[dict[str, Any] | None],
    sides: tuple[dict[str, Shape], dict[str, Shape]],
) -> int | None:
    if "as_of" in key:
        return int(key["as_of"])
    kept = f"{of}_history"
    if all(kept in each for each in sides):
        old, new = (each[kept] for each in sides)
        return _first_other_state(connection, comparison, kept, key, old, new)
    known = [int(row["position"]) for row in rows if row and "position" in row]
    return max(known, default=None)


def _first_other_state(
    connection: Connection,
    comparison: Comparison,
    kept: str,
    key: dict[str, Any],
    old: Shape,
    new: Shape,
) -> int | None:
    """What is fixed of a row stands in no state of it: then it is the first state's event."""
    of_key = sql.SQL(" AND ").join(
        sql.SQL("{} = {}::" + new.columns[column]).format(sql.Identifier(column), str(value))
        for column, value in key.items()
    )
    states = sql.SQL("(SELECT * FROM {} WHERE {} AND as_of <= {})")
    position = sql.Literal(comparison.position)
    statement = sql.SQL(
        "SELECT coalesce(min(coalesce(o.as_of, n.as_of)) FILTER (WHERE {differ}),"
        " min(coalesce(o.as_of, n.as_of))) FROM {o} o FULL JOIN {n} n ON o.as_of = n.as_of"
    ).format(
        differ=differing(old, new),
        o=states.format(sql.Identifier(comparison.live, kept), of_key, position),
        n=states.format(sql.Identifier(comparison.candidate, kept), of_key, position),
    )
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def _event(source: EventSource, position: int) -> dict[str, Any]:
    unread = {"position": position, "event_id": "", "topic": "", "aggregate_id": ""}
    try:
        found = source.read(position - 1, 1)
    except PoisonEventError as error:
        return {**unread, "aggregate_id": str(error.aggregate_id), "actor": "", "at": ""}
    if not found:
        return {**unread, "actor": "", "at": ""}
    event = found[0]
    actor = event.envelope.actor
    return {
        "position": position,
        "event_id": event.event_id,
        "topic": event.topic,
        "aggregate_id": str(event.aggregate_id),
        "actor": f"{actor.kind}/{actor.id}",
        "organisation_id": event.envelope.organisation_id,
        "at": event.envelope.occurred_at.isoformat(),
    }

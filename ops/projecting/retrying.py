"""Folds what was parked again, once the fault is repaired, and lets its aggregates go on.

Every row belongs to one aggregate, or is a sum to which the order does not matter: so the events
that an aggregate lacks can be folded after those of others, and the rows are those of a rebuild.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.shared.errors import NotFoundError
from domain.shared.recorded import RecordedEvent
from ops.projecting.applying import (
    REASON_LIMIT,
    REFUSED,
    Batch,
    Folded,
    Unreadable,
    fold,
    note_parked,
    park,
    parked_keys,
)
from ops.projecting.places import Connection, Place, live
from ops.projecting.source import EventSource
from ops.projecting.steps import folded_by, standing_still
from ops.projecting.versions import Versions
from projections.projection import Projection


class Left(NamedTuple):
    """An aggregate that stays parked: from which event on, and why."""

    key: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """Aggregates that go on, those that do not, and ids to announce."""

    name: str
    position: int
    gone_on: list[str]
    left: list[Left]
    touched: list[str]


def retry(
    connection: Connection, source: EventSource, versions: Versions, name: str, *, key: str = ""
) -> Retried:
    """Fold the parked events of one aggregate, or of all, into the schema in use: from the first
    that was left, in their order, in one transaction.

    Raises ``NotFoundError`` when it is not parked.
    """
    place = live(connection, name)
    if place is None:
        raise NotFoundError(f"projection {name} is not there yet", field="name")
    projection = folded_by(versions, name, place)
    chosen = _chosen(connection, place.schema, key)
    if key and not chosen:
        raise NotFoundError(f"{key[:80]} is not parked in {name}", field="key")
    try:
        return _retry(connection, source, projection, place, chosen)
    except REFUSED as error:
        if len(chosen) == 1:
            ((only, position),) = chosen.items()
            return _answer(name, place.position, [Left(only, position, _short(error))])
    done = [
        retry(connection, source, versions, name, key=each)
        for each in sorted(chosen, key=chosen.__getitem__)
    ]
    return Retried(
        name=name,
        position=max(each.position for each in done),
        gone_on=[found for each in done for found in each.gone_on],
        left=[found for each in done for found in each.left],
        touched=[found for each in done for found in each.touched],
    )


def _retry(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    place: Place,
    chosen: dict[str, int],
) -> Retried:
    schema = place.schema
    with standing_still(connection, schema) as positions, connection.cursor() as cursor:
        upto = positions[schema]
        events, unread = _events(source, chosen, upto)
        others = parked_keys(connection, schema) - chosen.keys()
        cursor.execute(
            "DELETE FROM imewe.parked_keys WHERE schema = %s AND key = ANY(%s)",
            [schema, list(chosen)],
        )
        cursor.execute("SELECT set_config('search_path', quote_ident(%s), true)", [schema])
        rows, folded = fold(cursor, projection, Batch(events, upto), parked=others)
        for each in unread:
            park(folded, each, parked=others)
        projection.flush(cursor, rows)
        note_parked(cursor, schema, folded)
        cursor.execute("UPDATE imewe.positions SET epoch = epoch + 1 WHERE schema = %s", [schema])
    return _answer(projection.name, upto, _left(folded), gone_on=chosen, folded=folded)


def _answer(
    name: str,
    position: int,
    left: list[Left],
    *,
    gone_on: Sequence[str] | dict[str, int] = (),
    folded: Folded | None = None,
) -> Retried:
    still = {each.key for each in left}
    return Retried(
        name=name,
        position=position,
        gone_on=sorted(each for each in gone_on if each not in still),
        left=left,
        touched=folded.touched if folded else [],
    )


def _left(folded: Folded) -> list[Left]:
    return [Left(key, position, reason) for key, (position, reason) in folded.parked.items()]


def _chosen(connection: Connection, schema: str, key: str) -> dict[str, int]:
    rows = connection.execute(
        "SELECT key, position FROM imewe.parked_keys WHERE schema = %s AND (%s = '' OR key = %s)",
        [schema, key, key],
    ).fetchall()
    return dict(rows)


def _events(
    source: EventSource, chosen: dict[str, int], upto: int
) -> tuple[list[RecordedEvent], list[Unreadable]]:
    events: list[RecordedEvent] = []
    unread: list[Unreadable] = []
    for key, first in chosen.items():
        found, error = source.events_of(key, first=first, upto=upto)
        events += found
        if error is not None:
            unread.append(Unreadable(error.position, error.kind, key, error.reason))
    return sorted(events, key=lambda each: each.position), unread


def _short(error: Exception) -> str:
    return str(error)[:REASON_LIMIT]

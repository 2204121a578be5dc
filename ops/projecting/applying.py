"""One batch of events into one projection: rows, position and parked keys in one transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
import structlog

from domain.shared.recorded import RecordedEvent
from ops import failpoints
from ops.projecting.errors import FencedError
from ops.projecting.places import Connection, look_at
from projections.postgres import Cursor, prefetch
from projections.projection import Projection
from projections.rows import Rows

log = structlog.get_logger()

REASON_LIMIT = 500
REFUSED = (psycopg.DataError, psycopg.IntegrityError, TypeError, ValueError, OverflowError)
"""What writing raises for rows that no PostgreSQL would take, whatever its state."""


class Unreadable(NamedTuple):
    """An event that could not even be decoded."""

    position: int
    kind: str
    aggregate_id: str
    reason: str


class Stand(NamedTuple):
    """Where a runner believes a schema to be; without ``epoch`` the position alone counts."""

    position: int
    epoch: int | None = None


class Batch(NamedTuple):
    """Events in the order of the log, up to and with position ``upto``.

    ``unreadable`` is the one at ``upto``, if that one is.
    """

    events: Sequence[RecordedEvent]
    upto: int
    unreadable: Unreadable | None = None

    def cut(self, upto: int) -> "Batch":
        """The part of it up to a position."""
        if self.upto <= upto:
            return self
        return Batch([each for each in self.events if each.position <= upto], upto)


@dataclass(slots=True)
class Folded:
    """What a batch did: ids to announce, keys parked by it with reasons, events skipped by key."""

    touched: list[str] = field(default_factory=list)
    parked: dict[str, tuple[int, str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


def parked_keys(connection: Connection, schema: str) -> set[str]:
    """Aggregates whose events are skipped until the projection is rebuilt."""
    rows = connection.execute("SELECT key FROM imewe.parked_keys WHERE schema = %s", [schema])
    return {key for (key,) in rows.fetchall()}


def apply(
    connection: Connection,
    projection: Projection,
    schema: str,
    batch: Batch,
    *,
    after: int,
    parked: set[str],
    epoch: int | None = None,
) -> list[str]:
    """Bring a projection from position ``after`` to ``batch.upto``; returns ids to announce.

    An event whose fold or rows fail parks its aggregate, in the same transaction; ``parked`` is
    kept up to date. Raises ``FencedError`` when somebody else has moved the position, or counted
    its ``epoch`` up.
    """
    stand = Stand(after, epoch)
    try:
        folded = _transaction(connection, projection, schema, batch, stand=stand, parked=parked)
    except REFUSED as error:
        return _narrow(
            connection, projection, schema, batch, stand=stand, parked=parked, error=error
        )
    parked.update(folded.parked)
    say_parked(projection, folded)
    return folded.touched


def say_parked(projection: Projection, folded: Folded) -> None:
    """Tell the log of this process which aggregates a batch left."""
    for key, (position, reason) in folded.parked.items():
        log.error(
            "parked", projection=projection.name, key=key, stale_since=position, reason=reason
        )


def _narrow(
    connection: Connection,
    projection: Projection,
    schema: str,
    batch: Batch,
    *,
    stand: Stand,
    parked: set[str],
    error: Exception,
) -> list[str]:
    """PostgreSQL refuses a row of the batch: halve it until the event at fault is alone."""
    if not batch.events:
        raise error
    if len(batch.events) == 1:
        event = batch.events[0]
        refused = Unreadable(event.position, event.kind, str(event.aggregate_id), str(error))
        halves = [Batch((), batch.upto, refused)]
    else:
        middle = len(batch.events) // 2
        first = batch.events[:middle]
        halves = [
            Batch(first, first[-1].position),
            Batch(batch.events[middle:], batch.upto, batch.unreadable),
        ]
    touched: list[str] = []
    after, epoch = stand
    for half in halves:
        touched += apply(
            connection, projection, schema, half, after=after, parked=parked, epoch=epoch
        )
        after = half.upto
    return touched


def _transaction(
    connection: Connection,
    projection: Projection,
    schema: str,
    batch: Batch,
    *,
    stand: Stand,
    parked: set[str],
) -> Folded:
    with connection.transaction(), connection.cursor() as cursor:
        move(cursor, schema, stand, upto=batch.upto)
        look_at(cursor, schema)
        rows, folded = fold(cursor, projection, batch, parked=parked)
        projection.flush(cursor, rows)
        note_parked(cursor, schema, folded)
        failpoints.reach("projections.rows.flushed")
    failpoints.reach("projections.rows.committed")
    return folded


def move(cursor: Cursor, schema: str, stand: Stand, *, upto: int) -> None:
    """First of all, so that a second runner waits here and then finds itself fenced."""
    cursor.execute(
        "UPDATE imewe.positions SET position = %s WHERE schema = %s AND position = %s"
        " AND epoch = coalesce(%s, epoch)",
        [upto, schema, *stand],
    )
    if cursor.rowcount != 1:
        raise FencedError(f"somebody else moved {schema} from position {stand.position}")


def fold(
    cursor: Cursor, projection: Projection, batch: Batch, *, parked: set[str]
) -> tuple[Rows, Folded]:
    """Fold in memory what concerns the projection, the rows that it needs looked up."""
    rows = Rows()
    wanted = wanted_of(projection, batch)
    prefetch(cursor, (need for event in wanted for need in projection.needs(event)), rows)
    return rows, fold_into(rows, projection, batch, parked=parked)


def wanted_of(projection: Projection, batch: Batch) -> list[RecordedEvent]:
    """The events that concern a projection."""
    return [event for event in batch.events if event.topic in projection.topics]


def fold_into(
    rows: Rows, projection: Projection, batch: Batch, *, parked: Collection[str]
) -> Folded:
    """Fold what concerns the projection into rows of which those that it needs are loaded."""
    folded = Folded()
    for event in wanted_of(projection, batch):
        _fold_one(projection, rows, folded, event, parked=parked)
    if batch.unreadable and batch.unreadable.kind in projection.kinds:
        park(folded, batch.unreadable, parked=parked)
    folded.touched = rows.touched
    return folded


def _fold_one(
    projection: Projection,
    rows: Rows,
    folded: Folded,
    event: RecordedEvent,
    *,
    parked: Collection[str],
) -> None:
    key = str(event.aggregate_id)
    if key in parked or key in folded.parked:
        folded.skipped[key] = folded.skipped.get(key, 0) + 1
        return
    try:
        projection.fold(rows, event)
    except Exception as error:  # whatever a fold raises, the other aggregates go on
        rows.drop()
        reason = f"{event.topic}: {type(error).__name__}: {error}"
        folded.parked[key] = (event.position, reason[:REASON_LIMIT])
    else:
        rows.keep(event.position)


def park(folded: Folded, event: Unreadable, *, parked: Collection[str]) -> None:
    """Leave an aggregate from an event on that cannot be decoded."""
    if event.aggregate_id in parked or event.aggregate_id in folded.parked:
        folded.skipped[event.aggregate_id] = folded.skipped.get(event.aggregate_id, 0) + 1
    else:
        folded.parked[event.aggregate_id] = (event.position, event.reason[:REASON_LIMIT])


def note_parked(cursor: Cursor, schema: str, folded: Folded) -> None:
    """Write down what was left."""
    for key, (position, reason) in folded.parked.items():
        cursor.execute(
            "INSERT INTO imewe.parked_keys (schema, key, position, reason) VALUES (%s, %s, %s, %s)",
            [schema, key, position, reason.replace("\0", "")],
        )
    for key, count in folded.skipped.items():
        cursor.execute(
            "UPDATE imewe.parked_keys SET skipped = skipped + %s WHERE schema = %s AND key = %s",
            [count, schema, key],
        )

"""Folds the whole log into a fresh schema and lets readers look there once it is at the end.

Readers see the old rows until then. A runner that is at work goes on with the old schema, finds
itself fenced by the switch and takes up the new one where the rebuild left it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ops.projecting.applying import apply
from ops.projecting.errors import RebuildRunningError
from ops.projecting.places import (
    Connection,
    create,
    forget,
    leftovers,
    next_rebuild,
    position_of,
    retire,
    switch,
)
from ops.projecting.source import EventSource, next_batch
from projections.projection import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild made: the schema in use now, its position, the events folded, keys parked."""

    name: str
    schema: str
    position: int
    events: int
    parked: int


def rebuild(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    *,
    progress: Callable[[int], None] = lambda _position: None,
) -> Rebuilt:
    """Rebuild one projection on an autocommit connection of its own.

    ``progress`` hears every position reached. Raises ``RebuildRunningError`` when another one is
    at work on the same projection.
    """
    lock = f"rebuild {projection.name}"
    row = connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [lock]).fetchone()
    if not row or not row[0]:
        raise RebuildRunningError(f"{projection.name} is being rebuilt by somebody else")
    try:
        return _rebuild(connection, source, projection, progress)
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [lock])


def _rebuild(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    progress: Callable[[int], None],
) -> Rebuilt:
    _clear(connection, projection)
    schema = next_rebuild(connection, projection)
    create(connection, projection, schema)
    parked: set[str] = set()
    position = events = 0
    while (batch := next_batch(source, position)) is not None:
        apply(connection, projection, schema, batch, after=position, parked=parked)
        position = batch.upto
        events += len(batch.events)
        progress(position)
    old = switch(connection, projection, schema)
    if old:
        retire(connection, old)
    return Rebuilt(
        name=projection.name, schema=schema, position=position, events=events, parked=len(parked)
    )


def _clear(connection: Connection, projection: Projection) -> None:
    """Drop what earlier ones left; a new version that a runner is building is not ours."""
    first = f"{projection.name}_v{projection.version}"
    for schema in leftovers(connection, projection):
        if schema != first or position_of(connection, schema) is None:
            forget(connection, schema)
            retire(connection, schema)

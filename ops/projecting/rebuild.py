"""Folds the whole log into a fresh schema, beside the one that readers see.

A builder that is killed leaves a schema that is BUILDING; whoever takes it up goes on where it
stopped. A runner that is at work goes on with the schemas that are complete.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from domain.shared.errors import ConflictError
from ops.projecting.applying import apply, parked_keys
from ops.projecting.places import (
    BUILDING,
    BUILT,
    ITSELF,
    Connection,
    Place,
    alone,
    create,
    leftovers,
    mark,
    next_rebuild,
    places,
    retire,
    switch,
)
from ops.projecting.source import EventSource, ahead
from projections.projection import Projection

Progress = Callable[[int], None]


def _silent(_position: int) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild made: the schema, its position, the events folded, keys parked, seconds."""

    name: str
    schema: str
    position: int
    events: int
    parked: int
    seconds: float = 0.0


def rebuild(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    *,
    progress: Progress = _silent,
    by: str = ITSELF,
) -> Rebuilt:
    """Build, switch and drop in one, on an autocommit connection of its own.

    ``progress`` hears every position reached. Raises ``RebuildRunningError`` when something else
    is being done to the same projection.
    """
    with alone(connection, projection.name):
        clear(connection, projection)
        place = begin(connection, projection, by=by)
        made = fill(connection, source, projection, place, progress=progress)
        old = switch(connection, projection, made.schema)
        if old:
            retire(connection, old)
        return made


def begin(connection: Connection, projection: Projection, *, by: str) -> Place:
    """Make the schema of a candidate. Raises ``ConflictError`` when there is one already."""
    for each in places(connection, projection.name):
        if each.state in (BUILT, BUILDING) and not each.in_use:
            raise ConflictError(
                f"{projection.name} has a candidate already: {each.schema}",
                field="name",
                remedy="switch to it or drop it first",
            )
    schema = next_rebuild(connection, projection)
    create(connection, projection, schema, by=by)
    return next(each for each in places(connection, projection.name) if each.schema == schema)


def fill(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    place: Place,
    *,
    progress: Progress = _silent,
    upto: int | None = None,
) -> Rebuilt:
    """Fold from where a schema stands to the log's end, or to ``upto``; then it is a candidate.

    Raises ``FencedError`` when it was dropped meanwhile.
    """
    began = time.monotonic()
    parked = parked_keys(connection, place.schema)
    position, events = place.position, 0
    with closing(ahead(source, position)) as batches:
        for read in batches:
            batch = read if upto is None else read.cut(upto)
            apply(connection, projection, place.schema, batch, after=position, parked=parked)
            position = batch.upto
            events += len(batch.events)
            progress(position)
            if position == upto:
                break
    seconds = time.monotonic() - began
    complete(connection, place.schema, events=events, seconds=seconds)
    return Rebuilt(
        name=projection.name,
        schema=place.schema,
        position=position,
        events=events,
        parked=len(parked),
        seconds=seconds,
    )


def complete(connection: Connection, schema: str, *, events: int, seconds: float) -> None:
    """From now on runners keep it up to date."""
    with connection.transaction():
        connection.execute(
            "UPDATE imewe.builds SET events = events + %s, seconds = seconds + %s"
            " WHERE schema = %s",
            [events, seconds, schema],
        )
        mark(connection, schema, BUILT)


def clear(connection: Connection, projection: Projection) -> None:
    """Drop what earlier ones left; a new version that a runner is building is not ours."""
    for each in places(connection, projection.name):
        if not each.in_use and not each.is_arriving:
            retire(connection, each.schema)
    for schema in leftovers(connection, projection.name):
        retire(connection, schema)

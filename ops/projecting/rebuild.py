"""Folds the whole log into a fresh schema, beside the one that readers see.

A builder that is killed leaves a schema that is BUILDING; whoever takes it up goes on where it
stopped. A runner that is at work goes on with the schemas that are complete.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import psycopg

from domain.shared.errors import ConflictError
from ops.projecting.collecting import collecting_seldom
from ops.projecting.errors import FencedError
from ops.projecting.filling import FILLING_LIMIT, Filler
from ops.projecting.places import (
    BUILDING,
    BUILT,
    ITSELF,
    Connection,
    Place,
    alone,
    create,
    leftovers,
    look_at,
    mark,
    next_rebuild,
    places,
    position_of,
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
    create(connection, projection, schema, by=by, bare=True)
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
    made = _fill(connection, source, projection, place, progress=progress, upto=upto)
    try:
        add_keys(connection, projection, place.schema)
    except psycopg.IntegrityError:
        # A fold gave two rows one key: with keys there, the event at fault is found and parked.
        start_over(connection, projection, place.schema)
        place = place._replace(position=0)
        made = _fill(connection, source, projection, place, progress=progress, upto=upto)
    made = replace(made, seconds=time.monotonic() - began)
    complete(connection, place.schema, events=made.events, seconds=made.seconds)
    return made


def _fill(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    place: Place,
    *,
    progress: Progress,
    upto: int | None,
) -> Rebuilt:
    events, told = 0, place.position
    batches = ahead(source, place.position, limit=FILLING_LIMIT)
    filler = Filler(connection, projection, place)
    with closing(batches), collecting_seldom(), filler:
        for read in batches:
            batch = read if upto is None else read.cut(upto)
            filler.take(batch)
            events += len(batch.events)
            if filler.position > told:
                progress(told := filler.position)
            if batch.upto == upto:
                break
        filler.finish()
    if filler.position > told:
        progress(filler.position)
    return Rebuilt(
        name=projection.name,
        schema=place.schema,
        position=filler.position,
        events=events,
        parked=len(filler.parked),
    )


def add_keys(connection: Connection, projection: Projection, schema: str) -> None:
    """Add the keys and indexes that ``begin`` left out, those of one table in one transaction.

    Goes on where it was killed. Raises psycopg's ``IntegrityError`` when two rows have one key,
    ``FencedError`` when the schema was dropped meanwhile.
    """
    for name, keys in projection.later_keys.items():
        with connection.transaction():
            _still_there(connection, schema)
            look_at(connection, schema)
            has_key = connection.execute(
                "SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'", [name]
            ).fetchone()
            if has_key is None:
                connection.execute(keys.encode())


def _still_there(connection: Connection, schema: str) -> None:
    if position_of(connection, schema) is None:
        raise FencedError(f"{schema} was dropped while it was built")


def start_over(connection: Connection, projection: Projection, schema: str) -> None:
    """Empty the schema, with all its keys."""
    with connection.transaction():
        look_at(connection, schema)
        names = [table.name for table in projection.tables]
        names += [f"{table.name}_history" for table in projection.tables if table.history]
        connection.execute(f"TRUNCATE {', '.join(names)}".encode())
        connection.execute("DELETE FROM imewe.parked_keys WHERE schema = %s", [schema])
        connection.execute("UPDATE imewe.positions SET position = 0 WHERE schema = %s", [schema])
        add_keys(connection, projection, schema)


def complete(connection: Connection, schema: str, *, events: int, seconds: float) -> None:
    """From now on runners keep it up to date. This commit waits for the disk, and with it all
    before it are there for good."""
    with connection.transaction():
        _still_there(connection, schema)
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

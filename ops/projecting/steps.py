"""What is done to one projection at a time: its lock, and the pointer moved at one position."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.shared.errors import ConflictError, NotFoundError
from ops.projecting.applying import apply, parked_keys
from ops.projecting.places import (
    BUILT,
    PREVIOUS,
    Connection,
    Place,
    live,
    mark,
    places,
    refuse,
    switch,
)
from ops.projecting.source import EventSource, next_batch
from ops.projecting.versions import Versions
from projections.projection import Projection

NEAR = 2000
"""Events that may be folded while the runners of a projection wait."""


def switch_over(
    connection: Connection, source: EventSource, versions: Versions, name: str
) -> tuple[str, str]:
    """Let readers look at the candidate, at a position no earlier than the one they see.

    Returns the schema before and the one now. Raises ``NotFoundError`` without a candidate.
    """
    versions.named(name)
    candidate = candidate_of(connection, name)
    return _take_over(connection, source, versions, name, candidate)


def roll_back(
    connection: Connection, source: EventSource, versions: Versions, name: str
) -> tuple[str, str]:
    """Let readers look at the schema before again; the one they leave becomes a candidate.

    Raises ``NotFoundError`` without one, ``ConflictError`` when this program cannot fold it.
    """
    versions.named(name)
    previous = next((p for p in places(connection, name) if p.state == PREVIOUS), None)
    if previous is None:
        raise NotFoundError(f"{name} has no schema to go back to", field="name")
    before = live(connection, name)
    old, new = _take_over(connection, source, versions, name, previous)
    mark(connection, old, BUILT)
    if before is not None and before.version != previous.version:
        refuse(connection, name, before.version)
    return old, new


def candidate_of(connection: Connection, name: str) -> Place:
    """The newest candidate that is complete. Raises ``NotFoundError``."""
    for each in places(connection, name):
        if each.state == BUILT:
            return each
    raise NotFoundError(
        f"{name} has no candidate that is complete",
        field="name",
        remedy=f"imewe projections build {name}",
    )


def catch_up(
    connection: Connection,
    source: EventSource,
    projection: Projection,
    place: Place,
    *,
    upto: int | None = None,
    near: int = 0,
) -> Place:
    """Fold what a schema lacks, up to ``near`` events before ``upto`` (the log's end).

    Runners may be at it too: who is fenced looks again, as they do. Raises ``FencedError`` when
    the schema is gone.
    """
    parked = parked_keys(connection, place.schema)
    while upto is None or place.position < upto - near:
        batch = next_batch(source, place.position)
        if batch is None:
            break
        if upto is not None:
            batch = batch.cut(upto)
        apply(
            connection,
            projection,
            place.schema,
            batch,
            after=place.position,
            parked=parked,
        )
        place = place._replace(position=batch.upto)
    return place


@contextmanager
def standing_still(connection: Connection, *schemas: str) -> Iterator[dict[str, int]]:
    """A transaction in which no runner moves these; gives their positions."""
    with connection.transaction():
        rows = connection.execute(
            "SELECT schema, position FROM imewe.positions WHERE schema = ANY(%s)"
            " ORDER BY schema FOR UPDATE",
            [list(schemas)],
        ).fetchall()
        yield dict(rows)


def level(
    connection: Connection,
    source: EventSource,
    versions: Versions,
    name: str,
    *,
    ahead: Place,
    behind: Place,
    near: int = NEAR,
) -> None:
    """Bring ``behind`` to within ``near`` events of ``ahead``, runners at work.

    Raises ``ConflictError`` when this program does not fold its version.
    """
    while True:
        positions: dict[str, int] = dict(
            connection.execute(
                "SELECT schema, position FROM imewe.positions WHERE schema = ANY(%s)",
                [[ahead.schema, behind.schema]],
            ).fetchall()
        )
        goal = positions.get(ahead.schema, 0)
        place = behind._replace(position=positions.get(behind.schema, 0))
        if place.position >= goal - near:
            return
        projection = folded_by(versions, name, place)
        try:
            catch_up(connection, source, projection, place, upto=goal, near=near)
        except ConflictError:
            if behind.schema not in [each.schema for each in places(connection, name)]:
                raise


def folded_by(versions: Versions, name: str, place: Place) -> Projection:
    """What folds a schema. Raises ``ConflictError`` when this program has no such version."""
    found = versions.find(name, place.version)
    if found is None:
        raise ConflictError(
            f"{place.schema} is version {place.version}, which this release does not fold: it"
            f" stands at position {place.position}",
            field="name",
            remedy="start the release that folds it, and say it again there",
        )
    return found


def _take_over(
    connection: Connection, source: EventSource, versions: Versions, name: str, wanted: Place
) -> tuple[str, str]:
    shown = live(connection, name)
    if shown is None:
        raise NotFoundError(f"projection {name} is not there yet", field="name")
    projection = folded_by(versions, name, wanted)
    level(connection, source, versions, name, ahead=shown, behind=wanted)
    with standing_still(connection, shown.schema, wanted.schema) as positions:
        place = wanted._replace(position=positions[wanted.schema])
        catch_up(connection, source, projection, place, upto=positions[shown.schema])
        old = switch(connection, projection, wanted.schema)
        refuse(connection, name, None)
    return old or shown.schema, wanted.schema

"""What led to what: events of the history hung below the command or event that caused them.

Every event names its cause. A cause that is the event's own command was given by somebody: there a
tree begins. A cause that is neither that nor an event which the reader may see is *outside*.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.shared.scope import Scope
from projections.history import queries
from projections.history.rows import EventRow
from projections.querying import Connection

TREE_LIMIT: Final = 5000
"""Events of one tree, at most."""
DEPTH_LIMIT: Final = 500
"""Steps from a command to the last thing that followed from it."""
BRIDGE: Final = "bridge"


class Link(StrEnum):
    """What a place in the tree is. An acknowledgement is what a bridge reported of its machine."""

    COMMAND = "COMMAND"
    EVENT = "EVENT"
    ACKNOWLEDGEMENT = "ACKNOWLEDGEMENT"
    OUTSIDE = "OUTSIDE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place. ``first`` is the event itself, or the first one that the command led to."""

    id: str
    parent_id: str
    depth: int
    link: Link
    first: EventRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Places, each before what follows from it; several begin where people had several says.

    ``truncated``: there is more than was asked for.
    """

    places: list[Place]
    truncated: bool


async def chain_of(connection: Connection, scope: Scope, event: EventRow) -> list[EventRow]:
    """What led to an event, from the first that is known, and the event itself."""
    known = {event.event_id: event}
    await _climb(connection, scope, known)
    found = [event]
    while (cause := known.get(found[0].causation_id)) is not None and cause not in found:
        found.insert(0, cause)
    return found


async def tree_around(
    connection: Connection, scope: Scope, seeds: Sequence[EventRow], *, limit: int
) -> Tree:
    """The trees that hold these events, whole, as far as ``limit`` goes."""
    known = {row.event_id: row for row in seeds[:limit]}
    truncated = len(seeds) > limit
    await _climb(connection, scope, known)
    truncated |= await _descend(connection, scope, known, limit=limit)
    return Tree(places=_places(known.values()), truncated=truncated)


async def events_of_job(
    connection: Connection, scope: Scope, job_id: str, *, limit: int
) -> list[EventRow]:
    """Everything of a job's story, and what people said about it later; empty for no job."""
    submitted = await queries.events_of(connection, scope, kind="job", aggregate_id=job_id, first=1)
    if not submitted:
        return []
    story = await queries.events_of_story(
        connection, scope, submitted[0].correlation_id, limit=limit
    )
    about = {row.aggregate_id for row in story if row.kind in {"job", "part", "build", "dispatch"}}
    found = await queries.events_about(connection, scope, sorted(about), limit=limit)
    return sorted({row.position: row for row in [*story, *found]}.values(), key=_position)


async def _climb(connection: Connection, scope: Scope, known: dict[str, EventRow]) -> None:
    looked_for: set[str] = set()
    for _ in range(DEPTH_LIMIT):
        missing = {row.causation_id for row in known.values() if not _is_begun(row)}
        missing -= known.keys() | looked_for
        if not missing:
            return
        looked_for |= missing
        known.update(await queries.events_by_ids(connection, scope, sorted(missing)))


async def _descend(
    connection: Connection, scope: Scope, known: dict[str, EventRow], *, limit: int
) -> bool:
    """Add what follows, one generation at a time; true when there is more than ``limit``."""
    begun = {row.command_id for row in known.values() if _is_begun(row)}
    generation = {*known, *begun}
    for _ in range(DEPTH_LIMIT):
        rows = await queries.caused_by(connection, scope, sorted(generation), limit=limit + 1)
        fresh = [row for row in rows if row.event_id not in known]
        if len(known) + len(fresh) > limit:
            known.update((row.event_id, row) for row in fresh[: max(0, limit - len(known))])
            return True
        known.update((row.event_id, row) for row in fresh)
        generation = {row.event_id for row in fresh}
        if not generation:
            return False
    return True


def _places(rows: Iterable[EventRow]) -> list[Place]:
    """In order, without recursion: a chain may be long."""
    ordered = sorted(rows, key=_position)
    ids = {row.event_id for row in ordered}
    below: dict[str, list[EventRow]] = {}
    for row in ordered:
        below.setdefault(row.causation_id, []).append(row)
    roots = [(cause, found[0]) for cause, found in below.items() if cause not in ids]
    found: list[Place] = []
    for cause, first in sorted(roots, key=lambda root: root[1].position):
        link = Link.COMMAND if _is_begun(first) else Link.OUTSIDE
        found.append(Place(id=cause, parent_id="", depth=0, link=link, first=first))
        waiting = [(row, 1) for row in reversed(below[cause])]
        while waiting:
            row, depth = waiting.pop()
            found.append(_place(row, depth))
            waiting += [(child, depth + 1) for child in reversed(below.pop(row.event_id, []))]
    return found


def _place(row: EventRow, depth: int) -> Place:
    link = Link.ACKNOWLEDGEMENT if row.actor_kind == BRIDGE else Link.EVENT
    return Place(id=row.event_id, parent_id=row.causation_id, depth=depth, link=link, first=row)


def _is_begun(row: EventRow) -> bool:
    """Whether somebody's own command caused it, and no event."""
    return row.causation_id == row.command_id


def _position(row: EventRow) -> int:
    return row.position

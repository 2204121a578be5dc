"""What admins have done to a projection, each on connections of its own; see ``Work``."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from domain.shared.errors import ConflictError, InvalidInputError, NotFoundError
from ops.projecting import rebuild as rebuilding
from ops.projecting.differing import compare
from ops.projecting.places import (
    BUILDING,
    Connection,
    Place,
    leftovers,
    live,
    places,
    retire_now,
)
from ops.projecting.retrying import retry
from ops.projecting.source import EventSource
from ops.projecting.steps import roll_back, switch_over
from ops.projecting.versions import Versions
from projections.projection import Projection

Progress = Callable[[str, int, int], None]
"""Hears the phase, how much of it is done and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a verb needs. ``connection`` holds the projection's lock; ``connect`` gives more of
    them, ``automatic`` says whether new versions switch by themselves."""

    name: str
    connection: Connection
    source: EventSource
    versions: Versions
    connect: Callable[[], AbstractContextManager[Connection]]
    progress: Progress
    by: str
    payload: dict[str, Any]
    automatic: bool = True

    @property
    def projection(self) -> Projection:
        """The release's version. Raises ``NotFoundError``."""
        return self.versions.named(self.name)


def build(work: Work) -> dict[str, Any]:
    """Make a candidate and fill it; or go on with one whose builder was killed."""
    begun = next((each for each in places(work.connection, work.name) if _is_begun(each)), None)
    place = begun or rebuilding.begin(work.connection, work.projection, by=work.by)
    return fill(work, place)


def fill(work: Work, place: Place) -> dict[str, Any]:
    """Fill a candidate to the end of the log, or to where the schema in use stands for good."""
    projection = work.versions.find(work.name, place.version)
    if projection is None:
        raise ConflictError(f"{place.schema} is version {place.version}, which is not ours")
    goal = work.source.last_position()
    upto = _stop(work)

    def heard(position: int) -> None:
        work.progress("folding", position, max(goal, position))

    made = rebuilding.fill(
        work.connection, work.source, projection, place, progress=heard, upto=upto
    )
    return asdict(made)


def diff(work: Work) -> dict[str, Any]:
    """Compare candidate and schema in use at one position."""
    with work.connect() as snapshot:
        found = compare(
            work.connection,
            snapshot,
            work.source,
            work.versions,
            work.name,
            progress=work.progress,
        )
    return asdict(found)


def switch(work: Work) -> dict[str, Any]:
    """Let readers look at the candidate."""
    work.progress("catching up", 0, 0)
    before, now = switch_over(work.connection, work.source, work.versions, work.name)
    return {"name": work.name, "before": before, "now": now}


def rollback(work: Work) -> dict[str, Any]:
    """Let readers look at the schema before again."""
    work.progress("catching up", 0, 0)
    before, now = roll_back(work.connection, work.source, work.versions, work.name)
    return {"name": work.name, "before": before, "now": now}


def drop(work: Work) -> dict[str, Any]:
    """Drop one schema, or the only one that is not in use."""
    wanted = str(work.payload.get("schema") or "")
    schema = droppable(work.connection, work.name, wanted)
    work.progress(f"waiting for readers of {schema}", 0, 0)
    retire_now(work.connection, schema)
    return {"name": work.name, "dropped": schema}


def rebuild(work: Work) -> dict[str, Any]:
    """Build, switch and drop in one."""
    rebuilding.clear(work.connection, work.projection)
    made = build(work)
    moved = switch(work)
    work.progress(f"waiting for readers of {moved['before']}", 0, 0)
    retire_now(work.connection, moved["before"])
    return {**made, "dropped": moved["before"]}


def try_again(work: Work) -> dict[str, Any]:
    """Fold parked events again."""
    done = retry(
        work.connection,
        work.source,
        work.versions,
        work.name,
        key=str(work.payload.get("key") or ""),
    )
    left = [each._asdict() for each in done.left]
    return {"name": work.name, "gone_on": done.gone_on, "left": left}


def droppable(connection: Connection, name: str, wanted: str) -> str:
    """The schema that ``drop`` means. Raises a refusal that says what may be dropped."""
    known = places(connection, name)
    beside = [each.schema for each in known if not each.in_use and not each.is_arriving]
    beside += leftovers(connection, name)
    if wanted and any(each.schema == wanted and each.in_use for each in known):
        raise ConflictError(
            f"{wanted} is what readers look at", field="schema", remedy="switch or roll back first"
        )
    if wanted and any(each.schema == wanted and each.is_arriving for each in known):
        raise ConflictError(
            f"{wanted} is a new version that the service brings up by itself", field="schema"
        )
    if wanted and wanted not in beside:
        raise NotFoundError(f"{name} has no schema {wanted[:80]}", field="schema")
    if not wanted and len(beside) > 1:
        raise InvalidInputError(
            f"say which to drop: {', '.join(beside)}", field="schema", remedy="--schema NAME"
        )
    if not beside:
        raise NotFoundError(f"{name} has nothing beside the schema in use", field="name")
    return wanted or beside[0]


def abandon(connection: Connection, name: str, wanted: str) -> bool:
    """Let whoever fills the schema that ``drop`` means be fenced; it is a leftover then."""
    known = [each for each in places(connection, name) if _is_begun(each)]
    for each in known:
        if not wanted or each.schema == wanted:
            connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [each.schema])
            return True
    return False


VERBS: dict[str, Callable[[Work], dict[str, Any]]] = {
    "build": build,
    "diff": diff,
    "switch": switch,
    "rollback": rollback,
    "drop": drop,
    "retry": try_again,
    "rebuild": rebuild,
}


def _is_begun(place: Place) -> bool:
    return place.state == BUILDING and not place.unattended and not place.in_use


def _stop(work: Work) -> int | None:
    """Where a candidate waits for a schema in use that this program cannot fold any more."""
    shown = live(work.connection, work.name)
    if work.automatic or shown is None or work.versions.find(work.name, shown.version):
        return None
    return shown.position

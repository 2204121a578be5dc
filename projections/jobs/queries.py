"""Reads orders with their parts, pieces, builds, decisions and story.

Call inside ``reading(pool, READS)``. An object outside the scope is as one that does not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.shared.scope import Scope
from projections.jobs.rows import (
    BuildRow,
    DecisionRow,
    DispatchRow,
    JobRow,
    PartRow,
    PieceRow,
    TimelineRow,
)
from projections.querying import (
    Connection,
    Cursor,
    Page,
    Where,
    fetch,
    fetch_any,
    fetch_page,
    grouped,
    visible,
)

READS = ("jobs", "nodes")
"""The projections these queries read."""

_ON_OWN_NODES = """EXISTS (
    SELECT 1 FROM builds b JOIN nodes n ON n.id = b.node_id
    WHERE b.job_id = {job} AND n.owner_id = %(vendor)s AND n.organisation_id = ANY(%(vends)s))"""


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """A job and the position of its story's newest event."""

    job_id: str
    position: int


async def jobs(
    connection: Connection,
    scope: Scope,
    *,
    first: int = 50,
    after: Cursor | None = None,
    statuses: Sequence[str] = (),
    priorities: Sequence[int] = (),
    owner_id: str = "",
    organisation_id: str = "",
    name: str = "",
) -> Page[JobRow]:
    """Orders, the newest first (cursor: ``created``). ``name``: a part of the name, any case."""
    where = _visible(scope, "jobs.id")
    where.if_given(statuses, "status = ANY(%(statuses)s)", statuses=list(statuses))
    where.if_given(priorities, "priority = ANY(%(priorities)s)", priorities=list(priorities))
    where.if_given(owner_id, "owner_id = %(owner)s", owner=owner_id)
    where.if_given(organisation_id, "organisation_id = %(of)s", of=organisation_id)
    where.if_given(name, "strpos(lower(name), lower(%(name)s)) > 0", name=name)
    return await fetch_page(
        connection, JobRow, "jobs", where, first=first, after=after, newest_first=True
    )


async def job(connection: Connection, scope: Scope, job_id: str) -> JobRow | None:
    """One order, or ``None``."""
    return (await jobs_by_ids(connection, scope, [job_id])).get(job_id)


async def jobs_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, JobRow]:
    """Orders by id, in one statement."""
    where = _visible(scope, "jobs.id")
    found = await fetch_any(
        connection, JobRow, "jobs", where, column="id", ids=ids, order="created"
    )
    return {row.id: row for row in found}


async def jobs_changed(
    connection: Connection, scope: Scope, *, after: int, limit: int = 1000
) -> list[ChangedJob]:
    """Jobs whose story went on after a position, each with its newest, in that order."""
    where = _visible(scope, "timeline.job_id").add("position > %(after)s", after=after)
    text = (
        f"SELECT job_id, max(position) AS position FROM timeline WHERE {where}"
        " GROUP BY job_id ORDER BY max(position) LIMIT %(limit)s"
    )
    return await fetch(connection, ChangedJob, text, {**where.values, "limit": limit})


async def parts_of_jobs(
    connection: Connection, scope: Scope, job_ids: Sequence[str]
) -> dict[str, list[PartRow]]:
    """The lines of each order."""
    where = _visible(scope, "parts.job_id")
    rows = await fetch_any(
        connection, PartRow, "parts", where, column="job_id", ids=job_ids, order="job_id, line"
    )
    return grouped(rows, job_ids, "job_id")


async def parts_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, PartRow]:
    """Parts by id."""
    where = _visible(scope, "parts.job_id")
    rows = await fetch_any(
        connection, PartRow, "parts", where, column="id", ids=ids, order="created"
    )
    return {row.id: row for row in rows}


async def pieces_of_parts(
    connection: Connection, scope: Scope, part_ids: Sequence[str]
) -> dict[str, list[PieceRow]]:
    """The pieces of each part, by number."""
    where = _visible(scope, "pieces.job_id")
    rows = await fetch_any(
        connection,
        PieceRow,
        "pieces",
        where,
        column="part_id",
        ids=part_ids,
        order="part_id, piece",
    )
    return grouped(rows, part_ids, "part_id")


async def builds_of_jobs(
    connection: Connection, scope: Scope, job_ids: Sequence[str]
) -> dict[str, list[BuildRow]]:
    """The runs for each order, the oldest first."""
    return grouped(await _builds(connection, scope, "job_id", job_ids), job_ids, "job_id")


async def builds_of_parts(
    connection: Connection, scope: Scope, part_ids: Sequence[str]
) -> dict[str, list[BuildRow]]:
    """The runs for each part, the oldest first."""
    return grouped(await _builds(connection, scope, "part_id", part_ids), part_ids, "part_id")


async def builds_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, BuildRow]:
    """Runs by id."""
    return {row.id: row for row in await _builds(connection, scope, "id", ids)}


async def builds_of_node(
    connection: Connection,
    scope: Scope,
    node_id: str,
    *,
    first: int = 50,
    after: Cursor | None = None,
) -> Page[BuildRow]:
    """The runs of a machine, the newest first."""
    where = _visible(scope, "builds.job_id").add("node_id = %(node)s", node=node_id)
    return await fetch_page(
        connection, BuildRow, "builds", where, first=first, after=after, newest_first=True
    )


async def dispatches_of_jobs(
    connection: Connection, scope: Scope, job_ids: Sequence[str]
) -> dict[str, list[DispatchRow]]:
    """The sagas of each order, the oldest first."""
    where = _visible(scope, "dispatches.job_id")
    rows = await fetch_any(
        connection, DispatchRow, "dispatches", where, column="job_id", ids=job_ids, order="created"
    )
    return grouped(rows, job_ids, "job_id")


async def decisions_of_jobs(
    connection: Connection, scope: Scope, job_ids: Sequence[str]
) -> dict[str, list[DecisionRow]]:
    """Every choice of a node for each order, in the order they were made."""
    where = _visible(scope, "decisions.job_id")
    rows = await fetch_any(
        connection, DecisionRow, "decisions", where, column="job_id", ids=job_ids, order="position"
    )
    return grouped(rows, job_ids, "job_id")


async def decision(connection: Connection, scope: Scope, event_id: str) -> DecisionRow | None:
    """The choice that one event records, or ``None``."""
    where = _visible(scope, "decisions.job_id")
    rows = await fetch_any(
        connection,
        DecisionRow,
        "decisions",
        where,
        column="event_id",
        ids=[event_id],
        order="position",
    )
    return rows[0] if rows else None


async def timeline(
    connection: Connection,
    scope: Scope,
    job_id: str,
    *,
    first: int = 100,
    after: Cursor | None = None,
) -> Page[TimelineRow]:
    """The story of an order, from its beginning (cursor: ``position``)."""
    where = _visible(scope, "timeline.job_id").add("job_id = %(job)s", job=job_id)
    return await fetch_page(
        connection, TimelineRow, "timeline", where, first=first, after=after, order="position"
    )


async def _builds(
    connection: Connection, scope: Scope, column: str, ids: Sequence[str]
) -> list[BuildRow]:
    where = _visible(scope, "builds.job_id")
    return await fetch_any(
        connection, BuildRow, "builds", where, column=column, ids=ids, order="created"
    )


def _visible(scope: Scope, job: str) -> Where:
    """Rows of own organisations, and of jobs that were built on the vendor's own nodes."""
    return visible(scope, owned=_ON_OWN_NODES.format(job=job))

"""Reads machines, each with the run that holds it. Call inside ``reading(pool, READS)``."""

from collections.abc import Sequence

from domain.shared.scope import Scope
from projections.nodes.rows import NodeRow, NodeView, RunRow
from projections.querying import (
    Connection,
    Cursor,
    Page,
    Where,
    fetch_any,
    fetch_page,
    visible,
)

READS = ("nodes",)

OWN_NODE = "owner_id = %(vendor)s AND organisation_id = ANY(%(vends)s)"


async def nodes(
    connection: Connection,
    scope: Scope,
    *,
    first: int = 50,
    after: Cursor | None = None,
    statuses: Sequence[str] = (),
    process: str = "",
    bridge: str = "",
    name: str = "",
) -> Page[NodeView]:
    """Machines, the first registered first (cursor: ``node.created``)."""
    where = _visible(scope)
    where.if_given(statuses, "status = ANY(%(statuses)s)", statuses=list(statuses))
    where.if_given(process, "process = %(process)s", process=process)
    where.if_given(bridge, "bridge = %(bridge)s", bridge=bridge)
    where.if_given(name, "strpos(lower(name), lower(%(name)s)) > 0", name=name)
    page = await fetch_page(connection, NodeRow, "nodes", where, first=first, after=after)
    return Page(await _with_runs(connection, page.items), page.has_more)


async def node(connection: Connection, scope: Scope, node_id: str) -> NodeView | None:
    """One machine, or ``None``."""
    return (await nodes_by_ids(connection, scope, [node_id])).get(node_id)


async def nodes_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, NodeView]:
    """Machines by id."""
    rows = await fetch_any(
        connection, NodeRow, "nodes", _visible(scope), column="id", ids=ids, order="created"
    )
    return {view.node.id: view for view in await _with_runs(connection, rows)}


async def _with_runs(connection: Connection, rows: Sequence[NodeRow]) -> list[NodeView]:
    held = [row.build_id for row in rows if row.build_id]
    found = (
        await fetch_any(
            connection, RunRow, "runs", Where(), column="build_id", ids=held, order="build_id"
        )
        if held
        else []
    )
    runs = {run.build_id: run for run in found}
    return [NodeView(node=row, run=runs.get(row.build_id)) for row in rows]


def _visible(scope: Scope) -> Where:
    return visible(scope, owned=f"({OWN_NODE})")

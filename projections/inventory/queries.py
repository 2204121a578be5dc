"""Reads material ledgers. Call inside ``reading(pool, READS)``."""

from collections.abc import Sequence
from datetime import datetime

from domain.shared.scope import Scope
from projections.inventory.rows import ACCOUNTS, BalanceRow, EntryRow, LotRow
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

READS = ("inventory", "nodes")

_AT_OWN_NODES = """EXISTS (
    SELECT 1 FROM nodes n WHERE n.id = {node} AND n.owner_id = %(vendor)s
    AND n.organisation_id = ANY(%(vends)s))"""


async def inventory(
    connection: Connection,
    scope: Scope,
    *,
    first: int = 50,
    after: Cursor | None = None,
    node_id: str = "",
    material: str = "",
) -> Page[LotRow]:
    """Lots, the first opened first (cursor: ``created``)."""
    where = _visible(scope, "lots.node_id")
    where.if_given(node_id, "node_id = %(node)s", node=node_id)
    where.if_given(material, "material = %(material)s", material=material.upper())
    return await fetch_page(connection, LotRow, "lots", where, first=first, after=after)


async def lots_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, LotRow]:
    """Lots by id."""
    rows = await fetch_any(
        connection,
        LotRow,
        "lots",
        _visible(scope, "lots.node_id"),
        column="id",
        ids=ids,
        order="created",
    )
    return {row.id: row for row in rows}


async def lots_of_nodes(
    connection: Connection, scope: Scope, node_ids: Sequence[str]
) -> dict[str, list[LotRow]]:
    """The lots at each machine."""
    rows = await fetch_any(
        connection,
        LotRow,
        "lots",
        _visible(scope, "lots.node_id"),
        column="node_id",
        ids=node_ids,
        order="created",
    )
    return grouped(rows, node_ids, "node_id")


async def entries(
    connection: Connection,
    scope: Scope,
    lot_id: str,
    *,
    first: int = 100,
    after: Cursor | None = None,
) -> Page[EntryRow]:
    """The bookings of a lot, from its beginning (cursor: ``position``)."""
    if not await lots_by_ids(connection, scope, [lot_id]):
        return Page([], has_more=False)
    where = Where().add("lot_id = %(lot)s", lot=lot_id)
    return await fetch_page(
        connection, EntryRow, "entries", where, first=first, after=after, order="position"
    )


async def balance(
    connection: Connection, scope: Scope, lot_id: str, *, at: datetime
) -> BalanceRow | None:
    """What a lot held at a moment, as it is known now: with every correction that counts then."""
    if not await lots_by_ids(connection, scope, [lot_id]):
        return None
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in ACCOUNTS)
    text = f"SELECT {sums} FROM bookings WHERE lot_id = %(lot)s AND effective_from <= %(at)s"
    (found,) = await fetch(connection, BalanceRow, text, {"lot": lot_id, "at": at})
    return found


def _visible(scope: Scope, node: str) -> Where:
    return visible(scope, owned=_AT_OWN_NODES.format(node=node))

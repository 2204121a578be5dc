"""Reads what machines measured. Call inside `reading(pool, READS)`.

Who sees a machine sees what it measures, and who sees a build what was measured while it ran.
"""

from datetime import datetime
from typing import Final

from domain.shared.scope import Scope
from projections.jobs import queries as jobs
from projections.jobs.rows import BuildRow
from projections.nodes import queries as nodes
from projections.querying import Connection, fetch
from projections.telemetry.charts import chart
from projections.telemetry.rows import Asked, ChannelRow, ColdTier, History, RefusedRow

READS: Final = ("jobs", "nodes")


async def channels(
    connection: Connection, scope: Scope, node_id: str
) -> tuple[list[ChannelRow], list[RefusedRow]] | None:
    """What a machine measures, by name, and its messages that were none; `None` when there is no
    such machine."""
    if await nodes.node(connection, scope, node_id) is None:
        return None
    known = await fetch(
        connection,
        ChannelRow,
        "SELECT channel, first_at, last_at, last FROM telemetry.series"
        " WHERE node_id = %(node)s ORDER BY channel",
        {"node": node_id},
    )
    refused = await fetch(
        connection,
        RefusedRow,
        "SELECT fault, number, last_at, detail FROM telemetry.refused"
        " WHERE node_id = %(node)s ORDER BY fault",
        {"node": node_id},
    )
    return known, refused


async def history(
    connection: Connection,
    scope: Scope,
    node_id: str,
    asked: Asked,
    *,
    cold: ColdTier | None = None,
) -> History | None:
    """What a machine measured; `None` when there is no such machine. Raises as `chart` does."""
    if await nodes.node(connection, scope, node_id) is None:
        return None
    return await chart(connection, node_id, asked, cold=cold)


async def of_build(
    connection: Connection,
    scope: Scope,
    build_id: str,
    asked: Asked,
    *,
    cold: ColdTier | None = None,
) -> tuple[BuildRow, History] | None:
    """What the machine measured while a build ran; of `asked` the range is where to end when it
    still runs. `None` when there is no such build; raises as `chart` does."""
    build = (await jobs.builds_by_ids(connection, scope, [build_id])).get(build_id)
    if build is None:
        return None
    since = _ms(build.started_at or build.planned_at)
    until = _ms(build.ended_at) + 1 if build.ended_at else asked.until
    span = Asked(
        channels=asked.channels,
        since=since,
        until=max(until, since + 1),
        resolution=asked.resolution,
        most=asked.most,
        build_id=build_id,
        charts=asked.charts,
    )
    return build, await chart(connection, build.node_id, span, cold=cold)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

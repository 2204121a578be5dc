"""Charts of what machines measured: readings where they are few, else roll-ups that fit."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, UnavailableError
from domain.telemetry.messages import QUALITIES
from projections.querying import Connection, fetch
from projections.telemetry.chunks import PIECE_MS, decode
from projections.telemetry.partitions import DAY_MS
from projections.telemetry.points import Point, drawn, points_of, step_for
from projections.telemetry.rollups import MINUTE_MS, SECOND_MS
from projections.telemetry.rows import (
    MOST_IN_ANSWER,
    MOST_POINTS,
    Asked,
    ColdTier,
    Gap,
    History,
    Reading,
    Resolution,
)

MOST_CHANNELS: Final = 40
MOST_GAPS: Final = 1000
MOST_STORED_BYTES: Final = 16 << 20
"""Of chunks that one answer takes apart: what a channel lacks in good readings it may have in bad
ones, which no roll-up counts."""
BRIEF_MS: Final = 10 * MINUTE_MS
"""Ranges up to this are counted by the second: a machine may be read a thousand times in one."""

Named = dict[int, str]
"""Series by id."""

_SELECT: Final = """
SELECT series, at, low, high, total / number, last, number FROM telemetry.{table}
WHERE series = ANY(%(series)s::int[]) AND at >= %(since)s AND at < %(until)s ORDER BY series, at
"""
_GROUP: Final = """
SELECT series, at - at %% %(step)s AS bucket, min(low), max(high), sum(total) / sum(number),
    (array_agg(last ORDER BY last_at DESC, last DESC))[1], sum(number)::bigint
FROM telemetry.{table}
WHERE series = ANY(%(series)s::int[]) AND at >= %(since)s AND at < %(until)s
GROUP BY 1, 2 ORDER BY 1, 2
"""
_COUNT: Final = """
SELECT coalesce(max(number), 0) FROM (
    SELECT sum(number) AS number FROM telemetry.{table}
    WHERE series = ANY(%(series)s::int[]) AND at > %(since)s - {width} AND at < %(until)s
    GROUP BY series) AS counted
"""
_COVERED: Final = """
SELECT coalesce(bool_and(s.at IS NOT NULL AND s.at < m.at + 60000), true)
FROM unnest(%(series)s::int[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT min(at) AS at FROM telemetry.minutes
    WHERE series = id AND at >= %(since)s AND at < %(until)s) AS m
CROSS JOIN LATERAL (SELECT min(at) AS at FROM telemetry.seconds
    WHERE series = id AND at >= %(since)s AND at < %(until)s) AS s
WHERE m.at IS NOT NULL
"""
_CHUNKS: Final = """
SELECT {what} FROM telemetry.chunks
WHERE node_id = %(node)s AND begun > %(since)s - %(longest)s AND begun < %(until)s
    AND ended >= %(since)s AND series && %(series)s::int[]
    AND (%(build)s = '' OR build_id = %(build)s)
"""


async def chart(
    connection: Connection, node_id: str, asked: Asked, *, cold: ColdTier | None = None
) -> History:
    """What a machine measured. Whether the caller may see it is asked elsewhere.

    Raises `InvalidInputError` for a range or a number of points that cannot be answered, and
    `UnavailableError` when only a file that cannot be read would hold the readings.
    """
    _check(asked)
    named = await _named(connection, node_id, asked.channels)
    asked = replace(asked, most=_share(asked, len(named)))
    gaps = await fetch(
        connection,
        Gap,
        "SELECT begun, ended, cause, readings FROM telemetry.gaps WHERE node_id = %(node)s"
        " AND ended >= %(since)s AND begun < %(until)s ORDER BY begun, id LIMIT %(most)s",
        {"node": node_id, "since": asked.since, "until": asked.until, "most": MOST_GAPS},
    )
    step, points = await _points(connection, node_id, named, asked, cold)
    return History(
        node_id=node_id,
        since=asked.since,
        until=asked.until,
        step_ms=step,
        series=[
            drawn(channel, points.get(channel, []), gaps, step=step, most=asked.most)
            for channel in sorted(named.values())
        ],
        gaps=gaps,
    )


def _share(asked: Asked, channels: int) -> int:
    """Of the points of one answer, those of one series."""
    return max(2, min(asked.most, MOST_IN_ANSWER // max(1, channels * asked.charts)))


async def _named(connection: Connection, node_id: str, wanted: Sequence[str]) -> Named:
    rows = await connection.execute(
        "SELECT id, channel FROM telemetry.series WHERE node_id = %(node)s"
        " AND (channel = ANY(%(names)s) OR EXISTS (SELECT FROM unnest(%(begins)s::text[]) AS b"
        " WHERE starts_with(channel, b))) ORDER BY channel LIMIT %(most)s",
        {
            "node": node_id,
            "names": [each.replace("\0", "") for each in wanted],
            "begins": [each.replace("\0", "") for each in wanted if each.endswith(".")],
            "most": MOST_CHANNELS,
        },
    )
    return dict(await rows.fetchall())


Points = dict[str, list[Point]]


async def _points(
    connection: Connection, node_id: str, named: Named, asked: Asked, cold: ColdTier | None
) -> tuple[int, Points]:
    """The step (0 for readings) and the points by channel."""
    if not named:
        return 0, {}
    if asked.resolution in (Resolution.AUTO, Resolution.RAW):
        few = await _count(connection, named, asked) <= asked.most
        found = await _readings(connection, node_id, named, asked, cold) if few else None
        if found is not None and max(map(len, found.values()), default=0) <= asked.most:
            return 0, {channel: points_of(readings) for channel, readings in found.items()}
        if asked.resolution is Resolution.RAW:
            raise InvalidInputError(
                f"there are more than {asked.most} readings of a channel in this range",
                field="resolution",
                remedy="ask for a shorter range, or for resolution AUTO",
            )
    return await _rolled_up(connection, named, asked)


async def _bounds(connection: Connection, named: Named) -> tuple[int, int]:
    """When anything was measured: a long range with little in it need not be coarse."""
    cursor = await connection.execute(
        "SELECT coalesce(min(first_at), 0), coalesce(max(last_at), -1) FROM telemetry.series"
        " WHERE id = ANY(%s::int[])",
        [list(named)],
    )
    first, last = await cursor.fetchone() or (0, -1)
    return first, last


async def _count(connection: Connection, named: Named, asked: Asked) -> int:
    brief = asked.until - asked.since <= BRIEF_MS
    table, width = ("seconds", SECOND_MS) if brief else ("minutes", MINUTE_MS)
    statement = _COUNT.format(table=table, width=width)
    return int(await _one(connection, statement, _span(named, asked)))


async def _readings(
    connection: Connection, node_id: str, named: Named, asked: Asked, cold: ColdTier | None
) -> dict[str, list[Reading]] | None:
    """`None` when they are too many, or when some lie in a file that cannot be read and a roll-up
    will do."""
    more = {"node": node_id, "longest": PIECE_MS, "build": asked.build_id}
    values = {**_span(named, asked), **more}
    stored = _CHUNKS.format(what="coalesce(sum(octet_length(columns)), 0)")
    if await _one(connection, stored, values) > MOST_STORED_BYTES:
        return None
    statement = _CHUNKS.format(what="begun, series, columns")
    cursor = await connection.execute(statement.encode(), values)
    found = await asyncio.to_thread(_unpacked, await cursor.fetchall(), named, asked)
    cursor = await connection.execute(
        "SELECT path FROM telemetry.cold WHERE day > %(since)s - %(day)s AND day < %(until)s"
        " AND %(node)s::uuid = ANY(nodes) ORDER BY day, part",
        {"since": asked.since, "until": asked.until, "day": DAY_MS + PIECE_MS, "node": node_id},
    )
    wanted = frozenset(named.values())
    for (path,) in await cursor.fetchall():
        try:
            if cold is None:
                raise UnavailableError(
                    "the readings of that time are in files", remedy="install the extra: parquet"
                )
            part = await asyncio.to_thread(
                cold.readings, path, node_id=node_id, asked=asked, channels=wanted
            )
        except UnavailableError:
            if asked.resolution is Resolution.RAW:
                raise
            return None
        for channel, readings in part.items():
            found[channel].extend(readings)
        if max(map(len, found.values()), default=0) > asked.most:
            return None
    for readings in found.values():
        readings.sort(key=lambda reading: reading[0])
    return found


def _unpacked(
    rows: Sequence[tuple[int, list[int], bytes]], named: Named, asked: Asked
) -> defaultdict[str, list[Reading]]:
    found: defaultdict[str, list[Reading]] = defaultdict(list)
    for begun, series, stored in rows:
        wanted = {code: named[one] for code, one in enumerate(series) if one in named}
        t, c, v, q = decode(stored, begun=begun)
        for at, code, value, worth in zip(t, c, v, q or bytes(len(t)), strict=True):
            if code in wanted and asked.since <= at < asked.until:
                found[wanted[code]].append((at, value, QUALITIES[worth]))
    return found


async def _rolled_up(connection: Connection, named: Named, asked: Asked) -> tuple[int, Points]:
    """Roll-ups of 1 s are kept for days, those of 1 min for years: where the finer ones have gone,
    the coarser ones answer."""
    first, last = await _bounds(connection, named)
    asked = replace(asked, since=max(asked.since, first), until=min(asked.until, last + 1))
    span = _span(named, asked)
    least = MINUTE_MS if asked.resolution is Resolution.MINUTE else SECOND_MS
    step = step_for(asked.until - asked.since, most=asked.most, least=least)
    if step < MINUTE_MS and not await _one(connection, _COVERED, span):
        step = step_for(asked.until - asked.since, most=asked.most, least=MINUTE_MS)
    table, base = ("seconds", SECOND_MS) if step < MINUTE_MS else ("minutes", MINUTE_MS)
    statement = (_SELECT if step == base else _GROUP).format(table=table)
    # what lies before a build's beginning was measured for somebody else
    since = asked.since - asked.since % (base if asked.build_id else step)
    cursor = await connection.execute(statement.encode(), {**span, "since": since, "step": step})
    points: defaultdict[str, list[Point]] = defaultdict(list)
    for series, *point in await cursor.fetchall():
        points[named[series]].append(Point(*point))
    return step, points


def _span(named: Named, asked: Asked) -> dict[str, Any]:
    return {"series": list(named), "since": asked.since, "until": asked.until}


async def _one(connection: Connection, statement: str, values: dict[str, Any]) -> Any:
    cursor = await connection.execute(statement.encode(), values)
    row = await cursor.fetchone()
    return row[0] if row else None


def _check(asked: Asked) -> None:
    within("maxPoints", asked.most, 2, MOST_POINTS)
    if not asked.since < asked.until:
        raise InvalidInputError("the range ends before it begins", field="until")
    if not 0 < len(asked.channels) <= MOST_CHANNELS:
        raise InvalidInputError(f"1 to {MOST_CHANNELS} channels are wanted", field="channels")

"""Reads months: reports as they were drawn up, and what adjusts them since.

Call inside ``reading(pool, READS)``. A report counts what the log held up to its cut-off and no
more. The rows that it is drawn up from never change and carry their positions, so that it comes out
the same to the byte whenever it is asked for.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson

from domain.period.aggregate import PeriodStatus, after, month_of, period_id, span_of
from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.moments import told
from domain.shared.scope import Scope
from projections.kpis import queries
from projections.kpis.movements import (
    FIGURES_AFTER,
    FIGURES_LATE,
    LOTS,
    LOTS_AFTER,
    LOTS_LATE,
    POSITIONS_AFTER,
    LotChange,
    Moved,
    changes,
    summed,
)
from projections.kpis.rows import FIGURES, KpiRow, PeriodRow
from projections.querying import PAGE_LIMIT, Connection, Cursor, Page, columns, fetch

READS = ("kpis", "inventory")
MONTHS_LIMIT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A month as it was reported. ``text``: canonical JSON; ``digest``: ``sha256:`` of its bytes;
    ``figures``: its sums."""

    text: str
    digest: str
    figures: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """An event that was recorded after a month's cut-off and counts inside the month.

    ``booked_in``: the month in whose report it stands, or empty while that one is open.
    """

    position: int
    event_id: str
    what: str
    at: datetime
    booked_in: str
    figures: dict[str, int]
    lots: list[LotChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lot:
    lot_id: str
    node_id: str
    material: str
    lot: str
    supplier_mg: int
    free_mg: int
    reserved_mg: int
    consumed_mg: int
    wasted_mg: int
    in_transit_mg: int
    adjusted_mg: int
    stock_mg: int


async def periods(
    connection: Connection, scope: Scope, *, organisation_id: str, now: datetime
) -> list[PeriodRow]:
    """The months from the first figure up to the present one, the newest first."""
    known = {row.month: row for row in await _periods(connection, scope, organisation_id)}
    text = "SELECT min(hour) FROM hours WHERE organisation_id = %(of)s"
    cursor = await connection.execute(text.encode(), {"of": organisation_id})
    found = await cursor.fetchone()
    since = min(
        [each.since for each in known.values()] + ([found[0]] if found and found[0] else []),
        default=now,
    )
    months = [month_of(since)]
    while months[-1] < month_of(now) and len(months) < MONTHS_LIMIT:
        months.append(month_of(after(span_of(months[-1])[0])))
    return [known.get(each) or _open(organisation_id, each) for each in reversed(months)]


async def period(connection: Connection, scope: Scope, wanted: str) -> PeriodRow | None:
    """A month that was cut off, by its id."""
    rows = await fetch(
        connection,
        PeriodRow,
        f"SELECT {columns(PeriodRow)} FROM periods"
        " WHERE id = %(id)s AND organisation_id = ANY(%(readable)s)",
        {"id": wanted, "readable": scope.readable},
    )
    return rows[0] if rows else None


async def cut_off(connection: Connection, scope: Scope, wanted: str) -> PeriodRow:
    """The same where it must be there. Raises ``NotFoundError``."""
    found = await period(connection, scope, wanted)
    if found is None:
        raise NotFoundError("there is no such month, or it was not cut off", field="id")
    return found


async def report(connection: Connection, row: PeriodRow) -> Report:
    """The month's report at its cut-off. Raises ``InvalidInputError`` for an open month."""
    if not row.cut_position:
        raise InvalidInputError(f"{row.month} is open: it has no report yet", field="id")
    asked = {
        "of": row.organisation_id,
        "since": row.since,
        "until": row.until,
        "before": await _cut_before(connection, row),
        "cut": row.cut_position,
    }
    figures = await _figures(connection, asked)
    body = {
        "imewe_report": 1,
        "organisation_id": row.organisation_id,
        "month": row.month,
        "since": told(row.since),
        "until": told(row.until),
        "position": str(row.cut_position),
        "figures": figures,
        "lots": [asdict(each) for each in await fetch(connection, _Lot, LOTS, asked)],
        "adjusting": await _adjusting(connection, asked),
    }
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    return Report(text=text.decode(), digest=digest, figures=figures)


async def adjustments(
    connection: Connection, row: PeriodRow, *, first: int = 50, after: Cursor | None = None
) -> Page[Adjustment]:
    """What was recorded after the cut-off and counts inside the month, in the log's order."""
    within("first", first, 1, PAGE_LIMIT)
    if not row.cut_position:
        return Page([], has_more=False)
    asked: dict[str, Any] = {
        "of": row.organisation_id,
        "since": row.since,
        "until": row.until,
        "after": max(row.cut_position, after.position if after else 0),
        "n": first + 1,
    }
    found = [each.position for each in await fetch(connection, _At, POSITIONS_AFTER, asked)]
    asked["positions"] = found[:first]
    moved = [
        *await fetch(connection, Moved, FIGURES_AFTER, asked),
        *await fetch(connection, Moved, LOTS_AFTER, asked),
    ]
    moved.sort(key=lambda each: (each.position, each.key, each.name))
    cuts = await _cuts(connection, row.organisation_id)
    by_event = groupby(moved, key=lambda each: each.position)
    return Page([_adjustment(list(each), cuts) for _, each in by_event], len(found) > first)


async def restated(connection: Connection, row: PeriodRow) -> KpiRow:
    """The month's figures as they are known now: those reported, and all adjustments."""
    return await queries.month(connection, row.organisation_id, since=row.since, until=row.until)


def reported(row: PeriodRow, found: Report) -> KpiRow:
    """The figures of a report."""
    return KpiRow(
        organisation_id=row.organisation_id, since=row.since, until=row.until, **found.figures
    )


async def _periods(connection: Connection, scope: Scope, organisation_id: str) -> list[PeriodRow]:
    if organisation_id not in scope.readable:
        raise NotFoundError(f"no organisation {organisation_id}", field="organisation_id")
    return await fetch(
        connection,
        PeriodRow,
        f"SELECT {columns(PeriodRow)} FROM periods WHERE organisation_id = %(of)s"
        " ORDER BY cut_position",
        {"of": organisation_id},
    )


def _open(organisation_id: str, month: str) -> PeriodRow:
    since, until = span_of(month)
    return PeriodRow(
        id=str(period_id(organisation_id, month)),
        organisation_id=organisation_id,
        month=month,
        since=since,
        until=until,
        cut_position=0,
        status=PeriodStatus.OPEN.value,
        closed_position=0,
        closed_at=None,
        closed_by="",
        digest="",
        figures={},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    month: str
    cut_position: int


async def _cuts(connection: Connection, organisation_id: str) -> list[_Cut]:
    return await fetch(
        connection,
        _Cut,
        "SELECT month, cut_position FROM periods WHERE organisation_id = %(of)s"
        " ORDER BY cut_position",
        {"of": organisation_id},
    )


async def _cut_before(connection: Connection, row: PeriodRow) -> int:
    """The cut-off of the month that was closed last before this one."""
    cuts = await _cuts(connection, row.organisation_id)
    return max(
        (each.cut_position for each in cuts if each.cut_position < row.cut_position), default=0
    )


async def _figures(connection: Connection, asked: dict[str, Any]) -> dict[str, int]:
    rows = await fetch(
        connection,
        _Sum,
        "SELECT a.key AS name, sum(a.value::bigint)::bigint AS amount"
        " FROM contributions c, jsonb_each_text(c.amounts) a"
        " WHERE c.organisation_id = %(of)s AND c.hour >= %(since)s AND c.hour < %(until)s"
        " AND c.position <= %(cut)s GROUP BY a.key",
        asked,
    )
    sums = {each.name: each.amount for each in rows}
    return {name: sums.get(name, 0) for name in FIGURES}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    name: str
    amount: int


async def _adjusting(connection: Connection, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What this report books for months closed before it: by month, figures and lots."""
    if not asked["before"]:
        return []
    figures = await fetch(connection, Moved, FIGURES_LATE, asked)
    lots = await fetch(connection, Moved, LOTS_LATE, asked)
    months = sorted({each.month for each in (*figures, *lots)})
    return [
        {
            "month": month,
            "figures": summed(each for each in figures if each.month == month),
            "lots": [
                {"lot_id": change.lot_id, **change.amounts}
                for change in changes([each for each in lots if each.month == month])
            ],
        }
        for month in months
    ]


def _adjustment(moved: Sequence[Moved], cuts: Sequence[_Cut]) -> Adjustment:
    first = moved[0]
    booked = next((each.month for each in cuts if each.cut_position >= first.position), "")
    return Adjustment(
        position=first.position,
        event_id=first.event_id,
        what=first.what,
        at=first.at,
        booked_in=booked,
        figures=summed(each for each in moved if not each.key),
        lots=changes([each for each in moved if each.key]),
    )

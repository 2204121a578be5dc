"""Reads the figures of an organisation. Call inside ``reading(pool, READS)``."""

from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Literal

from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.scope import Scope
from projections.kpis.rows import HourRow, KpiRow, SubjectRow
from projections.querying import Connection, Where, columns, fetch

READS = ("kpis",)

Period = Literal["hour", "day", "week"]
PERIODS_LIMIT = 2000
_LENGTH = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_SUMMED = [field.name for field in fields(HourRow) if field.name not in {"organisation_id", "hour"}]


async def kpis(
    connection: Connection,
    scope: Scope,
    *,
    organisation_id: str,
    period: Period,
    since: datetime,
    until: datetime,
) -> list[KpiRow]:
    """One row per period (UTC; weeks begin on Monday) that touches ``since`` to ``until``.

    Intervals that still go on are counted up to ``until``: pass the present, or earlier. Raises
    ``NotFoundError`` for an organisation that the scope may not know of.
    """
    if organisation_id not in scope.readable:
        raise NotFoundError(f"no organisation {organisation_id}", field="organisation_id")
    begins = _periods(period, since, until)
    hours = await _hours(connection, organisation_id, begins[0], until)
    nodes = await _nodes(connection, organisation_id)
    return [
        _figures(organisation_id, begin, min(begin + _LENGTH[period], until), hours, nodes)
        for begin in begins
    ]


def _periods(period: Period, since: datetime, until: datetime) -> list[datetime]:
    if period not in _LENGTH:
        raise InvalidInputError("period must be hour, day or week", field="period")
    if since.tzinfo is None or until.tzinfo is None or since >= until:
        raise InvalidInputError("since must be before until, with time zones", field="since")
    length = _LENGTH[period]
    begin = _begin(period, since.astimezone(UTC))
    count = -((begin - until) // length)
    within("periods", count, 1, PERIODS_LIMIT)
    return [begin + index * length for index in range(count)]


def _begin(period: Period, moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return hour
    day = hour.replace(hour=0)
    return day if period == "day" else day - timedelta(days=day.weekday())


async def _hours(
    connection: Connection, organisation_id: str, since: datetime, until: datetime
) -> list[HourRow]:
    where = Where().add(
        "organisation_id = %(of)s AND hour >= %(since)s AND hour < %(until)s",
        of=organisation_id,
        since=since,
        until=until,
    )
    text = f"SELECT {columns(HourRow)} FROM hours WHERE {where}"
    return await fetch(connection, HourRow, text, where.values)


async def _nodes(connection: Connection, organisation_id: str) -> list[SubjectRow]:
    where = Where().add("organisation_id = %(of)s AND kind = 'node'", of=organisation_id)
    text = f"SELECT {columns(SubjectRow)} FROM subjects WHERE {where}"
    return await fetch(connection, SubjectRow, text, where.values)


def _figures(
    organisation_id: str,
    since: datetime,
    until: datetime,
    hours: list[HourRow],
    nodes: list[SubjectRow],
) -> KpiRow:
    inside = [asdict(row) for row in hours if since <= row.hour < until]
    sums = {name: sum(row[name] for row in inside) for name in _SUMMED}
    for node in nodes:
        sums["executing_ms"] += overlap_ms(node.executing_since, None, since, until)
        sums["connected_ms"] += overlap_ms(node.connected_since, None, since, until)
    known = sum(overlap_ms(node.began_at, node.ended_at, since, until) for node in nodes)
    return KpiRow(organisation_id=organisation_id, since=since, until=until, known_ms=known, **sums)


def overlap_ms(
    begin: datetime | None, end: datetime | None, since: datetime, until: datetime
) -> int:
    """ms that [begin, end) shares with [since, until); no end: it goes on; no begin: nothing."""
    if begin is None:
        return 0
    shared = min(end or until, until) - max(begin, since)
    return max(0, shared // timedelta(milliseconds=1))

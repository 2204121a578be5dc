"""Reads the figures of an organisation. Call inside ``reading(pool, READS)``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Literal

from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.scope import Scope
from projections.kpis.links import KINDS, since_of, spans
from projections.kpis.rows import (
    FIGURES,
    ContributionRow,
    DowntimeRow,
    HourRow,
    KpiRow,
    SubjectRow,
)
from projections.kpis.shares import Span, shared
from projections.querying import (
    PAGE_LIMIT,
    Connection,
    Cursor,
    Page,
    Where,
    columns,
    fetch,
)

READS = ("kpis",)

Period = Literal["hour", "day", "week"]
PERIODS_LIMIT = 2000
_LENGTH = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


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
    nodes, downtimes = await _links(connection, organisation_id)
    return [
        figures_in(
            organisation_id, begin, min(begin + _LENGTH[period], until), hours, nodes, downtimes
        )
        for begin in begins
    ]


async def month(
    connection: Connection, organisation_id: str, *, since: datetime, until: datetime
) -> KpiRow:
    """The figures of a month as they are known now, corrections and late events included."""
    hours = await _hours(connection, organisation_id, since, until)
    nodes, downtimes = await _links(connection, organisation_id)
    return figures_in(organisation_id, since, until, hours, nodes, downtimes)


async def sources(
    connection: Connection,
    scope: Scope,
    *,
    organisation_id: str,
    since: datetime,
    until: datetime,
    figure: str = "",
    first: int = 50,
    after: Cursor | None = None,
) -> Page[ContributionRow]:
    """The events behind the hours from ``since`` up to ``until``, the earliest in the log first.

    An event has one row, with the hour that it touches first and its amounts in all of them. With
    ``figure`` only that one, of those that add to it. What still goes on has no event yet. Raises
    ``NotFoundError`` for an organisation that the scope may not know of.
    """
    if organisation_id not in scope.readable:
        raise NotFoundError(f"no organisation {organisation_id}", field="organisation_id")
    if figure not in ("", *FIGURES):
        raise InvalidInputError(f"figure must be one of {', '.join(FIGURES)}", field="figure")
    within("first", first, 1, PAGE_LIMIT)
    where = Where().add(
        "organisation_id = %(of)s AND hour >= %(since)s AND hour < %(until)s",
        of=organisation_id,
        since=since,
        until=until,
    )
    where.if_given(figure, "amounts ? %(figure)s", figure=figure)
    if after is not None:
        where.add("position > %(after)s", after=after.position)
    pages = (
        f"SELECT DISTINCT position FROM contributions WHERE {where} ORDER BY position LIMIT %(n)s"
    )
    text = (
        f"SELECT {columns(ContributionRow)} FROM contributions WHERE {where}"
        f" AND position IN ({pages}) ORDER BY position, hour"
    )
    rows = await fetch(connection, ContributionRow, text, {**where.values, "n": first + 1})
    found = list(_by_event(rows, (figure,) if figure else FIGURES))
    return Page(found[:first], len(found) > first)


def _by_event(rows: Sequence[ContributionRow], wanted: Sequence[str]) -> Iterator[ContributionRow]:
    """One row for each event, its amounts summed over the hours. Rows lie in the log's order."""
    for _, group in groupby(rows, key=attrgetter("position")):
        hours = list(group)
        sums = Counter[str]()
        for each in hours:
            sums.update(each.amounts)
        yield replace(hours[0], amounts={name: sums[name] for name in wanted if sums[name]})


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


async def _links(
    connection: Connection, organisation_id: str
) -> tuple[list[SubjectRow], list[DowntimeRow]]:
    """The machines, and when people say that they were down."""
    of = {"of": organisation_id}
    nodes = (
        f"SELECT {columns(SubjectRow)} FROM subjects"
        " WHERE organisation_id = %(of)s AND kind = 'node'"
    )
    down = (
        f"SELECT {columns(DowntimeRow)} FROM downtimes"
        " WHERE organisation_id = %(of)s AND NOT withdrawn"
    )
    return (
        await fetch(connection, SubjectRow, nodes, of),
        await fetch(connection, DowntimeRow, down, of),
    )


def figures_in(
    organisation_id: str,
    since: datetime,
    until: datetime,
    hours: list[HourRow],
    nodes: list[SubjectRow],
    downtimes: list[DowntimeRow],
) -> KpiRow:
    """The figures of a period from the rows behind it: hours, machines, and their downtimes that
    count. Intervals that still go on are counted up to ``until``."""
    inside = [asdict(row) for row in hours if since <= row.hour < until]
    sums = {name: sum(row[name] for row in inside) for name in FIGURES}
    for node in nodes:
        for what in KINDS:
            sums[f"{what}_ms"] += _goes_on(node, what, downtimes, (since, until))
    return KpiRow(organisation_id=organisation_id, since=since, until=until, **sums)


def _goes_on(node: SubjectRow, what: str, downtimes: list[DowntimeRow], period: Span) -> int:
    """What an interval that goes on adds to a period beyond what is in the hours already."""
    begin = since_of(node, what)
    if begin is None:
        return 0
    if node.accrued_until is not None:
        begin = max(begin, node.accrued_until)
    down = [shared(period, each) for each in spans(node, what, downtimes)]
    return overlap_ms(begin, None, *period) - sum(overlap_ms(begin, None, *each) for each in down)


def overlap_ms(
    begin: datetime | None, end: datetime | None, since: datetime, until: datetime
) -> int:
    """ms that [begin, end) shares with [since, until); no end: it goes on; no begin: nothing."""
    if begin is None:
        return 0
    shared = min(end or until, until) - max(begin, since)
    return max(0, shared // timedelta(milliseconds=1))

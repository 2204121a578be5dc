"""How long machines were known, reachable and at work, whatever is learned of it later.

What is booked of an open interval reaches up to ``accrued_until``, the end of the last month that
was cut off; the rest is booked when it ends. Every function books the difference between what
follows from the facts and what was booked before, so that the sums are always those of a fold that
had known all from the start.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from projections.kpis.rows import DowntimeRow, IntervalRow, SubjectRow
from projections.kpis.shares import Shares, Span, shared

CONNECTED, EXECUTING, KNOWN = "connected", "executing", "known"
KINDS = (CONNECTED, EXECUTING, KNOWN)
TELLING = (CONNECTED, EXECUTING)
"""What a downtime takes time from: a machine that is down is known all the same."""


def since_of(node: SubjectRow, what: str) -> datetime | None:
    """When an interval began that still goes on."""
    match what:
        case "connected":
            return node.connected_since
        case "executing":
            return node.executing_since
        case _:
            return node.known_since


def with_since(node: SubjectRow, what: str, since: datetime | None) -> SubjectRow:
    """The machine with an interval begun or ended."""
    match what:
        case "connected":
            return replace(node, connected_since=since)
        case "executing":
            return replace(node, executing_since=since)
        case _:
            return replace(node, known_since=since)


def spans(node: SubjectRow, what: str, downtimes: Iterable[DowntimeRow]) -> list[Span]:
    """The downtimes that count for a kind of interval of a machine."""
    if what == KNOWN:
        return []
    return [
        (each.since, each.until)
        for each in downtimes
        if each.node_id == node.id and not each.withdrawn
    ]


def begin(
    shares: Shares, node: SubjectRow, what: str, at: datetime, downtimes: Iterable[DowntimeRow]
) -> SubjectRow:
    """An interval begins; one that goes on goes on. A late one may reach into booked time."""
    if since_of(node, what) is not None:
        return node
    if node.accrued_until is not None:
        span = (at, node.accrued_until)
        shares.spread(_ms(what), span, without=spans(node, what, downtimes))
    return with_since(node, what, at)


def end(
    shares: Shares, node: SubjectRow, what: str, at: datetime, downtimes: Iterable[DowntimeRow]
) -> SubjectRow:
    """An interval ends: what was not booked of it is, and what was booked beyond is taken back."""
    since = since_of(node, what)
    if since is None:
        return node
    booked = max(since, node.accrued_until or since)
    without = spans(node, what, downtimes)
    if at >= booked:
        shares.spread(_ms(what), (booked, at), without=without)
    else:
        shares.spread(_ms(what), (max(since, at), booked), without=without, sign=-1)
    return with_since(node, what, None)


def shift(
    shares: Shares,
    node: SubjectRow,
    down: Span,
    *,
    intervals: Iterable[IntervalRow],
    sign: int,
) -> None:
    """A downtime takes its time from what was booked (-1), or gives it back (1)."""
    for each in intervals:
        shares.spread(_ms(each.what), shared((each.since, each.until), down), sign=sign)
    for what in TELLING:
        since = since_of(node, what)
        if since is not None and node.accrued_until is not None:
            shares.spread(_ms(what), shared((since, node.accrued_until), down), sign=sign)


def accrue(
    shares: Shares, node: SubjectRow, until: datetime, downtimes: Iterable[DowntimeRow]
) -> SubjectRow:
    """Book what goes on up to the end of a month that is cut off."""
    known = list(downtimes)
    for what in KINDS:
        since = since_of(node, what)
        if since is not None:
            span = (max(since, node.accrued_until or since), until)
            shares.spread(_ms(what), span, without=spans(node, what, known))
    return replace(node, accrued_until=max(until, node.accrued_until or until))


def _ms(what: str) -> str:
    return f"{what}_ms"

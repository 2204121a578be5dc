"""Decisions about when a machine was down, whatever its links said then.

``past`` are all events of the machine up to its present version, which the aggregate itself does
not carry: the record says how much of the time its links had told otherwise.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.node.aggregate import Node
from domain.shared.checks import stated
from domain.shared.errors import InvalidInputError, NotFoundError, OverlapError
from domain.shared.moments import effective, heard, told

_CONNECTED = ((Node.MachineConnected,), (Node.MachineDisconnected, Node.Decommissioned))
_EXECUTING = ((Node.ExecutionBegan,), (Node.ExecutionEnded,))
Kinds = tuple[tuple[type[Any], ...], tuple[type[Any], ...]]


def correct_downtime(
    node: Node, past: Sequence[Any], *, since: str, until: str, reason: str, now: datetime
) -> None:
    """It was down from ``since`` to ``until``. Raises ``OverlapError``, naming the other."""
    begin = effective(since, field="since", since=node.created_on, now=now)
    end = effective(until, field="until", since=node.created_on, now=now)
    if begin >= end:
        raise InvalidInputError("since must be before until", field="since")
    words, first, last = stated("reason", reason), told(begin), told(end)
    for known in node.downtimes:
        if (known["since"], known["until"]) == (first, last):
            return
        if first < known["until"] and known["since"] < last:
            raise OverlapError(
                f"node {node.name} was down from {known['since']} to {known['until']} already",
                field="since",
                remedy="withdraw that downtime, or name the time that it leaves out",
            )
    node.trigger_event(
        Node.DowntimeRecorded,
        effective_from=first,
        effective_until=last,
        connected_ms=_told_ms(past, _CONNECTED, begin, end),
        executing_ms=_told_ms(past, _EXECUTING, begin, end),
        reason=words,
    )


def withdraw_downtime(node: Node, *, since: str, reason: str) -> None:
    """It had not been down from ``since`` on. Raises ``NotFoundError``."""
    begin, words = told(heard(since, field="since")), stated("reason", reason)
    for known in node.downtimes:
        if known["since"] == begin:
            node.trigger_event(
                Node.DowntimeWithdrawn,
                effective_from=begin,
                effective_until=known["until"],
                connected_ms=known["connected_ms"],
                executing_ms=known["executing_ms"],
                reason=words,
            )
            return
    raise NotFoundError(f"no downtime of node {node.name} begins at {begin}", field="since")


def _told_ms(past: Iterable[Any], kinds: Kinds, begin: datetime, end: datetime) -> int:
    """For how long, between two moments, the machine was said to be so."""
    begins, ends = kinds
    since: datetime | None = None
    total = timedelta()
    for fact in past:
        if isinstance(fact, begins):
            since = since or fact.timestamp
        elif isinstance(fact, ends) and since is not None:
            total += max(timedelta(), min(fact.timestamp, end) - max(since, begin))
            since = None
    if since is not None:
        total += max(timedelta(), end - max(since, begin))
    return total // timedelta(milliseconds=1)

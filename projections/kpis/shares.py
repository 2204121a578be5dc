"""What one event adds to which hours, and how intervals share them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

MS = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)

Span = tuple[datetime, datetime]
"""From a moment up to another one."""


class Shares:
    """Amounts by hour, summed until somebody takes them."""

    def __init__(self) -> None:
        self.hours: dict[datetime, dict[str, int]] = {}

    def count(self, at: datetime, **amounts: int) -> None:
        """Amounts of one moment."""
        hour = self.hours.setdefault(hour_of(at), {})
        for name, amount in amounts.items():
            hour[name] = hour.get(name, 0) + amount

    def spread(self, name: str, span: Span, *, without: Iterable[Span] = (), sign: int = 1) -> None:
        """The ms of an interval, except what others (which do not overlap) cover of it."""
        for hour, share in split(*span):
            self.count(hour, **{name: sign * share})
        for other in without:
            for hour, share in split(*shared(span, other)):
                self.count(hour, **{name: -sign * share})

    def taken(self) -> Iterator[tuple[datetime, dict[str, int]]]:
        """The hours in which something is different, without zeros."""
        for hour, amounts in sorted(self.hours.items()):
            kept = {name: amount for name, amount in amounts.items() if amount}
            if kept:
                yield hour, kept


def hour_of(moment: datetime) -> datetime:
    """The full hour (UTC) in which a moment lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def split(since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
    """The hours that an interval touches, each with its share in ms; none when clocks disagree."""
    hour = hour_of(since)
    while max(since, hour) < until:
        begin, end = max(since, hour), min(until, hour + HOUR)
        yield hour, (end - begin) // MS
        hour += HOUR


def shared(one: Span, other: Span) -> Span:
    """What two intervals share; its end is not after its begin when that is nothing."""
    return max(one[0], other[0]), min(one[1], other[1])

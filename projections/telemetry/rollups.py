"""Lowest, highest, sum, number and last of every second and minute: what charts are drawn from.

Roll-ups are merged, never replaced, so that a message that comes late or out of order is counted
where it belongs; that none is counted twice is the writer's part.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from domain.telemetry.messages import Batch

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60_000


_CODES: Final = 256
"""More than a message has channels."""


class Rollup(NamedTuple):
    """The good readings of one series in one bucket. The average is `total / number`.

    `last` was taken at `last_at` (Unix ms). Of readings of one moment the one listed last in its
    message counts; of several messages, the largest.
    """

    low: float
    high: float
    total: float
    number: int
    last: float
    last_at: int

    def merged(self, other: "Rollup") -> "Rollup":
        """Both together."""
        last_at, last = max((self.last_at, self.last), (other.last_at, other.last))
        return Rollup(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            total=self.total + other.total,
            number=self.number + other.number,
            last=last,
            last_at=last_at,
        )


Place = tuple[int, int]
"""A series, and the begin of a bucket (Unix ms)."""
Rollups = dict[Place, Rollup]


def seconds(batches: Iterable[tuple[Batch, Sequence[int]]]) -> Rollups:
    """Roll-ups of 1 s over messages, each with the series of its channels."""
    found: Rollups = {}
    for batch, series in batches:
        for key, rollup in _rolled(batch).items():
            second, code = divmod(key, _CODES)
            _add(found, (series[code], second * SECOND_MS), rollup)
    return found


def minutes(rolled: Mapping[Place, Rollup]) -> Rollups:
    """Roll-ups of 1 min from those of 1 s."""
    found: Rollups = {}
    for (series, at), rollup in rolled.items():
        _add(found, (series, at - at % MINUTE_MS), rollup)
    return found


def _add(found: Rollups, place: Place, rollup: Rollup) -> None:
    known = found.get(place)
    found[place] = rollup if known is None else known.merged(rollup)


def _rolled(batch: Batch) -> dict[int, Rollup]:
    """By `second * _CODES + index of the channel`: one whole number is the cheapest key."""
    times, codes, values = _in_order(batch)
    keys = [at // SECOND_MS * _CODES + code for at, code in zip(times, codes, strict=True)]
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        groups[key].append(value)
    last_at = dict(zip(keys, times, strict=True))
    return {
        key: Rollup(min(group), max(group), sum(group), len(group), group[-1], last_at[key])
        for key, group in groups.items()
    }


def _in_order(batch: Batch) -> tuple[Sequence[int], Sequence[int], Sequence[float]]:
    """Times, indices of channels and values of the good readings, the earliest first."""
    times = list(batch.t)
    wanted: Sequence[int] = range(len(times))
    if batch.q is not None:
        wanted = [index for index, worth in enumerate(batch.q) if not worth]
    ordered = sorted(times) == times
    if batch.q is None and ordered:
        return times, batch.c, batch.v
    if not ordered:
        wanted = sorted(wanted, key=times.__getitem__)
    return (
        [times[index] for index in wanted],
        [batch.c[index] for index in wanted],
        [batch.v[index] for index in wanted],
    )

"""Lowest, highest, sum, number and last of every second and minute: what charts are drawn from.

Roll-ups are merged, never replaced, so that a message that comes late or out of order is counted
where it belongs; that none is counted twice is the writer's part.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from domain.telemetry.messages import Batch

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60_000


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
        for code, (times, values) in enumerate(_by_channel(batch)):
            for at, rollup in _rolled(times, values):
                _add(found, (series[code], at), rollup)
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


def _rolled(times: Sequence[int], values: Sequence[float]) -> Iterator[tuple[int, Rollup]]:
    """One channel's readings, the earliest first, cut into seconds."""
    begin = 0
    while begin < len(times):
        at = times[begin] - times[begin] % SECOND_MS
        end = bisect_left(times, at + SECOND_MS, begin)
        group = values[begin:end]
        yield (
            at,
            Rollup(min(group), max(group), sum(group), end - begin, group[-1], times[end - 1]),
        )
        begin = end


def _by_channel(batch: Batch) -> list[tuple[Sequence[int], Sequence[float]]]:
    """Times and values of the good readings of each channel, the earliest first."""
    times, codes, values = _in_order(batch)
    width = len(batch.channels)
    if width and codes == array("B", range(width)) * (len(times) // width):
        # every moment has all channels in their order, as a bridge takes them: cut, do not sort
        return [(times[code::width], values[code::width]) for code in range(width)]
    found: list[tuple[list[int], list[float]]] = [([], []) for _ in range(width)]
    for at, code, value in zip(times, codes, values, strict=True):
        found[code][0].append(at)
        found[code][1].append(value)
    return list(found)


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

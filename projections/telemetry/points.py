"""How fine an answer is, and where its lines break off."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Final, NamedTuple

from domain.telemetry.channels import Quality, unit_of
from projections.telemetry.rollups import MINUTE_MS, SECOND_MS
from projections.telemetry.rows import Gap, Reading, Series

_HOUR: Final = 60 * MINUTE_MS
STEPS: Final = (
    *(SECOND_MS * seconds for seconds in (1, 2, 5, 10, 15, 30)),
    *(MINUTE_MS * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * hours for hours in (1, 2, 3, 6, 12, 24, 7 * 24)),
)
"""Widths of buckets (ms), each a multiple of a roll-up's."""
SILENCE_MS: Final = 30_000
"""Shorter pauses between points never break a line."""
_USUAL: Final = 5
"""Nor do pauses of so many times what is usual in the series."""


class Point(NamedTuple):
    """One bucket, or one reading (then `number` is 1)."""

    at: int
    low: float | None
    high: float | None
    average: float | None
    last: float | None
    number: int
    quality: Quality | None = None


def step_for(width_ms: int, *, most: int, least: int = SECOND_MS) -> int:
    """The finest step of at least `least` ms that cuts `width_ms` into at most `most` buckets."""
    for step in STEPS:
        # a bucket may stick out at both ends
        if step >= least and width_ms // step + 2 <= most:
            return step
    return STEPS[-1]


def points_of(readings: Iterable[Reading]) -> list[Point]:
    """Readings as points; a value that is no number is none."""
    return [
        Point(at, shown, shown, shown, shown, 1, quality)
        for at, value, quality in readings
        for shown in (value if isfinite(value) else None,)
    ]


def drawn(
    channel: str, points: Sequence[Point], gaps: Sequence[Gap], *, step: int, most: int
) -> Series:
    """A series in columns, with a point of nothing in every gap as far as `most` allows."""
    series = Series(channel=channel, unit=unit_of(channel))
    room = most - len(points)
    longest = _longest_pause(points, step)
    before: Point | None = None
    for point in points:
        if before is not None and room > 0:
            begun = _gap_between(before.at + step, point.at, gaps, longest=longest)
            if begun is not None:
                _add(series, Point(begun, None, None, None, None, 0, Quality.BAD), raw=not step)
                room -= 1
        _add(series, point, raw=not step)
        before = point
    return series


def _add(series: Series, point: Point, *, raw: bool) -> None:
    series.at.append(point.at)
    series.low.append(point.low)
    series.high.append(point.high)
    series.average.append(point.average)
    series.last.append(point.last)
    series.number.append(point.number)
    if raw:
        series.quality.append(point.quality or Quality.GOOD)


def _longest_pause(points: Sequence[Point], step: int) -> float:
    pauses = [after.at - before.at for before, after in pairwise(points)]
    return max(SILENCE_MS, 3 * step, _USUAL * median(pauses)) if pauses else SILENCE_MS


def _gap_between(ended: int, begin: int, gaps: Sequence[Gap], *, longest: float) -> int | None:
    """Where between two points the line breaks off."""
    if begin - ended > longest:
        return (ended + begin) // 2
    for gap in gaps:
        if gap.ended > ended and gap.begun < begin and gap.begun < gap.ended:
            return (max(gap.begun, ended) + min(gap.ended, begin)) // 2
    return None

"""What is read of telemetry. Times are Unix ms."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from domain.telemetry.channels import Quality

MOST_POINTS: Final = 2000
MOST_IN_ANSWER: Final = 16_000
"""Points of all series together: whoever writes them down does nothing else meanwhile, and an
emergency stop may wait behind it."""
STALE_MS: Final = 30_000
"""A newest reading older than this is not of now."""


class Resolution(StrEnum):
    """How fine the points are."""

    AUTO = "AUTO"
    """Readings where they are few enough, else the finest roll-up that is."""
    RAW = "RAW"
    SECOND = "SECOND"
    MINUTE = "MINUTE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted: names of channels, or beginnings of names that end in a dot; from `since` to
    before `until`; `build_id` leaves out what is not of that build (not of roll-ups, whose buckets
    do not know). `charts` are as many as are one answer."""

    channels: tuple[str, ...]
    since: int
    until: int
    resolution: Resolution = Resolution.AUTO
    most: int = MOST_POINTS
    build_id: str = ""
    charts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one channel, in columns. A point whose values are `None` stands where nothing was
    measured: a line breaks off there. Of readings `number` is 1 and all four values are the same;
    `quality` is empty for roll-ups, which count good readings only."""

    channel: str
    unit: str
    at: list[int] = field(default_factory=list)
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    average: list[float | None] = field(default_factory=list)
    last: list[float | None] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings that were taken and are not there. `readings` is `None` when nobody counted them."""

    begun: int
    ended: int
    cause: str
    readings: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An answer. `step_ms` is the width of a roll-up's bucket, 0 for readings."""

    node_id: str
    since: int
    until: int
    step_ms: int
    series: list[Series]
    gaps: list[Gap]


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel of a machine with its newest good reading; `last` is `None` before there was
    one."""

    channel: str
    first_at: int
    last_at: int
    last: float | None


def heard_lately(known: Iterable[ChannelRow], *, now: int) -> dict[str, float]:
    """The newest good reading of each channel that is of now (Unix ms)."""
    return {
        row.channel: row.last
        for row in known
        if row.last is not None and now - row.last_at <= STALE_MS
    }


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """Messages of a machine that were none, by fault."""

    fault: str
    number: int
    last_at: int
    detail: str


Reading = tuple[int, float, Quality]
"""When, what, and what it is worth."""


class ColdTier(Protocol):
    """Days of readings that left the database."""

    def readings(
        self, path: str, *, node_id: str, asked: Asked, channels: frozenset[str]
    ) -> dict[str, list[Reading]]:
        """The readings of one file by channel, in the order of time. It blocks.

        Raises `UnavailableError` when the file cannot be read.
        """

"""Canonical names of what machines measure, and the one unit of each.

A name ends in its unit (`_c`, `_mm`, `_mm_s`, `_w` ...), so that a channel that is not listed here
has a unit, too. Missing is absent, never 0.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypedDict

CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "temperature.": "°C",
        "position.": "mm",
        "feedrate_mm_s": "mm/s",
        "spindle_rpm": "1/min",
        "power_w": "W",
        "energy_j": "J",
        "voltage_v": "V",
        "current_a": "A",
        "vibration_mm_s2": "mm/s²",
        "material_used_mm": "mm",
        "material_remaining_g": "g",
        "progress_pct": "%",
        "override_feed_pct": "%",
        "quality_score": "1",
        "comm.": "count",
        "planner_free": "count",
        "rx_free": "count",
    }
)
"""Units by name; one that ends in a dot stands for all names that begin with it.

`temperature.hotend0.actual_c`, `temperature.bed.target_c`, `position.x_mm`, `comm.resends`.
"""

SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_mm_s2": "mm/s²",
        "_mm_s": "mm/s",
        "_mm": "mm",
        "_c": "°C",
        "_rpm": "1/min",
        "_hz": "Hz",
        "_w": "W",
        "_j": "J",
        "_v": "V",
        "_a": "A",
        "_g": "g",
        "_s": "s",
        "_ms": "ms",
        "_pa": "Pa",
        "_pct": "%",
    }
)
"""What the end of a name says of its unit."""

KW_PER_W: Final = 0.001
KG_PER_G: Final = 0.001


class Quality(StrEnum):
    """What a reading is worth. Only GOOD ones count in roll-ups and figures."""

    GOOD = "GOOD"
    STALE = "STALE"
    """Said again because nothing newer came."""
    BAD = "BAD"
    """The sensor is known to be wrong, or the number is none."""


class FlatMetrics(TypedDict):
    """The specification's six metrics (its section 9); `None` where nothing measures them.

    The specification gives no units; these hold: `temperature` °C (the first hot end, else the
    hottest part that is measured), `vibration` mm/s², `power_consumption` kW, `material_remaining`
    kg, `progress` %, `quality_score` 0 to 1.
    """

    temperature: float | None
    vibration: float | None
    power_consumption: float | None
    material_remaining: float | None
    progress: float | None
    quality_score: float | None


def unit_of(channel: str) -> str:
    """The unit of a channel; empty when its name says none."""
    known = CHANNELS.get(channel)
    if known is not None:
        return known
    for name, unit in CHANNELS.items():
        if name.endswith(".") and channel.startswith(name):
            return unit
    # `_mm_s` is longer than `_s`: the longest end of the name speaks.
    fitting = [each for each in SUFFIXES if channel.endswith(each)]
    return SUFFIXES[max(fitting, key=len)] if fitting else ""


def flat_metrics(newest: Mapping[str, float]) -> FlatMetrics:
    """The specification's view of the newest good reading of each channel."""
    power, remaining = newest.get("power_w"), newest.get("material_remaining_g")
    return FlatMetrics(
        temperature=_temperature(newest),
        vibration=newest.get("vibration_mm_s2"),
        power_consumption=None if power is None else power * KW_PER_W,
        material_remaining=None if remaining is None else remaining * KG_PER_G,
        progress=newest.get("progress_pct"),
        quality_score=newest.get("quality_score"),
    )


def _temperature(newest: Mapping[str, float]) -> float | None:
    hot_end = newest.get("temperature.hotend0.actual_c")
    if hot_end is not None:
        return hot_end
    measured = [
        value
        for name, value in newest.items()
        if name.startswith("temperature.") and name.endswith(".actual_c")
    ]
    return max(measured, default=None)

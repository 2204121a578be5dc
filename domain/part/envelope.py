"""Whether a tool stays inside its machine, move by move."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from domain.part.toolpath import arc_centre, arc_points
from domain.part.words import INCH_MM

Beyond = list[tuple[str, float]]
NAMES: Final = "XYZ"
OVERRUN_MM: Final = 5.0
"""Slicers prime their nozzles this far beside the bed."""
LOWEST_MM: Final = -1.0
"""A first layer pressed on the bed goes below zero by less than this."""
TOLERANCE_MM: Final = 0.01
NOTHING: Final[Beyond] = []


class Envelope:
    """Follows the tool in the machine's own coordinates, as far as a program tells them.

    On a printer's bed places count (``table``), from a corner or from the centre; a mill's or
    laser's program counts from wherever the piece is clamped, so only its extent is held against
    the machine's travel.
    """

    def __init__(
        self, size: tuple[float, float, float] | None, origin: str, *, table: bool
    ) -> None:
        self._size = size or (math.inf, math.inf, math.inf)
        self._table = table
        self._origin = origin
        self._at = [0.0, 0.0, 0.0]
        self._offset = [0.0, 0.0, 0.0]
        self._scale = 1.0
        self._absolute = True
        self._plain = True
        self._lower = [math.inf] * 3
        self._upper = [-math.inf] * 3
        self._low, self._high = self._bounds()

    def bound(self, axis: str) -> str:
        """Why a place is beyond it, for a person."""
        index = NAMES.index(axis)
        if self._table:
            return f"is outside {self._low[index]:g} to {self._high[index]:g} mm"
        return f"makes the piece longer than the {self._size[index]:g} mm of travel"

    def plain(self, x: str | None, y: str | None, z: str | None) -> Beyond:
        """A straight move as slicers write it; numbers as text."""
        if not self._plain:
            given = {n: float(v) for n, v in zip(NAMES, (x, y, z), strict=True) if v}
            return self.move(given, "G1")
        at, low, high = self._at, self._low, self._high
        if x is not None:
            at[0] = value = float(x)
            if not low[0] <= value <= high[0]:
                return self._look()
        if y is not None:
            at[1] = value = float(y)
            if not low[1] <= value <= high[1]:
                return self._look()
        if z is not None:
            at[2] = value = float(z)
            if not low[2] <= value <= high[2]:
                return self._look()
        return NOTHING

    def move(self, words: Mapping[str, float], motion: str) -> Beyond:
        """Any motion. What it leaves the machine by, once for each axis."""
        start = (self._at[0], self._at[1], self._at[2])
        given = [index for index, name in enumerate(NAMES) if name in words]
        for index in given:
            origin = self._offset[index] if self._absolute else self._at[index]
            self._at[index] = words[NAMES[index]] * self._scale + origin
        beyond = self._look(given)
        if beyond or motion not in {"G2", "G3"}:
            return beyond
        end = (self._at[0], self._at[1], self._at[2])
        clockwise = motion == "G2"
        centre = arc_centre(start, end, words, self._scale, clockwise=clockwise)
        for point in arc_points(start, end, centre, clockwise=clockwise)[0]:
            if beyond := self._look((0, 1), point):
                return beyond
        return NOTHING

    def mode(self, code: str, words: Mapping[str, float]) -> None:
        """A command that changes what later numbers mean."""
        match code:
            case "G20" | "G21":
                self._scale = INCH_MM if code == "G20" else 1.0
            case "G90" | "G91":
                self._absolute = code == "G90"
            case "G92":
                for index, name in enumerate(NAMES):
                    if name in words:
                        self._offset[index] = self._at[index] - words[name] * self._scale
            case "G28":
                for index in self._named(words):
                    self._at[index] = self._offset[index] = 0.0
            case _:
                return
        self._plain = (
            self._table and self._absolute and self._scale == 1.0 and not any(self._offset)
        )

    def _named(self, words: Mapping[str, float]) -> Iterable[int]:
        return [i for i, name in enumerate(NAMES) if name in words] or range(3)

    def _look(
        self, axes: Iterable[int] = (0, 1, 2), point: tuple[float, float, float] | None = None
    ) -> Beyond:
        place = point or (self._at[0], self._at[1], self._at[2])
        return [
            (NAMES[index], round(place[index], 3))
            for index in axes
            if not self._inside(index, place[index])
        ]

    def _inside(self, index: int, value: float) -> bool:
        if self._table:
            if not self._origin and index < 2:
                self._decide(index, value)
            return self._low[index] <= value <= self._high[index]
        low = self._lower[index] = min(self._lower[index], value)
        high = self._upper[index] = max(self._upper[index], value)
        return high - low <= self._size[index] + TOLERANCE_MM

    def _decide(self, index: int, value: float) -> None:
        """Nobody said where zero is: the first place that only one of the two can reach tells."""
        if self._low[index] <= value <= self._high[index]:
            return
        self._origin = "centre" if value < 0 else "corner"
        self._low, self._high = self._bounds()

    def _bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        x, y, z = self._size
        low, high = (0.0, 0.0), (x, y)
        if self._origin != "corner":
            high = (x / 2, y / 2)
        if self._origin == "centre":
            low = (-x / 2, -y / 2)
        spare = OVERRUN_MM
        return (
            (low[0] - spare, low[1] - spare, LOWEST_MM),
            (high[0] + spare, high[1] + spare, z + spare),
        )

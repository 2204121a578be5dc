"""Follows the tool of a program: where it goes, what it extrudes, how long it takes."""

import math
from collections.abc import Mapping, Set
from typing import Final

Point = tuple[float, float, float]

ACCELERATION: Final = 1250.0
"""mm/s², a common printer's; only the allowance for slowing down at corners depends on it."""
RAPID: Final = 40.0
"""mm/s of a rapid move on a machine that does not say; a faster feed set before holds."""
FIRST_FEED: Final = 25.0
"""mm/s before the program has set any feed."""
ARC_STEP: Final = math.radians(10)


class Box:
    """The smallest box around the points it was shown."""

    def __init__(self) -> None:
        self.lower: Point = (math.inf, math.inf, math.inf)
        self.upper: Point = (-math.inf, -math.inf, -math.inf)

    def include(self, point: Point) -> None:
        """Grow to hold a point."""
        x, y, z = point
        low, high = self.lower, self.upper
        self.lower = (min(low[0], x), min(low[1], y), min(low[2], z))
        self.upper = (max(high[0], x), max(high[1], y), max(high[2], z))

    def __bool__(self) -> bool:
        return self.upper[0] >= self.lower[0]

    @property
    def size(self) -> Point:
        """Lengths of the edges."""
        low, high = self.lower, self.upper
        return (high[0] - low[0], high[1] - low[1], high[2] - low[2])


class Toolpath:
    """The tool's state while a program is read. Lengths in mm, feeds in mm/s, time in s."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.absolute = True
        self.absolute_e = True
        self.spindle = False
        self.seconds = 0.0
        self.moves = 0
        self.extruded = 0.0
        """Most filament ever out of the nozzle: a retraction that is undone counts nothing."""
        self.printed = Box()
        self.cut = Box()
        self.fed = Box()
        self.lowest = 0.0
        """Lowest Z, below the bed only, at which filament was pushed out."""
        self.plunges = False
        """Whether the tool went up or down while the spindle ran."""
        self._at: Point = (0.0, 0.0, 0.0)
        self._offset: Point = (0.0, 0.0, 0.0)
        self._e = 0.0
        self._out = 0.0
        self._feed = FIRST_FEED
        self._direction: Point = (0.0, 0.0, 0.0)

    def set_feed(self, per_minute: float) -> None:
        """Take an F word; zero is no feed and is ignored, as firmware does."""
        if per_minute > 0:
            self._feed = per_minute * self.scale / 60

    def straight(self, words: Mapping[str, float], *, rapid: bool) -> None:
        """G0 and G1."""
        start, end = self._at, self._target(words)
        extruded = self._extrude(words)
        self._note((start, end), rapid=rapid, extruded=extruded)
        self._spend(math.dist(start, end), (start, end), rapid=rapid, extruded=extruded)
        self._at = end

    def arc(self, words: Mapping[str, float], *, clockwise: bool) -> None:
        """G2 and G3 in the XY plane, by centre (I, J) or radius (R)."""
        start, end = self._at, self._target(words)
        extruded = self._extrude(words)
        centre = arc_centre(start, end, words, self.scale, clockwise=clockwise)
        points, length = arc_points(start, end, centre, clockwise=clockwise)
        self._note(points, rapid=False, extruded=extruded)
        self._spend(length, points, rapid=False, extruded=extruded)
        self._at = end

    def home(self, axes: Set[str]) -> None:
        """G28: the named axes, or all, stand at the machine's zero."""
        named = axes & {"X", "Y", "Z"} or {"X", "Y", "Z"}
        x, y, z = (0.0 if a in named else v for a, v in zip("XYZ", self._at, strict=True))
        ox, oy, oz = (0.0 if a in named else v for a, v in zip("XYZ", self._offset, strict=True))
        self._at, self._offset = (x, y, z), (ox, oy, oz)

    def rename(self, words: Mapping[str, float]) -> None:
        """G92: the present place gets other coordinates; nothing moves."""
        self._e = words["E"] * self.scale if "E" in words else self._e
        x, y, z = (
            at - words[axis] * self.scale if axis in words else offset
            for axis, at, offset in zip("XYZ", self._at, self._offset, strict=True)
        )
        self._offset = (x, y, z)

    def dwell(self, seconds: float) -> None:
        """G4."""
        self.seconds += seconds

    def _target(self, words: Mapping[str, float]) -> Point:
        x, y, z = self._at
        ox, oy, oz = self._offset
        scale = self.scale
        if not self.absolute:
            ox, oy, oz = x, y, z
        return (
            words["X"] * scale + ox if "X" in words else x,
            words["Y"] * scale + oy if "Y" in words else y,
            words["Z"] * scale + oz if "Z" in words else z,
        )

    def _extrude(self, words: Mapping[str, float]) -> float:
        if "E" not in words:
            return 0.0
        value = words["E"] * self.scale
        length = value - self._e if self.absolute_e else value
        self._e = value if self.absolute_e else self._e + value
        self._out += length
        self.extruded = max(self.extruded, self._out)
        return length

    def _note(self, points: tuple[Point, ...], *, rapid: bool, extruded: float) -> None:
        self.moves += 1
        first, last = points[0], points[-1]
        along = first[0] != last[0] or first[1] != last[1] or len(points) > 2
        if extruded > 0:
            self.lowest = min(self.lowest, first[2], last[2])
        boxes = [] if rapid else [self.fed]
        if extruded > 0 and along:
            boxes.append(self.printed)
        if self.spindle and not rapid:
            boxes.append(self.cut)
            self.plunges = self.plunges or first[2] != last[2]
        for box in boxes:
            for point in points if along else points[-1:]:  # a plunge makes its lower end
                box.include(point)

    def _spend(
        self, length: float, points: tuple[Point, ...], *, rapid: bool, extruded: float
    ) -> None:
        speed = max(self._feed, RAPID) if rapid else self._feed
        if length <= 0:
            self.seconds += abs(extruded) / speed
            return
        speed = min(speed, math.sqrt(ACCELERATION * length))
        x, y, z = _direction(points[0], points[1])
        before = self._direction
        turn = (1 - (x * before[0] + y * before[1] + z * before[2])) / 2
        self.seconds += length / speed + turn * speed / ACCELERATION
        self._direction = _direction(points[-2], points[-1])


def _direction(start: Point, end: Point) -> Point:
    length = math.dist(start, end) or 1.0
    return (
        (end[0] - start[0]) / length,
        (end[1] - start[1]) / length,
        (end[2] - start[2]) / length,
    )


def arc_centre(
    start: Point, end: Point, words: Mapping[str, float], scale: float, *, clockwise: bool
) -> tuple[float, float]:
    """The centre of an arc, by I and J or by R."""
    if "R" not in words:
        return start[0] + words.get("I", 0.0) * scale, start[1] + words.get("J", 0.0) * scale
    radius = words["R"] * scale
    dx, dy = end[0] - start[0], end[1] - start[1]
    chord = math.hypot(dx, dy) or 1.0
    height = math.sqrt(max(radius * radius - chord * chord / 4, 0.0))
    side = -1.0 if clockwise == (radius > 0) else 1.0
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return middle[0] - side * height * dy / chord, middle[1] + side * height * dx / chord


def arc_points(
    start: Point, end: Point, centre: tuple[float, float], *, clockwise: bool
) -> tuple[tuple[Point, ...], float]:
    """Points along an arc, its ends among them, and its length."""
    radius = math.hypot(start[0] - centre[0], start[1] - centre[1])
    first = math.atan2(start[1] - centre[1], start[0] - centre[0])
    sweep = math.atan2(end[1] - centre[1], end[0] - centre[0]) - first
    sweep = sweep % math.tau or math.tau
    if clockwise:
        sweep = sweep - math.tau if sweep < math.tau else -math.tau
    steps = max(math.ceil(abs(sweep) / ARC_STEP), 1)
    between = tuple(
        (
            centre[0] + radius * math.cos(first + sweep * i / steps),
            centre[1] + radius * math.sin(first + sweep * i / steps),
            start[2] + (end[2] - start[2]) * i / steps,
        )
        for i in range(1, steps)
    )
    return (start, *between, end), math.hypot(abs(sweep) * radius, end[2] - start[2])

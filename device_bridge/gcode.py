"""Programs as the bridge reads them: commands without comments, and the material they use."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device_bridge.errors import BadProgramError
from device_bridge.gently import gently
from domain.part.sendable import clean, forbidden, is_message
from domain.part.words import INCH_MM, MOTIONS, split

STRETCH = 32
LINK_OWN = ("%", "M110", "M113", "M155")
"""Line numbers, keep-alives and reports are the driver's: a program's word on them is left out."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a program holds: commands to send and filament pushed (mm, net of retraction).

    ``ends``: its last command is ``M2`` or ``M30``.
    """

    lines: int
    filament_mm: float
    ends: bool


def commands(program: Path, *, longest: int) -> Iterator[str]:
    """The commands of a file. Raises ``BadProgramError`` for what must not be sent."""
    try:
        file = program.open(encoding="utf-8-sig", errors="replace")
    except OSError as problem:
        raise BadProgramError(f"the program cannot be read: {problem.strerror}") from problem
    with file as lines:
        for number, raw in enumerate(lines, start=1):
            command = clean(raw)
            if not command or command.startswith(LINK_OWN):
                continue
            if len(command) > longest:
                raise BadProgramError(f"line {number} is longer than {longest} characters")
            if found := forbidden(command):
                raise BadProgramError(f"line {number}: {found} may not stand in a program")
            yield command


def survey(program: Path, *, longest: int) -> Survey:
    """Read a whole program once before anything is sent; an empty one is refused."""
    meter = FilamentMeter()
    lines = 0
    command = ""
    for command in gently(commands(program, longest=longest), every=STRETCH):
        lines += 1
        meter.take(command)
    if not lines:
        raise BadProgramError("the program holds no command")
    return Survey(lines, meter.filament_mm, command in {"M2", "M02", "M30"})


def volume_mm3(filament_mm: float, diameter_mm: float) -> int:
    """Volume of a length of filament, rounded to whole mm³."""
    return round(filament_mm * math.pi * (diameter_mm / 2) ** 2)


class FilamentMeter:
    """Adds up E moves: relative and absolute extrusion, ``G92``, inches, retraction.

    ``filament_mm`` is what left the spool for good: the highest net length reached.
    """

    def __init__(self) -> None:
        self.filament_mm = 0.0
        self._net = 0.0
        self._position = 0.0
        self._relative = False
        self._moving = False
        self._scale = 1.0

    def take(self, command: str) -> None:
        """Account for one acknowledged command."""
        if is_message(command):
            return
        codes, others = split(command)
        for code in codes:
            self._mode(code)
        value = dict(others).get("E")
        if value is None:
            return
        if "G92" in codes:
            self._position = value * self._scale
        elif not MOTIONS.isdisjoint(codes) or (self._moving and not codes):
            self._move(value * self._scale)

    def _mode(self, code: str) -> None:
        if code in MOTIONS:
            self._moving = True
        elif code in {"M82", "G90"}:
            self._relative = False
        elif code in {"M83", "G91"}:
            self._relative = True
        elif code in {"G20", "G21"}:
            self._scale = INCH_MM if code == "G20" else 1.0

    def _move(self, value: float) -> None:
        step = value if self._relative else value - self._position
        self._position += step
        self._net += step
        self.filament_mm = max(self.filament_mm, self._net)

"""Programs as the bridge reads them: commands without comments, and the material they use."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device_bridge.errors import BadProgramError
from domain.part.sendable import clean, forbidden

_WORD = re.compile(r"([A-Za-z])\s*(-?\d*\.?\d+)")
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
    with program.open(encoding="utf-8-sig", errors="replace") as lines:
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
    for command in commands(program, longest=longest):
        lines += 1
        meter.take(command)
    if not lines:
        raise BadProgramError("the program holds no command")
    return Survey(lines, meter.filament_mm, command in {"M2", "M02", "M30"})


def volume_mm3(filament_mm: float, diameter_mm: float) -> int:
    """Volume of a length of filament, rounded to whole mm³."""
    return round(filament_mm * math.pi * (diameter_mm / 2) ** 2)


class FilamentMeter:
    """Adds up E moves: relative and absolute extrusion, ``G92``, retraction.

    ``filament_mm`` is what left the spool for good: the highest net length reached.
    """

    def __init__(self) -> None:
        self.filament_mm = 0.0
        self._net = 0.0
        self._position = 0.0
        self._relative = False

    def take(self, command: str) -> None:
        """Account for one acknowledged command."""
        word = command.split(" ", 1)[0].upper()
        if word in {"G0", "G1", "G2", "G3"}:
            if "E" in command:
                self._move(command)
        elif word in {"M82", "G90"}:
            self._relative = False
        elif word in {"M83", "G91"}:
            self._relative = True
        elif word == "G92" and (value := _extrusion(command)) is not None:
            self._position = value

    def _move(self, command: str) -> None:
        value = _extrusion(command)
        if value is None:
            return
        step = value if self._relative else value - self._position
        self._position = self._position + step
        self._net += step
        self.filament_mm = max(self.filament_mm, self._net)


def _extrusion(command: str) -> float | None:
    at = command.find("E")
    if at < 0:
        return None
    try:
        return float(command[at + 1 :].split(" ", 1)[0])
    except ValueError:
        return None


def words(command: str) -> dict[str, float]:
    """Letters and numbers of a command: ``G1 X2 F600`` is ``{"G": 1, "X": 2, "F": 600}``."""
    return {letter.upper(): float(number) for letter, number in _WORD.findall(command)}

"""Reads a G-code program once and says what it would make."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from domain.part.sendable import LONGEST_COMMAND, clean, forbidden, is_message
from domain.part.toolpath import Box, Toolpath
from domain.part.words import INCH_MM, MOTIONS, broken, split
from domain.ports import GcodeReport
from domain.shared.errors import InvalidInputError

LONGEST_LINE: Final = 64 * 1024
FILAMENT_MM: Final = 1.75
PRINTING: Final = "fdm"

_DIAMETER: Final = re.compile(r"filament_diameter\s*=\s*([\d.]+)")
_NAME: Final = re.compile(r"[A-Za-z_]{3,}")
_MACRO: Final = re.compile(r"[A-Z_]{3,}[A-Z0-9_]*(?:\s+[A-Z_]+=\S+)*")
_AXES: Final = frozenset("XYZE")


def read_program(lines: Iterable[str]) -> GcodeReport:
    """Read a whole program. Raises ``InvalidInputError`` for what is none."""
    reader = GcodeReader()
    for line in lines:
        reader.feed(line)
    return reader.report()


class GcodeReader:
    """Takes a program line by line, in constant memory.

    Understands the words that Marlin and GRBL share: G0-G4, G20/21, G28, G90-G92, M3-M5, M82/83,
    M104/109, M140/190. Other words are taken as harmless; a line that is made of no words at all
    is counted and reported as a remark.
    """

    def __init__(self) -> None:
        self._path = Toolpath()
        self._lines = 0
        self._blocks = 0
        self._strange = 0
        self._first_strange = 0
        self._motion = ""
        self._diameter = FILAMENT_MM
        self._nozzle = 0.0
        self._bed = 0.0
        self._laser = False
        self._spindle_ever = False
        self._unsafe: dict[str, None] = {}
        self._broken = ""
        self._longest = 0
        self._longest_line = 0

    def feed(self, line: str) -> None:
        """Read one line. Raises ``InvalidInputError`` for bytes that are no text."""
        self._lines += 1
        if "\0" in line or len(line) >= LONGEST_LINE:
            raise InvalidInputError(
                f"Line {self._lines} is no G-code: it holds binary data or does not end.",
                field="file",
            )
        if "filament_diameter" in line:
            self._read_diameter(line)
        text = clean(line)
        if text and not text.startswith("%"):
            self._block(text)

    def report(self) -> GcodeReport:
        """What was read. Raises ``InvalidInputError`` for a program that moves nothing."""
        if self._strange * 2 > self._blocks:
            raise InvalidInputError(
                f"This is no G-code: {self._strange} of {self._blocks} lines are not understood, "
                f"line {self._first_strange} first.",
                field="file",
            )
        if self._path.moves == 0:
            raise InvalidInputError("The program holds no move.", field="file")
        self._demand_short_lines()
        box = self._made()
        return GcodeReport(
            lines=self._lines,
            size_mm=_rounded(box.size),
            lower_mm=_rounded(box.lower),
            upper_mm=_rounded(box.upper),
            duration_ms=round(self._path.seconds * 1000),
            material_mm3=self._material_mm3(),
            nozzle_c=round(self._nozzle),
            bed_c=round(self._bed),
            process=self._process(),
            unsafe=tuple(self._unsafe),
            broken=self._broken,
            lowest_extrusion_mm=round(self._path.lowest, 3),
            remarks=self._remarks(),
        )

    def _block(self, text: str) -> None:
        self._blocks += 1
        if len(text) > self._longest:
            self._longest, self._longest_line = len(text), self._lines
        if found := forbidden(text):
            self._unsafe[found] = None
        if text[0] == "$":
            self._console(text.upper())
            return
        if is_message(text):
            return
        codes, others = split(text)
        if not (codes or others) or _NAME.match(text):
            self._count_strange(text)
            return
        words = dict(others)
        if not self._broken and self._moves(codes, words) and (why := broken(text, others)):
            self._broken = f"line {self._lines}: {why}"
        self._obey(codes, words)

    def _moves(self, codes: list[str], words: Mapping[str, float]) -> bool:
        """Whether a block is a motion, by its own word or by one that still holds."""
        if codes:
            return not MOTIONS.isdisjoint(codes)
        return bool(self._motion and _AXES & words.keys())

    def _obey(self, codes: list[str], words: Mapping[str, float]) -> None:
        axes_taken = False
        for code in codes:
            axes_taken = self._mode(code, words) or axes_taken
        if "F" in words:
            self._path.set_feed(words["F"])
        if self._motion and not axes_taken and (_AXES & words.keys() or "I" in words):
            self._move(words)

    def _mode(self, code: str, words: Mapping[str, float]) -> bool:
        """Change the state; true when the code used up the block's axis words."""
        path = self._path
        match code:
            case "G0" | "G1" | "G2" | "G3":
                self._motion = code
                return False
            case "G20" | "G21":
                path.scale = INCH_MM if code == "G20" else 1.0
            case "G90" | "G91":
                path.absolute = path.absolute_e = code == "G90"
            case "M82" | "M83":
                path.absolute_e = code == "M82"
            case "G28":
                path.home(_AXES & words.keys())
            case "G92":
                path.rename(words)
            case "G4":
                path.dwell(words.get("S", words.get("P", 0.0) / 1000))
            case "M3" | "M4" | "M5":
                path.spindle = code != "M5"
                self._spindle_ever = self._spindle_ever or path.spindle
                self._laser = self._laser or code == "M4"
                return False
            case _:
                return self._other(code, words)
        return True

    def _other(self, code: str, words: Mapping[str, float]) -> bool:
        if code in {"M104", "M109"}:
            self._nozzle = max(self._nozzle, words.get("S", words.get("R", 0.0)))
        elif code in {"M140", "M190"}:
            self._bed = max(self._bed, words.get("S", words.get("R", 0.0)))
        return code[0] == "M" or code in {"G10", "G29", "G30", "G38.2", "G53"}

    def _move(self, words: Mapping[str, float]) -> None:
        if not all(math.isfinite(value) for value in words.values()):
            raise InvalidInputError(f"Line {self._lines} holds an endless number.", field="file")
        if self._motion in {"G0", "G1"}:
            self._path.straight(words, rapid=self._motion == "G0")
        else:
            self._path.arc(words, clockwise=self._motion == "G2")

    def _made(self) -> Box:
        path = self._path
        for box in (path.printed, path.cut, path.fed):
            if box:
                return box
        raise InvalidInputError("The program only travels: it makes nothing.", field="file")

    def _process(self) -> str:
        if self._path.extruded > 0:
            return PRINTING
        if self._spindle_ever:
            return "laser" if self._laser and not self._path.plunges else "mill"
        return PRINTING if self._nozzle > 0 else "unknown"

    def _material_mm3(self) -> int:
        return round(self._path.extruded * math.pi * (self._diameter / 2) ** 2)

    def _remarks(self) -> tuple[str, ...]:
        if not self._strange:
            return ()
        return (
            f"{self._strange} lines are not understood and count nothing, "
            f"line {self._first_strange} first.",
        )

    def _console(self, text: str) -> None:
        if text == "$H":
            self._path.home(set())

    def _demand_short_lines(self) -> None:
        """A longer line would be refused by the machine, when its bed and material are taken."""
        limit = LONGEST_COMMAND.get(self._process(), LONGEST_COMMAND[PRINTING])
        if self._longest > limit:
            raise InvalidInputError(
                f"Line {self._longest_line} is longer than the {limit} characters that a machine "
                "takes.",
                field="file",
            )

    def _count_strange(self, text: str) -> None:
        if _MACRO.fullmatch(text):
            return  # a firmware macro such as START_PRINT: known to its machine, not to us
        self._strange += 1
        self._first_strange = self._first_strange or self._lines

    def _read_diameter(self, line: str) -> None:
        if (match := _DIAMETER.search(line)) and float(match[1]) > 0:
            self._diameter = float(match[1])


def _rounded(point: tuple[float, float, float]) -> tuple[float, float, float]:
    return (round(point[0], 3), round(point[1], 3), round(point[2], 3))

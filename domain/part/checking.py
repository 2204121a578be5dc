"""Reads a program against one machine before anything moves: what it may not do there, by line.

Pure and in constant memory, whatever the length of the program. ``domain.part.gcode`` says what a
program makes; this says where, how hot and by which words, and knows the one machine it is for.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from domain.part.envelope import Envelope
from domain.part.known_codes import KNOWN
from domain.part.sendable import LONGEST_COMMAND, clean, forbidden, is_message
from domain.part.words import MOTIONS, broken, split

MOST_TOLD: Final = 20
MOST_UNKNOWN: Final = 50
MATERIAL_MAX_C: Final[Mapping[str, tuple[float, float]]] = {
    "PLA": (260.0, 80.0),
    "PETG": (280.0, 110.0),
    "ASA": (300.0, 125.0),
    "ABS": (300.0, 125.0),
    "TPU": (270.0, 90.0),
}
"""Beyond these (nozzle, bed, °C) a material burns or fumes, whatever the machine allows."""

_N: Final = r"-?(?:\d+\.?\d*|\.\d+)"
_PLAIN: Final = re.compile(
    rf"G[01] ?(?:F{_N} ?)?(?:X({_N}) ?)?(?:Y({_N}) ?)?(?:Z({_N}) ?)?(?:E{_N} ?)?(?:F{_N} ?)?"
    r"\s*(?:;.*)?$"
)
"""What nearly every line of a print looks like; ``;`` comments only."""
_MACRO: Final = re.compile(r"[A-Za-z_]{3,}\w*(?:\s|$)")
_HEAT: Final[Mapping[str, str]] = {"M104": "nozzle", "M109": "nozzle", "M140": "bed", "M190": "bed"}


class Severity(StrEnum):
    """``ERROR`` refuses the program; a ``WARNING`` is told."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one machine, with one material, may be told. Lengths in mm; ``None``: not known.

    ``origin``: ``corner``, ``centre``, or empty when nobody says. ``max_spindle_rpm`` bounds S of
    M3 and M4 on a mill, ``max_power_s`` on a laser. ``tools``: how many it changes by itself.
    """

    process: str
    size_mm: tuple[float, float, float] | None = None
    origin: str = ""
    max_nozzle_c: float | None = None
    max_bed_c: float | None = None
    max_spindle_rpm: float | None = None
    max_power_s: float | None = None
    tools: int = 1
    forbidden: frozenset[str] = frozenset()

    @classmethod
    def of(cls, profile: Mapping[str, Any], *, material: str = "") -> "Limits":
        """Of a node's profile; the material's own limits hold beside the machine's."""
        size = profile.get("max_size")
        known = MATERIAL_MAX_C.get(material.upper().replace(" ", "-").split("-")[0])
        nozzle, bed = known or (None, None)
        return cls(
            process=str(profile.get("process", "fdm")),
            size_mm=(float(size["x"]), float(size["y"]), float(size["z"])) if size else None,
            origin=str(profile.get("origin", "")),
            max_nozzle_c=_least(profile.get("max_nozzle_c"), nozzle),
            max_bed_c=_least(profile.get("max_bed_c"), bed),
            max_spindle_rpm=profile.get("max_spindle_rpm"),
            max_power_s=profile.get("max_power_s"),
            tools=int(profile.get("tools", 1)),
            forbidden=frozenset(str(code).upper() for code in profile.get("forbidden_codes", ())),
        )


@dataclass(slots=True, kw_only=True)
class Finding:
    """One thing wrong: where it was met first, and how often in all."""

    line: int
    code: str
    severity: Severity
    message: str
    times: int = 1

    def __str__(self) -> str:
        more = f" (and {self.times - 1} more)" if self.times > 1 else ""
        return f"line {self.line}: {self.message}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found. ``unknown``: codes nobody knows, with line and count."""

    lines: int
    findings: tuple[Finding, ...]
    unknown: Mapping[str, tuple[int, int]]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What refuses it."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    def told(self) -> str:
        """Every error, at most 20, for a person."""
        shown = [str(finding) for finding in self.errors[:MOST_TOLD]]
        left = len(self.errors) - len(shown)
        return "; ".join([*shown, f"and {left} other things"] if left else shown)


def check_program(lines: Iterable[str], limits: Limits) -> CheckReport:
    """Read a whole program."""
    check = ProgramCheck(limits)
    for line in lines:
        check.feed(line)
    return check.report()


@dataclass(slots=True)
class _State:
    """Modal state beside the tool's place."""

    motion: str = ""
    spindle: str = ""
    fed: bool = False
    targets: dict[str, float] = field(default_factory=lambda: {"nozzle": 0.0, "bed": 0.0})


class ProgramCheck:
    """Takes a program line by line."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known = KNOWN.get(limits.process, frozenset())
        self._longest = LONGEST_COMMAND.get(limits.process, LONGEST_COMMAND["fdm"])
        self._envelope = Envelope(limits.size_mm, limits.origin, table=limits.process == "fdm")
        self._state = _State()
        self._found: dict[tuple[str, str], Finding] = {}
        self._unknown: dict[str, tuple[int, int]] = {}
        self._lines = 0
        self._plain = limits.process == "fdm"

    def feed(self, raw: str) -> None:
        """Read one line."""
        self._lines += 1
        if self._plain and (match := _PLAIN.match(raw)) and len(match[0]) <= self._longest:
            self._state.motion = "G1"
            for name, value in self._envelope.plain(match[1], match[2], match[3]):
                self._beyond(name, value)
            return
        text = clean(raw)
        if text and not text.startswith("%"):
            self._block(text)

    def report(self) -> CheckReport:
        """What was found in all of it."""
        self._left_on()
        found = sorted(self._found.values(), key=lambda finding: finding.line)
        return CheckReport(lines=self._lines, findings=tuple(found), unknown=dict(self._unknown))

    def _block(self, text: str) -> None:
        if len(text) > self._longest:
            self._find("TOO_LONG", f"it is longer than {self._longest} characters")
        if bad := forbidden(text):
            self._find("FORBIDDEN", f"{bad} may not stand in a program", bad)
            return
        if is_message(text) or text[0] == "$":
            return
        codes, others = split(text)
        if not codes and (_MACRO.match(text) or not others):
            self._count_unknown(text.split(maxsplit=1)[0].upper())
            return
        self._words(text, codes, others)

    def _words(self, text: str, codes: list[str], others: list[tuple[str, float]]) -> None:
        words = dict(others)
        for code in codes:
            self._code(code, words)
        self._tool(codes, words)
        if "F" in words and words["F"] > 0:
            self._state.fed = True
        if "S" in words and self._state.spindle and not {"G4"} & set(codes):
            self._spin(words["S"])
        moves = not MOTIONS.isdisjoint(codes) or (not codes and self._state.motion)
        if moves and (why := broken(text, others)):
            self._find("BROKEN", f"the motion cannot be read: {why}")
        elif moves and "G53" not in codes and {"X", "Y", "Z"} & words.keys():
            self._move(words)

    def _code(self, code: str, words: Mapping[str, float]) -> None:
        if code in self._limits.forbidden:
            self._find("FORBIDDEN", f"{code} is forbidden on this machine", code)
        elif code not in self._known and code != "M6":
            self._count_unknown(code)
        if code in MOTIONS:
            self._state.motion = code
        elif code in _HEAT:
            self._heat(_HEAT[code], max(words.get("S", 0.0), words.get("R", 0.0)))
        elif code in {"M3", "M4", "M5"}:
            self._state.spindle = "" if code == "M5" else code
        elif code == "G4" and self._limits.process == "laser" and self._state.spindle == "M3":
            self._find("BEAM_STANDS", "the beam stands still while it is on", warn=True)
        else:
            self._envelope.mode(code, words)

    def _heat(self, what: str, asked: float) -> None:
        self._state.targets[what] = asked
        limits = self._limits
        limit = limits.max_nozzle_c if what == "nozzle" else limits.max_bed_c
        if limit is not None and asked > limit:
            self._find(
                f"{what.upper()}_TOO_HOT", f"the {what} may reach {limit:g} °C, not {asked:g} °C"
            )

    def _spin(self, asked: float) -> None:
        laser = self._limits.process == "laser"
        limit = self._limits.max_power_s if laser else self._limits.max_spindle_rpm
        if limit is not None and asked > limit and self._limits.process != "fdm":
            what = "laser's power" if laser else "spindle's speed"
            self._find("TOO_FAST", f"the {what} may be S{limit:g}, not S{asked:g}")

    def _tool(self, codes: list[str], words: Mapping[str, float]) -> None:
        tools = self._limits.tools
        if "M6" in codes and tools <= 1:
            self._find("NO_TOOL_CHANGER", "M6: this machine changes no tool by itself")
        elif "T" in words and not codes and words["T"] >= max(tools, 1):
            self._find("NO_SUCH_TOOL", f"T{words['T']:g}: this machine has {tools} tool(s)")

    def _move(self, words: Mapping[str, float]) -> None:
        limits, state = self._limits, self._state
        if limits.process != "fdm" and state.motion != "G0" and not state.fed:
            self._find("NO_FEED", "a cut before any feed rate is set")
        if limits.process == "mill" and state.motion != "G0" and not state.spindle:
            self._find("SPINDLE_OFF", "a cut while the spindle is off", warn=True)
        for name, value in self._envelope.move(words, state.motion):
            self._beyond(name, value)

    def _beyond(self, axis: str, value: float) -> None:
        self._find("OUT_OF_BOUNDS", f"{axis} {value:g} mm {self._envelope.bound(axis)}", axis)

    def _left_on(self) -> None:
        for what, target in self._state.targets.items():
            if target > 0:
                self._find("HEAT_LEFT_ON", f"the {what} is left at {target:g} °C", what, warn=True)
        if self._state.spindle:
            self._find("SPINDLE_LEFT_ON", "spindle or laser is left on", warn=True)

    def _find(self, code: str, message: str, key: str = "", *, warn: bool = False) -> None:
        known = self._found.get((code, key))
        if known is not None:
            known.times += 1
            return
        severity = Severity.WARNING if warn else Severity.ERROR
        self._found[code, key] = Finding(
            line=self._lines, code=code, severity=severity, message=message
        )

    def _count_unknown(self, code: str) -> None:
        line, times = self._unknown.get(code, (self._lines, 0))
        if times or len(self._unknown) < MOST_UNKNOWN:
            self._unknown[code] = line, times + 1


def _least(*values: float | None) -> float | None:
    known = [float(value) for value in values if value is not None]
    return min(known) if known else None

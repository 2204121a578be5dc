"""Marlin's words: lines to meanings, commands to numbered lines. Pure.

Seen on Marlin 2.0.x. An ``ok`` is not always alone (``ok N2 P15 B3``, ``ok T:19.37 /0.00``),
and it says only that a line was taken, never that the machine obeyed.
"""

import re
from dataclasses import dataclass

LONGEST_COMMAND = 90
"""Marlin's MAX_CMD_SIZE is 96, number and checksum included."""


@dataclass(frozen=True, slots=True)
class Ok:
    """A line was taken. With ADVANCED_OK: its number, free planner and command buffers."""

    line: int | None = None
    planner_free: int | None = None
    buffers_free: int | None = None
    temperatures: "Temperatures | None" = None


@dataclass(frozen=True, slots=True)
class Resend:
    """The firmware wants this line number next and has thrown its input away."""

    line: int


@dataclass(frozen=True, slots=True)
class LineRefused:
    """The first of the three lines of a refused line (checksum, number)."""

    text: str


@dataclass(frozen=True, slots=True)
class Halted:
    """``kill()``: the firmware will answer nothing more."""

    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Any other ``Error:`` line."""

    text: str


@dataclass(frozen=True, slots=True)
class Busy:
    """A keep-alive: ``processing``, ``paused for user``, ``paused for input``."""

    why: str


@dataclass(frozen=True, slots=True)
class Temperatures:
    """One report in °C, by channel name. ``waiting``: the firmware waits for heat."""

    actual: dict[str, float]
    target: dict[str, float]
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """``M114``: where the plan ends (mm), and the steps counted so far."""

    x: float
    y: float
    z: float
    e: float
    count: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Capability:
    """One ``Cap:`` line of M115."""

    name: str
    present: bool


@dataclass(frozen=True, slots=True)
class Firmware:
    """``FIRMWARE_NAME`` of M115."""

    name: str
    native: str


@dataclass(frozen=True, slots=True)
class HostAction:
    """``//action:...``: the firmware asks the host for something."""

    action: str


@dataclass(frozen=True, slots=True)
class Started:
    """The firmware has just booted."""


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """The firmware does not know a command; an ``ok`` follows all the same."""

    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Anything else."""

    text: str


Meaning = (
    Ok
    | Resend
    | LineRefused
    | Halted
    | Trouble
    | Busy
    | Temperatures
    | Position
    | Capability
    | Firmware
    | HostAction
    | Started
    | UnknownCommand
    | Remark
)

_OK = re.compile(r"ok(?: N(\d+))?(?: P(\d+))?(?: B(\d+))?(?= |$)")
_RESEND = re.compile(r"(?:Resend|rs):? ?N?(\d+)")
_HEAT = re.compile(r"(?<![A-Z@])(T\d?|B|C):(-?\d+(?:\.\d+)?)(?: ?/ ?(-?\d+(?:\.\d+)?))?")
_POSITION = re.compile(
    r"X:(-?[\d.]+) Y:(-?[\d.]+) Z:(-?[\d.]+) E:(-?[\d.]+)(?: E\d:-?[\d.]+)* Count:? ([XYZ:\-\d ]+)"
)
_CAPABILITY = re.compile(r"Cap:(\w+):([01])")
_FIRMWARE = re.compile(r"FIRMWARE_NAME:(.+?)(?: \w+_?\w*:|$)")
_REFUSALS = (
    "checksum mismatch", "line number is not", "no checksum", "no line number",  # Marlin
    "wrong checksum", "missing checksum", "expected line", "format error",  # Repetier
)  # fmt: skip
_DEADLY = ("kill() called", "Printer halted", "Printer stopped")
_HARMLESS = ("volume.init", "openRoot", "workDir", "open failed", "cannot open")
"""Of a card that nobody uses."""
_CHANNELS = {"T": "hotend0", "B": "bed", "C": "chamber"}


def checksum(body: str) -> int:
    """XOR of the bytes before the asterisk."""
    total = 0
    for byte in body.encode("ascii", errors="replace"):
        total ^= byte
    return total


def framed(number: int, command: str) -> bytes:
    """``framed(3, "T0") == b"N3 T0*57\\n"``."""
    body = f"N{number} {command}"
    return f"{body}*{checksum(body)}\n".encode("ascii", errors="replace")


def parse(line: str) -> Meaning:
    """The meaning of one line. Never raises: what is not understood is a ``Remark``."""
    if line.startswith("ok") and (match := _OK.match(line)):
        return _ok(line, match)
    text = line.strip()
    if match := _RESEND.match(text):
        return Resend(int(match[1][:9]))
    if text.startswith("Error:"):
        return _error(text[6:].strip())
    if text.startswith("echo:busy:"):
        return Busy(text[10:].strip())
    if text.startswith("//action:"):
        return HostAction(text[9:].strip())
    if text == "start":
        return Started()
    if text.startswith("Emergency Stop!"):  # RepRapFirmware
        return Halted(text)
    if text.startswith(("T:", "T0:", "B:")) and (report := temperatures(text)):
        return report
    return _rest(text)


def temperatures(text: str) -> Temperatures | None:
    """A temperature report somewhere in a line, or ``None``."""
    actual: dict[str, float] = {}
    target: dict[str, float] = {}
    for key, now, wanted in _HEAT.findall(text):
        channel = _CHANNELS.get(key) or f"hotend{key[1:]}"
        actual[channel] = float(now)
        if wanted:
            target[channel] = float(wanted)
    return Temperatures(actual, target, waiting=" W:" in text) if actual else None


def _ok(line: str, match: re.Match[str]) -> Ok:
    number, planner, buffers = (int(part[:9]) if part else None for part in match.groups())
    heat = temperatures(line) if len(line) > match.end() else None
    return Ok(number, planner, buffers, heat)


def _error(text: str) -> Meaning:
    if text.lower().startswith(_REFUSALS):
        return LineRefused(text)
    if any(word in text for word in _DEADLY):
        return Halted(text)
    if text.lower().startswith("unknown command"):
        return UnknownCommand(text)
    return Remark(text) if any(word in text for word in _HARMLESS) else Trouble(text)


def _rest(text: str) -> Meaning:
    if match := _CAPABILITY.fullmatch(text):
        return Capability(match[1], match[2] == "1")
    if match := _FIRMWARE.match(text):
        return Firmware(match[1].strip(), text)
    if text.startswith("echo:Unknown command:"):
        return UnknownCommand(text[21:].strip())
    if match := _POSITION.match(text):
        return _position(match)
    return Remark(text)


def _position(match: re.Match[str]) -> Meaning:
    try:
        x, y, z, e = (float(match[i]) for i in range(1, 5))
    except ValueError:
        return Remark(match[0])
    steps = tuple(int(n) for n in re.findall(r"-?\d+", match[5]))
    return Position(x, y, z, e, steps)

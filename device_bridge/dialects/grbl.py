"""GRBL 1.1's words: lines to meanings. Pure. Real-time bytes are answered outside the queue."""

import re
from dataclasses import dataclass

STATUS = b"?"
HOLD = b"!"
RESUME = b"~"
RESET = b"\x18"
LONGEST_COMMAND = 70
"""Grbl's LINE_BUFFER_SIZE is 80."""

ERRORS = {
    1: "expected a command letter",
    2: "bad number format",
    3: "invalid $ statement",
    5: "homing is not enabled",
    8: "not idle",
    9: "locked out during alarm or jog",
    10: "soft limits need homing",
    11: "line overflow",
    15: "jog target exceeds travel",
    20: "unsupported command",
    21: "modal group violation",
    22: "undefined feed rate",
    23: "command needs an integer",
    33: "invalid motion target",
    36: "unused words in block",
}
ALARMS = {
    1: "hard limit",
    2: "soft limit",
    3: "abort during cycle",
    4: "probe fail",
    5: "probe fail",
    6: "homing fail: reset",
    7: "homing fail: door",
    8: "homing fail: pull off",
    9: "homing fail: approach",
    11: "homing required",
}


@dataclass(frozen=True, slots=True)
class Ok:
    """The oldest line in flight was taken."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The oldest line in flight was refused: ``error:n``."""

    code: int

    @property
    def text(self) -> str:
        """With the meaning where it is known."""
        return f"error:{self.code} ({ERRORS.get(self.code, 'see the firmware')})"


@dataclass(frozen=True, slots=True)
class Alarm:
    """``ALARM:n``: motion ended, the machine is locked."""

    code: int

    @property
    def text(self) -> str:
        """With the meaning where it is known."""
        return f"ALARM:{self.code} ({ALARMS.get(self.code, 'see the firmware')})"


@dataclass(frozen=True, slots=True)
class Status:
    """``<Run|MPos:...|Bf:..|FS:..>``. Lengths mm, feed mm/min as reported."""

    state: str
    substate: int | None
    position: tuple[float, ...] | None = None
    planner_free: int | None = None
    rx_free: int | None = None
    feed_mm_min: float | None = None
    spindle_rpm: float | None = None
    override_pct: float | None = None

    @property
    def held(self) -> bool:
        """A hold that is complete: only now is a resume obeyed."""
        return self.state == "Hold" and self.substate in (0, None)


@dataclass(frozen=True, slots=True)
class Banner:
    """The firmware has just been reset."""

    text: str


@dataclass(frozen=True, slots=True)
class Version:
    """``[VER:...]``"""

    text: str


@dataclass(frozen=True, slots=True)
class Options:
    """``[OPT:flags,planner blocks,receive buffer]``"""

    flags: str
    planner: int
    rx: int


@dataclass(frozen=True, slots=True)
class Fact:
    """Any other ``[KEY:value]`` of ``$I`` or grblHAL's ``$I+``: FIRMWARE, NEWOPT, AXS ..."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of ``$$``."""

    key: int
    value: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Anything else."""

    text: str


Meaning = Ok | Refused | Alarm | Status | Banner | Version | Options | Fact | Setting | Remark

_CODE = re.compile(r"(error|ALARM):(\d{1,4})")
_OPTIONS = re.compile(r"\[OPT:([^,\]]*),(\d{1,4}),(\d{1,5})")
_FACT = re.compile(
    r"\[(FIRMWARE|NEWOPT|AXS|DRIVER|DRIVER VERSION|BOARD|COMPATIBILITY LEVEL):([^\]]*)\]"
)
_SETTING = re.compile(r"\$(\d{1,4})=(\S+)")
_STATES = frozenset({
    "Idle", "Run", "Hold", "Jog", "Alarm", "Door", "Check", "Home", "Sleep", "Tool",
})  # fmt: skip


def parse(line: str) -> Meaning:
    """The meaning of one line. Never raises: what is not understood is a ``Remark``."""
    text = line.strip()
    if text == "ok":
        return Ok()
    if text.startswith("<") and text.endswith(">"):
        return _status(text)
    if match := _CODE.fullmatch(text):
        return Refused(int(match[2])) if match[1] == "error" else Alarm(int(match[2]))
    if text.startswith("Grbl") and "[" in text:
        return Banner(text)
    if text.startswith("[VER:"):
        return Version(text[5:].rstrip("]"))
    if match := _OPTIONS.match(text):
        return Options(match[1], int(match[2]), int(match[3]))
    if match := _FACT.fullmatch(text):
        return Fact(match[1], match[2])
    if match := _SETTING.match(text):
        return Setting(int(match[1]), match[2])
    return Remark(text)


def _status(text: str) -> Meaning:
    head, *fields = text[1:-1].split("|")
    state, _, sub = head.partition(":")
    if state not in _STATES:
        return Remark(text)
    found = {key: numbers for key, numbers in map(_field, fields) if numbers}
    buffers, feed, over = (found.get(key, ()) for key in ("Bf", "FS", "Ov"))
    feed = feed or found.get("F", ())
    return Status(
        state=state,
        substate=int(sub) if sub.isascii() and sub.isdigit() else None,
        position=found.get("MPos") or found.get("WPos"),
        planner_free=int(buffers[0]) if len(buffers) == 2 else None,
        rx_free=int(buffers[1]) if len(buffers) == 2 else None,
        feed_mm_min=feed[0] if feed else None,
        spindle_rpm=feed[1] if len(feed) > 1 else None,
        override_pct=over[0] if over else None,
    )


def _field(field: str) -> tuple[str, tuple[float, ...]]:
    key, _, values = field.partition(":")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError:
        return key, ()
    return key, numbers if all(abs(number) < 1e9 for number in numbers) else ()

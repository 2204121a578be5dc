"""What a program may say to a machine. The check of an order and the bridge read the same rules."""

import re
from collections.abc import Mapping
from typing import Final

OWN_SETTINGS: Final = frozenset({
    "M28", "M92", "M206", "M211", "M301", "M303", "M304", "M428", "M500", "M502", "M504", "M575",
    "M665", "M666", "M851", "M928", "M997",
})  # fmt: skip
"""They change what the machine keeps for every later program: steps, offsets, limits, firmware."""
DRIVERS_OWN: Final = frozenset({"M23", "M24", "M32", "M108", "M112", "M410", "M999"})
"""Stops, queue jumpers and programs of the machine's own card: only the driver gives them."""
FORBIDDEN: Final = OWN_SETTINGS | DRIVERS_OWN
LONGEST_COMMAND: Final[Mapping[str, int]] = {"fdm": 90, "mill": 70, "laser": 70}
"""Characters that the firmware of a process takes in one line, by process."""

_COMMENT: Final = re.compile(r"\([^)]*\)|;.*")
_NUMBERED: Final = re.compile(r"^[Nn]\d+\s*")
_SUSPECT: Final = re.compile(r"[Mm$!?~\x00-\x08\x0b-\x1f\x7f]")
_MESSAGE: Final = re.compile(r"[Mm]\s*0*11[78](?!\d)")
_REALTIME: Final = re.compile(r"[!?~\x00-\x08\x0b-\x1f\x7f]")
"""Grbl obeys these bytes wherever they stand in a line, and before any line that waits."""
_MISCELLANEOUS: Final = re.compile(r"[Mm]\s*(\d+(?:\.\d+)?)")


def clean(raw: str) -> str:
    """One command without comment, line number and checksum; empty when nothing is left."""
    text = _COMMENT.sub("", raw) if ";" in raw or "(" in raw else raw
    return _NUMBERED.sub("", text.split("*", 1)[0].strip()).strip()


def is_message(command: str) -> bool:
    """``M117`` and ``M118``: what follows is text for people."""
    return _MESSAGE.match(command) is not None


def forbidden(command: str) -> str:
    """The first thing in a clean command that no program may hold; empty when there is none.

    Firmware reads ``M112``, ``M 112``, ``M0112`` and ``M112S1`` alike, and so does this.
    """
    if not _SUSPECT.search(command) or is_message(command):
        return ""
    if command.startswith("$"):
        return "" if command.upper() == "$H" else command.upper().split("=")[0]
    if found := _REALTIME.search(command):
        return found[0] if found[0].isprintable() else f"character {ord(found[0])}"
    codes = (f"M{float(number):g}" for number in _MISCELLANEOUS.findall(command))
    return next((code for code in codes if code in FORBIDDEN), "")

"""Faults on purpose, by plan."""

from dataclasses import dataclass
from typing import Any

from device_bridge.errors import DeviceError

KINDS = frozenset({
    "alarm", "blind", "checksum", "cold", "deaf", "error", "flood", "lost_ok", "mute", "runaway",
    "runout", "stall", "thermal", "unplug",
})  # fmt: skip
"""``cold``: the hot end heats no more; ``runaway``: it heats whatever it is told; ``blind``: no
more temperature reports; ``deaf``: no emergency parser, and a board that restarts whenever its
port is opened; ``flood``: 500 of them a second; ``stall``: no line is taken any more
while status reports go on."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """``kind`` strikes at the ``at_line``-th accepted line of a program, ``times`` times.

    ``every`` makes it strike again after so many lines. ``for_s``: how long an unplugged
    cable stays out.
    """

    kind: str
    at_line: int
    every: int = 0
    times: int = 1
    for_s: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DeviceError(f"unknown fault {self.kind}", field="kind")


class FaultPlan:
    """Says which faults strike at which line; each strike is used up."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        self._faults = [Fault(**fault) for fault in faults]

    def add(self, kind: str) -> None:
        """One that strikes at the next chance."""
        self._faults.append(Fault(kind=kind, at_line=0))

    def strike(self, kind: str, line: int) -> Fault | None:
        """The fault of this kind that strikes now, if any."""
        for fault in self._faults:
            if fault.kind != kind or fault.times <= 0 or line < fault.at_line:
                continue
            fault.times -= 1
            fault.at_line = line + fault.every if fault.every else fault.at_line
            return fault
        return None

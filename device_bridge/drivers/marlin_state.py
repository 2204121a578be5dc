"""What a Marlin printer has said of itself."""

import asyncio
import re

from device_bridge.dialects import marlin
from device_bridge.drivers.state import MachineState
from device_bridge.protocols import (
    DeviceIdentity,
)
from domain.node.states import Execution

RUNOUT_ACTIONS = ("out_of_filament", "filament_runout", "paused filament_runout")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_CORNER = rf"\{{x:{_NUMBER},y:{_NUMBER},z:{_NUMBER}\}}"
AREA = re.compile(rf"area:.*work:\{{min:{_CORNER},max:{_CORNER}")
"""M115 of a firmware with ``M115_GEOMETRY_REPORT``: where the tool may work, in mm."""


class MarlinState(MachineState):
    """Folds meanings into status, readings and capabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities: dict[str, bool | int | float | str] = {}
        self.position: marlin.Position | None = None
        self.waiting_for_user = False
        self.halted = asyncio.Event()
        self.halt_text = ""
        self._trouble = ""
        self.remarks: list[str] = []
        self.buffers_free: int | None = None
        self._firmware = marlin.Firmware("Marlin", "")

    def forget(self) -> None:
        """Before a handshake: nothing said earlier counts."""
        self.halted.clear()
        self.halt_text = ""
        self._trouble = ""
        self.waiting_for_user = False
        self.capabilities.clear()
        self.buffers_free = None

    def identity(self) -> DeviceIdentity:
        """What M115 told."""
        return DeviceIdentity(
            firmware=self._firmware.name,
            dialect="marlin",
            capabilities=dict(self.capabilities),
            native=(self._firmware.native,),
        )

    def hear(self, meaning: marlin.Meaning) -> None:
        """Fold one meaning."""
        match meaning:
            case marlin.Ok():
                self._ok(meaning)
            case marlin.Temperatures():
                self._heat(meaning)
            case marlin.Busy(why) if why.startswith("paused"):
                self._paused(why)
            case marlin.Position():
                self._at(meaning)
            case marlin.Capability(name, present):
                self.capabilities[name] = present
            case marlin.Firmware():
                self._firmware = meaning
            case marlin.HostAction(action):
                self._asked(action)
            case marlin.Halted(text):
                self._halt(text)
            case marlin.Trouble(text):
                self._trouble = text
                self.warn(type="SYSTEM", code="ERROR", text=text)
            case marlin.Remark(text) if area := AREA.match(text):
                low, high = area.groups()[:3], area.groups()[3:]
                for axis, least, most in zip("XYZ", low, high, strict=True):
                    self.capabilities[f"TRAVEL_{axis}"] = float(most) - float(least)
            case marlin.Remark(text) | marlin.UnknownCommand(text):
                self.remarks = [*self.remarks[-49:], text]

    def _ok(self, ok: marlin.Ok) -> None:
        if ok.temperatures is not None:
            self._heat(ok.temperatures)
        if ok.buffers_free is not None:
            self.buffers_free = ok.buffers_free
        if ok.planner_free is not None:
            self.metrics["planner_free"] = float(ok.planner_free)

    def _heat(self, report: marlin.Temperatures) -> None:
        readings = {f"temperature.{name}.actual_c": t for name, t in report.actual.items()}
        targets = {f"temperature.{name}.target_c": t for name, t in report.target.items()}
        self.measured({**readings, **targets})

    def _at(self, position: marlin.Position) -> None:
        self.position = position
        self.metrics |= {
            "position.x_mm": position.x,
            "position.y_mm": position.y,
            "position.z_mm": position.z,
        }

    def _paused(self, why: str) -> None:
        self.waiting_for_user = True
        self.become(self.status.but(execution=Execution.INTERRUPTED))
        if not self.status.conditions:
            self.warn(type="SYSTEM", code="WAITING_FOR_USER", text=f"the printer is {why}")

    def _asked(self, action: str) -> None:
        if action in RUNOUT_ACTIONS:
            self.warn(type="SYSTEM", code="RUNOUT", text="the filament ran out")

    def _halt(self, text: str) -> None:
        """A kill prints the cause first and ``Printer halted`` second: the cause is kept."""
        self.halt_text = f"{self._trouble}; {text}" if self._trouble else text
        kind = "TEMPERATURE" if _thermal(self._trouble) else "SYSTEM"
        halted = self.status.but(execution=Execution.STOPPED, conditions=())
        self.become(halted.with_fault(type=kind, code="HALTED", text=self.halt_text))
        self.halted.set()


def _thermal(text: str) -> bool:
    return any(word in text.lower() for word in ("thermal", "heating", "temp"))

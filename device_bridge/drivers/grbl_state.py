"""What a GRBL machine has said of itself."""

import asyncio

from device_bridge.dialects import grbl
from device_bridge.drivers.state import MachineState
from device_bridge.protocols import (
    DeviceIdentity,
    DeviceStatus,
)
from domain.node.states import Availability, EmergencyStop, Execution

EXECUTIONS = {
    "Idle": Execution.READY,
    "Run": Execution.ACTIVE,
    "Jog": Execution.ACTIVE,
    "Home": Execution.ACTIVE,
    "Tool": Execution.WAIT,
    "Door": Execution.INTERRUPTED,
    "Check": Execution.READY,
    "Sleep": Execution.STOPPED,
    "Alarm": Execution.STOPPED,
}
MEASURES = {30: "MAX_S", 130: "TRAVEL_X", 131: "TRAVEL_Y", 132: "TRAVEL_Z"}
"""Settings that say how fast and how far: highest S word, travel in mm."""


class GrblState(MachineState):
    """Folds meanings into status, readings and capabilities.

    ``running``: a program runs, so that an ``Idle`` between two moves is still ACTIVE.
    """

    def __init__(self) -> None:
        super().__init__()
        self.capabilities: dict[str, bool | int | float | str] = {}
        self.report: grbl.Status | None = None
        self.running = False
        self.reported = asyncio.Event()
        self.restarted = asyncio.Event()
        self.stop_text = ""
        self.rx = 128
        self.remarks: list[str] = []
        self._version = "Grbl"

    def identity(self) -> DeviceIdentity:
        """What ``$I`` and ``$$`` told."""
        name = self.capabilities.get("FIRMWARE", "Grbl")
        return DeviceIdentity(
            firmware=f"{name} {self._version}",
            dialect="grbl",
            capabilities=dict(self.capabilities),
            native=(self._version,),
        )

    def hear(self, meaning: grbl.Meaning) -> None:
        """Fold one meaning."""
        match meaning:
            case grbl.Status():
                self._reported(meaning)
            case grbl.Alarm():
                self._alarmed(meaning.text)
            case grbl.Banner(text):
                self.stop_text = self.stop_text or text
                self.restarted.set()
            case grbl.Version(text):
                self._version = text
            case grbl.Options(flags, planner, rx):
                self.rx = rx
                self.capabilities |= {"OPT": flags, "PLANNER": planner, "RX": rx}
            case grbl.Fact(key, value):
                self.capabilities[key] = value
            case grbl.Setting(key, value):
                self._setting(key, value)
            case grbl.Remark(text):
                self.remarks = [*self.remarks[-49:], text]

    def ready(self) -> None:
        """The handshake is done."""
        status = DeviceStatus(
            availability=Availability.AVAILABLE,
            execution=Execution.READY,
            emergency_stop=self.status.emergency_stop,
        )
        self.become(status)
        if self.report is not None:
            self._reported(self.report)

    def _reported(self, report: grbl.Status) -> None:
        self.report = report
        self.reported.set()
        self._measure(report)
        if self.status.availability is not Availability.AVAILABLE:
            return
        execution = self._execution(report)
        status = self.status.but(execution=execution)
        if report.state == "Alarm" and not status.conditions:
            status = status.with_fault(type="SYSTEM", code="ALARM", text="the machine is locked")
        self.become(status)

    def _execution(self, report: grbl.Status) -> Execution:
        if self.status.emergency_stop is EmergencyStop.TRIGGERED:
            return Execution.STOPPED
        if report.state == "Hold":
            return Execution.FEED_HOLD if report.held else Execution.ACTIVE
        if report.state == "Idle" and self.running:
            held = self.status.execution is Execution.FEED_HOLD
            return Execution.FEED_HOLD if held else Execution.ACTIVE
        if report.state == "Idle" and self.status.execution is Execution.PROGRAM_COMPLETED:
            return Execution.PROGRAM_COMPLETED
        return EXECUTIONS[report.state]

    def _alarmed(self, text: str) -> None:
        self.stop_text = text
        stopped = self.status.but(execution=Execution.STOPPED, conditions=())
        self.become(stopped.with_fault(type="SYSTEM", code=text.split(" ", 1)[0], text=text))

    def _setting(self, key: int, value: str) -> None:
        if key == 32:
            self.capabilities["LASER_MODE"] = value == "1"
        elif key == 22:
            self.capabilities["HOMING"] = value != "0"
        elif key in MEASURES:
            try:
                self.capabilities[MEASURES[key]] = float(value)
            except ValueError:
                self.remarks.append(f"${key}={value}")

    def _measure(self, report: grbl.Status) -> None:
        readings: dict[str, float] = {}
        if report.position is not None:
            names = ("position.x_mm", "position.y_mm", "position.z_mm")
            readings.update(zip(names, report.position, strict=False))
        if report.feed_mm_min is not None:
            readings["feedrate_mm_s"] = report.feed_mm_min / 60
        optional = {
            "spindle_rpm": report.spindle_rpm,
            "planner_free": report.planner_free,
            "rx_free": report.rx_free,
            "override_feed_pct": report.override_pct,
        }
        readings.update(
            {name: float(value) for name, value in optional.items() if value is not None}
        )
        self.measured(readings)

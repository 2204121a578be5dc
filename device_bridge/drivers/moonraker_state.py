"""What a Klipper printer has said of itself."""

import asyncio
from typing import Any

from device_bridge.dialects import klipper, moonraker
from device_bridge.dialects.remote_job import RemoteJob
from device_bridge.drivers.state import MachineState
from device_bridge.protocols import DeviceIdentity
from domain.node.states import EmergencyStop

REMARKS_KEPT = 50
STILL_MM_S = 0.01


class MoonrakerState(MachineState):
    """Folds printer objects and console lines into status, readings and capabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: moonraker.Objects = {}
        self.remarks: list[str] = []
        self.halted = asyncio.Event()
        self.halt_text = ""
        self.latched = False
        self._server: dict[str, Any] = {}
        self._host: dict[str, Any] = {}

    @property
    def job(self) -> RemoteJob:
        """The file on the machine, as it was last reported."""
        return klipper.job_of(self.objects)

    @property
    def moving(self) -> bool:
        """Whether the machine says that its tool moves; one that cannot say so stands still."""
        velocity = self.objects.get("motion_report", {}).get("live_velocity")
        return abs(moonraker.number(velocity) or 0.0) > STILL_MM_S

    def forget(self) -> None:
        """Before a handshake: nothing said earlier counts."""
        self.objects = {}
        self.halted.clear()
        self.halt_text = ""

    def introduce(self, server: Any, host: Any) -> None:
        """Answers of ``server.info`` and ``printer.info``."""
        self._server = server if isinstance(server, dict) else {}
        self._host = host if isinstance(host, dict) else {}

    def identity(self) -> DeviceIdentity:
        """Who answered, and what this Klipper was built with."""
        parts = self._server.get("components")
        components = parts if isinstance(parts, list) else []
        heaters = [name for name in self.objects if klipper.heater_channel(name)]
        server = str(self._server.get("moonraker_version", ""))
        return DeviceIdentity(
            firmware=f"Klipper {self._host.get('software_version', '')}".strip(),
            dialect="moonraker",
            capabilities={
                "MOONRAKER": server,
                "HOSTNAME": str(self._host.get("hostname", "")),
                "HISTORY": "history" in components,
                "MOTION_REPORT": "motion_report" in self.objects,
                "HEATERS": ",".join(sorted(heaters)),
            },
        )

    def hear(self, meaning: moonraker.Meaning) -> None:
        """Fold one meaning."""
        match meaning:
            case moonraker.StatusUpdate(update):
                self.fold(update)
            case moonraker.GcodeResponse(text):
                self.remarks = [*self.remarks[1 - REMARKS_KEPT :], text]
                if meaning.stopped:
                    self.halt(text)
            case moonraker.KlippyShutdown():
                self.halt("notify_klippy_shutdown")

    def fold(self, update: moonraker.Objects) -> None:
        """Changed fields of printer objects."""
        self.objects = moonraker.folded(self.objects, update)
        status = klipper.status_of(self.objects)
        if self.latched:
            status = status.but(emergency_stop=EmergencyStop.TRIGGERED)
        if self.objects.get("webhooks", {}).get("state") == "shutdown":
            self.halt(status.conditions[0].text)
        self.become(status)
        # Klipper tells what changed: a heater that it passes over is as it was, and not blind
        heaters = [name for name in self.objects if update and klipper.heater_channel(name)]
        if metrics := klipper.readings(self.objects, [*update, *heaters]):
            self.measured(metrics)

    def halt(self, text: str) -> None:
        """Klipper says that it halted; its first words are kept."""
        self.halt_text = self.halt_text or text
        self.halted.set()

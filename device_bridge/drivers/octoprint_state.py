"""What one OctoPrint has said of its printer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from device_bridge.dialects import octoprint, octoprint_view
from device_bridge.dialects.remote_job import RemoteJob
from device_bridge.drivers.state import MachineState
from domain.node.states import EmergencyStop


class OctoPrintState(MachineState):
    """Folds what is pushed into status and readings; what is repeated is not told again."""

    def __init__(self) -> None:
        super().__init__()
        self.view = octoprint.View()
        self.told = asyncio.Event()
        self.halted = asyncio.Event()
        self.halt_text = ""
        self.latched = False

    @property
    def job(self) -> RemoteJob:
        """The file on the printer, as it was last reported."""
        return octoprint_view.job_of(self.view)

    def forget(self) -> None:
        """Before a handshake: nothing said earlier counts."""
        self.view = octoprint.View()
        self.told.clear()
        self.metrics.clear()
        self.expect_halt()

    def expect_halt(self) -> None:
        """From now on a word of a stop is the word of this one."""
        self.view = octoprint.unstopped(self.view)
        self.halted.clear()
        self.halt_text = ""

    def hear(self, message: Mapping[str, Any]) -> None:
        """One pushed message."""
        self.become_view(octoprint.folded(self.view, message))
        if octoprint.is_state(message):
            self.told.set()

    def become_view(self, view: octoprint.View) -> None:
        """Take a view and tell what is new in it."""
        before, self.view = self.view, view
        if octoprint_view.halted_by_stop(view):
            self.halt(view.error)
        if octoprint.away(view) or not view.state:
            return
        status = octoprint_view.status_of(view)
        if self.latched:
            status = status.but(emergency_stop=EmergencyStop.TRIGGERED)
        self.become(status)
        if before.readings != view.readings:
            self.metrics.clear()
            self.measured(dict(view.readings))

    def halt(self, text: str) -> None:
        """OctoPrint says that it sent the stop."""
        self.halt_text = text or "OctoPrint sent M112 to the printer"
        self.halted.set()

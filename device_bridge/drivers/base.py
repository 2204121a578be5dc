"""What every driver has: a state, at most one run, at most one stop receipt."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Generic, TypeVar

from device_bridge import gcode
from device_bridge.drivers.run import Run
from device_bridge.drivers.state import MachineState
from device_bridge.errors import (
    DeviceError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
)
from device_bridge.protocols import (
    Beginning,
    DeviceEvent,
    DeviceStatus,
    EStopReceipt,
    JobSpec,
    Listener,
    Progressed,
)
from domain.node.states import Availability, EmergencyStop, Execution

State = TypeVar("State", bound=MachineState)


class Driver(Generic[State]):
    """The half of ``DeviceDriver`` that no dialect changes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._run: Run | None = None
        self._receipt: EStopReceipt | None = None

    def get_status(self) -> DeviceStatus:
        """The last known status."""
        return self._state.status

    def listen(self, listener: Listener) -> None:
        """Have every later event told to ``listener``."""
        self._state.listen(listener)

    def events(self) -> AsyncIterator[DeviceEvent]:
        """The same events to iterate over."""
        return self._state.events()

    @property
    def _triggered(self) -> bool:
        return self._state.status.emergency_stop is EmergencyStop.TRIGGERED

    @property
    def _running(self) -> bool:
        return self._run is not None and not self._run.over

    def _require_run(self) -> Run:
        if self._run is None or self._run.over:
            raise MachineBusyError("no program is running")
        return self._run

    def _still(self, run: Run) -> None:
        """A program that ended while the machine was asked to hold is not held."""
        if run.over:
            raise MachineBusyError("the program ended before the machine held")

    def _require_free(self) -> None:
        if self._triggered:
            raise EmergencyLatchedError("the emergency stop is latched")
        if self._state.status.availability is not Availability.AVAILABLE:
            raise LinkLostError("the machine is not connected")
        if self._running:
            raise MachineBusyError("a program is running already")

    def _require_ready(self) -> None:
        """Raise when no program may begin now; a dialect adds its own reasons."""
        self._require_free()

    async def _survey(
        self, job: JobSpec, *, longest: int, beginning: Beginning | None
    ) -> gcode.Survey:
        """Everything that can refuse a program, in this order; afterwards bytes may be written."""
        self._require_ready()
        survey = await asyncio.to_thread(gcode.survey, job.program, longest=longest)
        self._require_ready()
        if beginning is not None:
            await beginning()
            self._require_ready()
        return survey

    def _latch(self) -> None:
        self._state.become(self._state.status.but(emergency_stop=EmergencyStop.TRIGGERED))

    def _receive(self, started: float, *, confirmed: bool, text: str) -> EStopReceipt:
        self._receipt = EStopReceipt(
            confirmed=confirmed, latency_ms=(monotonic() - started) * 1000, native_text=text
        )
        return self._receipt

    def _count(self, command: str) -> bool:
        """One program command was taken; True when it was the last."""
        run = self._run
        if run is None or run.over:
            return False
        run.taken(command)
        self._state.tell(
            Progressed(
                build_id=run.build_id, lines_done=run.lines_done, lines_total=run.lines_total
            )
        )
        return run.complete

    def _end_run(self, outcome: str, *, reason: str, text: str) -> None:
        if self._run is not None and not self._run.over:
            self._run.held = True
            cause = "EMERGENCY_STOP" if self._triggered else reason
            self._run.end(outcome, reason=cause, native_text=text)

    def _unreachable(self, error: DeviceError) -> None:
        status = self._state.status.but(
            availability=Availability.UNAVAILABLE, execution=Execution.UNAVAILABLE
        )
        self._state.become(
            status.with_fault(type="COMMUNICATIONS", code=error.code, text=error.message)
        )

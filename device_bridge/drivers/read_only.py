"""What every driver has that only reads: a state it tells, and a refusal of everything else."""

from collections.abc import AsyncIterator, Iterable
from time import monotonic

from device_bridge.drivers.state import MachineState
from device_bridge.errors import DeviceError, UnsupportedError
from device_bridge.protocols import (
    Beginning,
    CalibrationResult,
    DeviceEvent,
    DeviceIdentity,
    DeviceStatus,
    EStopReceipt,
    JobSpec,
    LinkLost,
    Listener,
    RunHandle,
    RunResult,
    TelemetrySample,
)
from domain.node.states import Availability, Execution

NO_STOP = "this driver only reads: stop the machine by its own switch"


class ReadOnlyDriver:
    """The half of ``DeviceDriver`` that a sensor or a monitored machine needs not write again.

    A subclass adds ``connect`` and ``disconnect``, calls ``_available`` when it was answered and
    ``_lose`` when the link is gone, and hands readings to ``self._state.measured``.
    """

    def __init__(self) -> None:
        self._state = MachineState()

    def get_status(self) -> DeviceStatus:
        """The last known status."""
        return self._state.status

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        return TelemetrySample(mono_s=monotonic(), metrics=dict(self._state.metrics))

    def listen(self, listener: Listener) -> None:
        """Have every later event told to ``listener``."""
        self._state.listen(listener)

    def events(self) -> AsyncIterator[DeviceEvent]:
        """The same events to iterate over."""
        return self._state.events()

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it runs no program")

    async def pause(self) -> None:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it cannot pause")

    async def resume(self) -> None:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it cannot resume")

    async def cancel(self) -> RunResult:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it cannot cancel")

    async def emergency_stop(self) -> EStopReceipt:
        """Never confirmed: a stop of the whole fleet must not end at a thermometer."""
        return EStopReceipt(confirmed=False, latency_ms=0.0, native_text=NO_STOP)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: faults are cleared at the machine")

    async def calibrate(self, routine: str) -> CalibrationResult:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it calibrates nothing")

    async def heat_off(self) -> None:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("this driver only reads: it cannot switch heat off")

    def _available(self, execution: Execution = Execution.READY) -> None:
        status = DeviceStatus(availability=Availability.AVAILABLE, execution=execution)
        self._state.become(status)

    def _gone(self) -> None:
        """The link was given back on purpose."""
        self._state.become(DeviceStatus())

    def _lose(self, error: DeviceError) -> None:
        """The link is gone: told once, however often it is noticed."""
        if self._state.status.availability is Availability.AVAILABLE:
            self._tell_lost(error)

    def _tell_lost(self, error: DeviceError) -> None:
        """For who knows by itself that it was linked: a machine may be told to be unavailable
        over a link that stands."""
        lost = DeviceStatus().with_fault(type="COMMUNICATIONS", code=error.code, text=error.message)
        self._state.become(lost)
        self._state.tell(LinkLost(error))

    def _take_in(
        self, readings: dict[str, float], absent: Iterable[str], status: DeviceStatus
    ) -> None:
        """What was said: readings, channels that have no value now, and the status of it all."""
        for name in absent:
            self._state.metrics.pop(name, None)
        self._state.become(status)
        if readings:
            self._state.measured(readings)

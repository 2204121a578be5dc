"""Drivers that are bad on purpose, each with the checks that must catch it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.errors import LinkLostError
from device_bridge.machines import MachineConfig
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
from device_bridge.transports.choosing import transport_to
from domain.node.states import Availability, EmergencyStop, Execution

FINISHED = RunResult(outcome="finished", lines_done=1, lines_total=9, material_mm3=0)


class Liar:
    """Never touches the machine and claims whatever is asked for."""

    async def connect(self) -> DeviceIdentity:
        return DeviceIdentity(firmware="", dialect="")

    async def disconnect(self) -> None:
        raise KeyError("disconnect")

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        result: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        result.set_result(FINISHED)
        return RunHandle(build_id=job.build_id, lines_total=9, result=result)

    def get_status(self) -> DeviceStatus:
        return DeviceStatus(
            availability=Availability.AVAILABLE,
            execution="Idle",  # type: ignore[arg-type]
            emergency_stop=EmergencyStop.ARMED,
        )

    async def pause(self) -> None:
        return None

    async def resume(self) -> None:
        return None

    async def cancel(self) -> RunResult:
        return FINISHED

    async def emergency_stop(self) -> EStopReceipt:
        return EStopReceipt(confirmed=True, latency_ms=0.0, native_text="")

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        return await self.connect()

    async def calibrate(self, routine: str) -> CalibrationResult:
        return CalibrationResult(routine=routine, lines=())

    def get_telemetry(self) -> TelemetrySample:
        return TelemetrySample(mono_s=0.0, metrics={"temp": float("nan")})

    async def heat_off(self) -> None:
        raise ValueError("heat_off")

    def listen(self, listener: Listener) -> None:
        return None

    def events(self) -> AsyncIterator[DeviceEvent]:
        raise NotImplementedError


class Fault(MarlinPrinter):
    """A good driver with one thing wrong."""

    fails: ClassVar[tuple[str, ...]]
    patience_s: ClassVar[float] = 5.0

    @classmethod
    def of(cls, machine: MachineConfig) -> "Fault":
        """On the certifier's virtual machine."""
        return cls(transport_to(machine), boot_s=0.1)


class PausesAtOnce(Fault):
    """Says that it holds while the machine still moves and is fed."""

    fails = ("pause-holds",)

    async def pause(self) -> None:
        self._state.become(self._state.status.but(execution=Execution.INTERRUPTED))


class StartsTwice(Fault):
    """Sends every program a second time when it has ended."""

    fails = ("program-once",)

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        handle = await super().execute_job(job, beginning=beginning)
        handle.result.add_done_callback(lambda _: self._again(job))
        return handle

    def _again(self, job: JobSpec) -> None:
        self._task = asyncio.get_running_loop().create_task(super().execute_job(job))


class TakesASecond(Fault):
    """Forgets the program that runs when another comes."""

    fails = ("second-refused",)

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        self._run = None
        return await super().execute_job(job, beginning=beginning)


class StopsInTheQueue(Fault):
    """Sends its emergency stop behind everything else."""

    fails = ("stop-while-blocked",)

    async def emergency_stop(self) -> EStopReceipt:
        await asyncio.sleep(0.2)
        return await super().emergency_stop()


class ForgetsTheStop(Fault):
    """Is ready again as soon as the port was closed."""

    fails = ("stop-latches",)

    async def disconnect(self) -> None:
        await super().disconnect()
        self._state.become(DeviceStatus())


class KeepsTheHeat(Fault):
    """Leaves the heaters on."""

    fails = ("heat-off",)
    patience_s = 1.0

    async def heat_off(self) -> None:
        return None


class TellsTwice(Fault):
    """Tells a lost link twice."""

    fails = ("loss-told-once",)

    def _break(self, error: Any) -> None:
        super()._break(error)
        self._state.tell(LinkLost(LinkLostError("again")))


class Guesses(Fault):
    """Takes a lost link for the end of the program."""

    fails = ("loss-leaves-unknown",)

    def _end_run(self, outcome: str, *, reason: str, text: str) -> None:
        super()._end_run("finished", reason=reason, text=text)


class SendsAnything(Fault):
    """Writes before it has read the program."""

    fails = ("refuses-bad",)

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        self._wire.say("G28")
        await asyncio.sleep(0.05)
        return await super().execute_job(job, beginning=beginning)


class InventsReadings(Fault):
    """Says 0 for what it has not read, under a name without a unit."""

    fails = ("telemetry-absent", "telemetry-names")

    def get_telemetry(self) -> TelemetrySample:
        known = super().get_telemetry()
        return TelemetrySample(mono_s=known.mono_s, metrics={"temp": 0.0, **known.metrics})


class KeepsThePort(Fault):
    """Does not give the port back."""

    fails = ("gives-back",)

    async def disconnect(self) -> None:
        self._state.become(DeviceStatus())

    def __del__(self) -> None:
        self._transport.close()


FAULTS = (
    PausesAtOnce,
    StartsTwice,
    TakesASecond,
    StopsInTheQueue,
    ForgetsTheStop,
    KeepsTheHeat,
    TellsTwice,
    Guesses,
    SendsAnything,
    InventsReadings,
    KeepsThePort,
)

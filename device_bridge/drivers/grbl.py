"""Machines running GRBL 1.1 (mills, routers, lasers). Never tried on hardware."""

import asyncio
from time import monotonic

from device_bridge.certify.peers import mill_peer
from device_bridge.dialects import grbl
from device_bridge.drivers.base import Driver
from device_bridge.drivers.grbl_questions import HOLD_S, POLL_S, GrblQuestions
from device_bridge.drivers.grbl_state import GrblState
from device_bridge.drivers.grbl_wire import GrblWire
from device_bridge.drivers.run import Run
from device_bridge.drivers.spec import DriverSpec, Option, Quality
from device_bridge.errors import (
    BadProgramError,
    DeviceError,
    DeviceRefusedError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
    MachineHaltedError,
    NotHeldError,
)
from device_bridge.machines import MachineConfig
from device_bridge.protocols import (
    Beginning,
    CalibrationResult,
    DeviceDriver,
    DeviceIdentity,
    DeviceStatus,
    EStopReceipt,
    JobSpec,
    LinkLost,
    RunHandle,
    RunResult,
    TelemetrySample,
    Transport,
)
from device_bridge.transports.choosing import BYTE_SCHEMES, boot_s, transport_to
from domain.node.states import Availability, Execution

ROUTINES = {"home": "$H"}
RUNNING_S = 0.5
RESTING_S = 10.0
STOP_CONFIRM_S = 1.0


class GrblMachine(Driver[GrblState]):
    """A machine running GRBL 1.1 behind any transport."""

    continues_without_host = False

    def __init__(self, transport: Transport, *, boot_s: float = 0.5, laser: bool = False) -> None:
        super().__init__(GrblState())
        self._wire = GrblWire(transport, heard=self._hear, refused=self._refuse, broken=self._break)
        self._asking = GrblQuestions(self._wire, self._state)
        self._boot_s = boot_s
        self._laser = laser
        self._ending: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """``?``, then ``$I`` and ``$$`` if the machine rests. It is never reset by this."""
        if self._triggered:
            raise EmergencyLatchedError("the emergency stop must be cleared by a person first")
        self._state.running = False
        try:
            await self._wire.open(boot_s=self._boot_s)
            report = await self._asking.report()
            if report.state in {"Idle", "Alarm"}:
                await self._asking.probe()
        except BaseException:
            self._wire.close()
            raise
        self._state.ready()
        self._wire.report_every(RESTING_S)
        return self._state.identity()

    async def disconnect(self) -> None:
        """Give the port back; the machine is left as it is."""
        self._wire.close()
        self._state.become(DeviceStatus(emergency_stop=self._state.status.emergency_stop))

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Check the whole program, then begin to feed it."""
        survey = await self._survey(job, longest=grbl.LONGEST_COMMAND, beginning=beginning)
        run = Run(job, survey, longest=grbl.LONGEST_COMMAND, after=() if survey.ends else ("M30",))
        self._run = run
        self._state.running = True
        self._wire.source, self._wire.taken = run.next, self._taken
        self._state.become(self._state.status.but(execution=Execution.ACTIVE, conditions=()))
        self._wire.report_every(RUNNING_S)
        self._wire.pump()
        return run.handle

    async def pause(self) -> None:
        """``!``, then wait for ``Hold:0``: a hold that is still slowing down is none."""
        run = self._require_run()
        run.held = True
        if not await self._asking.hold():
            raise NotHeldError(f"the machine did not hold within {HOLD_S:.0f} s")
        self._still(run)
        self._state.become(self._state.status.but(execution=Execution.FEED_HOLD))

    async def resume(self) -> None:
        """``~``, only in ``Hold:0``: earlier the firmware swallows it and stays held."""
        run = self._require_run()
        report = await self._asking.report()
        if report.state == "Hold":
            if not await self._asking.hold():
                raise NotHeldError("the hold is not complete, a resume would be lost")
            await self._asking.leave_hold()
        self._still(run)
        run.held = False
        self._state.become(self._state.status.but(execution=Execution.ACTIVE))
        self._wire.pump()

    async def cancel(self) -> RunResult:
        """Hold, then a soft reset, which also stops the spindle."""
        run = self._require_run()
        run.held = True
        await self._asking.hold()
        await self._asking.reset()
        result = run.end("cancelled", reason="cancelled on request")
        self._rest(Execution.READY)
        return result

    async def heat_off(self) -> None:
        """Spindle or laser off."""
        await self._wire.ask("M5")

    async def emergency_stop(self) -> EStopReceipt:
        """0x18 past everything queued. Latched here: an idle machine raises no alarm."""
        if self._receipt is not None and self._receipt.confirmed:
            return self._receipt
        started = monotonic()
        self._state.restarted.clear()
        self._state.stop_text = ""
        try:
            self._wire.realtime_now(grbl.RESET)
        except LinkLostError as gone:
            self._latch()
            return self._receive(started, confirmed=False, text=gone.message)
        self._latch()
        try:
            await asyncio.wait_for(self._state.restarted.wait(), STOP_CONFIRM_S)
        except TimeoutError:
            self._wire.fail(MachineHaltedError("emergency stop without an answer"))
            return self._receive(started, confirmed=False, text="no answer to a soft reset")
        return self._receive(started, confirmed=True, text=self._state.stop_text)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """Reopen, soft reset, ``$X``."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        self._wire.close()
        latched, self._state.status = self._state.status, DeviceStatus()
        try:
            await self._wire.open(boot_s=self._boot_s)
            await self._asking.reset()
            await self._wire.ask("$X")
            await self._asking.report()
            await self._asking.probe()
        except (DeviceError, TimeoutError):
            self._wire.close()
            self._state.become(latched.but(availability=Availability.UNAVAILABLE))
            raise
        self._receipt = None
        self._state.ready()
        self._wire.report_every(RESTING_S)
        return self._state.identity()

    async def calibrate(self, routine: str) -> CalibrationResult:
        """``home``: ``$H``."""
        if routine not in ROUTINES:
            raise BadProgramError(f"unknown routine {routine}", field="routine")
        self._require_ready()
        self._state.remarks = []
        await self._wire.ask(ROUTINES[routine], timeout_s=120.0)
        return CalibrationResult(routine=routine, lines=tuple(self._state.remarks))

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        return TelemetrySample(mono_s=monotonic(), metrics=dict(self._state.metrics))

    def _hear(self, meaning: grbl.Meaning) -> None:
        self._state.hear(meaning)
        match meaning:
            case grbl.Alarm(_):
                self._fail("ALARM", meaning.text)
            case grbl.Banner(_) if self._triggered:
                self._fail("EMERGENCY_STOP", self._state.stop_text)
                self._wire.forget()
                self._state.become(self._state.status.but(execution=Execution.STOPPED))
            case grbl.Banner(text) if self._run is not None and not self._run.held:
                self._fail("RESTARTED", text)
                self._wire.forget()

    def _refuse(self, error: DeviceError) -> None:
        """The first refused line stops the stream; the machine is brought to a known state."""
        if self._run is not None and not self._run.over:
            self._run.held = True
            self._ending = asyncio.get_running_loop().create_task(self._give_up(error))

    async def _give_up(self, error: DeviceError) -> None:
        try:
            await self._asking.hold()
            await self._asking.reset()
        except DeviceError as worse:
            self._wire.fail(worse)
            return
        self._fail(error.code, error.message)
        self._rest(Execution.READY)
        status = self._state.status.with_fault(
            type="MOTION_PROGRAM", code=error.code, text=error.message
        )
        self._state.become(status)

    def _fail(self, reason: str, text: str) -> None:
        self._end_run("failed", reason=reason, text=text)
        self._state.running = False

    def _taken(self, command: str) -> None:
        if self._count(command) and self._run is not None:
            self._ending = asyncio.get_running_loop().create_task(self._finish(self._run))

    async def _finish(self, run: Run) -> None:
        """All lines are taken; the program is over when the machine rests."""
        try:
            while not run.over:
                if (await self._asking.report(after_s=POLL_S)).state in {"Idle", "Check"}:
                    break
        except DeviceError as error:
            self._wire.fail(error)
            return
        if not run.over:
            run.end("finished")
            self._rest(Execution.PROGRAM_COMPLETED)

    def _rest(self, execution: Execution) -> None:
        self._state.running = False
        self._state.become(self._state.status.but(execution=execution, conditions=()))
        self._wire.report_every(RESTING_S)

    def _break(self, error: DeviceError) -> None:
        self._end_run("unknown", reason=error.code, text=error.message)
        self._state.running = False
        self._unreachable(error)
        self._state.tell(LinkLost(error))

    def _require_ready(self) -> None:
        super()._require_ready()
        execution = self._state.status.execution
        if execution not in {Execution.READY, Execution.PROGRAM_COMPLETED}:
            raise MachineBusyError(f"the machine is {execution}")
        if self._laser and not self._state.capabilities.get("LASER_MODE"):
            raise DeviceRefusedError("a laser without $32=1 keeps its beam on while it is held")


LASER = Option(
    name="laser",
    help="yes: no program runs unless the firmware is in laser mode ($32=1)",
    default="no",
)


def make(machine: MachineConfig) -> DeviceDriver:
    """The driver of one machine; grblHAL's too."""
    laser = machine.options.get(LASER.name, LASER.default) == "yes"
    return GrblMachine(transport_to(machine), boot_s=boot_s(machine), laser=laser)


DRIVER = DriverSpec(
    name="grbl",
    title="Mills, routers and lasers with GRBL 1.1",
    schemes=BYTE_SCHEMES,
    make=make,
    quality=Quality.SILVER,
    peer=mill_peer("grbl"),
    options=(LASER,),
)

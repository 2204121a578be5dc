"""Machines running Marlin 2.x. Never tried on hardware: on virtual machines only."""

import asyncio
from time import monotonic

from device_bridge.certify.peers import printer_peer
from device_bridge.dialects import marlin
from device_bridge.dialects.plain_stream import PlainStream
from device_bridge.drivers.base import Driver
from device_bridge.drivers.marlin_heat import RESTING_S, RUNNING_S, HeatReports
from device_bridge.drivers.marlin_state import MarlinState
from device_bridge.drivers.marlin_wire import MarlinWire
from device_bridge.drivers.run import Run
from device_bridge.drivers.spec import DriverSpec, Quality
from device_bridge.errors import (
    BadProgramError,
    DeviceError,
    DeviceRefusedError,
    EmergencyLatchedError,
    LinkLostError,
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
    Working,
)
from device_bridge.transports.choosing import BYTE_SCHEMES, boot_s, transport_to
from domain.node.states import Availability, Execution

ROUTINES = {"home": "G28", "level": "G29"}
STOP_CONFIRM_S = 1.0
BOOT_CONFIRM_S = 4.0
"""A board that was reset by its line says so once it has booted."""
LAST_WORDS_S = 0.3
HOLD_S = 60.0


class MarlinPrinter(Driver[MarlinState]):
    """A printer running Marlin 2.x behind any transport."""

    continues_without_host = False
    before: tuple[str, ...] = ("M75",)
    """Sent first; it moves nothing, and its answer says that the printer takes the program."""
    after: tuple[str, ...] = ("M400", "M77")

    def __init__(
        self,
        transport: Transport,
        *,
        boot_s: float = 0.5,
        reply_s: float = 6.0,
        stream: PlainStream | None = None,
    ) -> None:
        super().__init__(MarlinState())
        self._transport = transport
        self._wire = MarlinWire(
            transport, heard=self._hear, broken=self._break, reply_s=reply_s, stream=stream
        )
        self._boot_s = boot_s
        self._heat = HeatReports(self._wire, self._state, running=lambda: self._running)
        self._ending: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """Open, ``M110 N0``, ``M115``, ``M105``. Raises ``PortError``, ``SilentDeviceError``."""
        if self._triggered:
            raise EmergencyLatchedError("the emergency stop must be cleared by a person first")
        self._heat.stop()
        self._state.forget()
        self._wire.open()
        try:
            await self._wire.greet(boot_s=self._boot_s)
            await self._probe()
        except BaseException:
            self._wire.close()
            raise
        self._state.become(
            DeviceStatus(availability=Availability.AVAILABLE, execution=Execution.READY)
        )
        self._heat.begin()
        return self._state.identity()

    async def disconnect(self) -> None:
        """Give the port back; the printer is left as it is."""
        self._heat.stop()
        self._wire.close()
        self._state.become(DeviceStatus(emergency_stop=self._state.status.emergency_stop))

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Check the whole program, then begin to feed it."""
        survey = await self._survey(job, longest=marlin.LONGEST_COMMAND, beginning=beginning)
        for command in self._heat.reports(RUNNING_S):
            await self._wire.ask(command)
        self._require_ready()
        after = (*self.after, *self._heat.reports(RESTING_S))
        run = Run(job, survey, longest=marlin.LONGEST_COMMAND, before=self.before, after=after)
        self._run = run
        self._wire.source, self._wire.taken = run.next, self._taken
        self._state.become(self._state.status.but(execution=Execution.ACTIVE, conditions=()))
        self._wire.pump()
        return run.handle

    async def pause(self) -> None:
        """Stop feeding, let the planner run dry, and see that the steppers stand still.

        An ``ok`` is not obedience: two step counts must agree, ``M400`` alone is not trusted.
        """
        run = self._require_run()
        run.held = True
        if self._state.waiting_for_user:
            return
        try:
            async with asyncio.timeout(HOLD_S):
                await self._wire.ask("M400")
                while not await self._stands_still():
                    pass
        except TimeoutError as late:
            raise NotHeldError(f"the printer still moves after {HOLD_S:.0f} s") from late
        self._still(run)
        self._state.become(self._state.status.but(execution=Execution.INTERRUPTED))

    async def resume(self) -> None:
        """Feed on; ``M108`` ends a wait for the user."""
        run = self._require_run()
        run.held = False
        if self._state.waiting_for_user:
            self._state.waiting_for_user = False
            self._wire.say("M108")
        self._state.become(self._state.status.but(execution=Execution.ACTIVE, conditions=()))
        self._wire.pump()

    async def cancel(self) -> RunResult:
        """Break waits and motion where the firmware can, then switch everything off."""
        run = self._require_run()
        run.held = True
        if self._state.capabilities.get("EMERGENCY_PARSER"):
            self._wire.say("M108")
            self._wire.say("M410")
        await self.heat_off()
        for command in self.after:
            await self._wire.ask(command)
        self._state.become(self._state.status.but(execution=Execution.READY, conditions=()))
        return run.end("cancelled", reason="cancelled on request")

    async def heat_off(self) -> None:
        """Hot end, bed and fan off."""
        for command in ("M104 S0", "M140 S0", "M107"):
            await self._wire.ask(command)

    async def emergency_stop(self) -> EStopReceipt:
        """``M112`` past everything queued; without an emergency parser also a board reset."""
        if self._receipt is not None and self._receipt.confirmed:
            return self._receipt
        started = monotonic()
        try:
            self._wire.say_now("M112")
        except LinkLostError as gone:
            self._latch()
            return self._receive(started, confirmed=False, text=gone.message)
        self._latch()
        patience = STOP_CONFIRM_S
        if not self._state.capabilities.get("EMERGENCY_PARSER"):
            patience = BOOT_CONFIRM_S
            if not await asyncio.to_thread(self._transport.reset_board):
                self._wire.fail(MachineHaltedError("emergency stop behind a busy program"))
                text = "M112 waits behind what the printer does, and its board has no reset line"
                return self._receive(started, confirmed=False, text=text)
        try:
            await asyncio.wait_for(self._state.halted.wait(), patience)
        except TimeoutError:
            self._wire.fail(MachineHaltedError("emergency stop without an answer"))
            return self._receive(started, confirmed=False, text="no answer to M112")
        return self._receive(started, confirmed=True, text=self._state.halt_text)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """Reopen the port, which resets the board, and shake hands again."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        self._wire.close()
        self._receipt = None
        latched, self._state.status = self._state.status, DeviceStatus()
        try:
            return await self.connect()
        except DeviceError:
            self._state.become(latched.but(availability=Availability.UNAVAILABLE))
            raise

    async def calibrate(self, routine: str) -> CalibrationResult:
        """``home`` (G28) or ``level`` (G29)."""
        if routine not in ROUTINES:
            raise BadProgramError(f"unknown routine {routine}", field="routine")
        self._require_ready()
        self._state.remarks = []
        await self._wire.ask(ROUTINES[routine])
        return CalibrationResult(routine=routine, lines=tuple(self._state.remarks))

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        stream = self._wire.stream
        counts = {
            "comm.resends": float(stream.resends),
            "comm.timeouts": float(stream.timeouts),
        }
        return TelemetrySample(mono_s=monotonic(), metrics={**self._state.metrics, **counts})

    async def _probe(self) -> None:
        await self._wire.ask("M115")
        await self._wire.ask("M105")
        capabilities = self._state.capabilities
        if self._state.buffers_free is not None:
            capabilities["ADVANCED_OK"] = True
        if capabilities.get("ADVANCED_OK"):
            self._wire.stream.window = max(1, self._state.buffers_free or 1)
        for command in self._heat.reports(RESTING_S):
            await self._wire.ask(command)

    async def _stands_still(self) -> bool:
        await self._wire.ask("M114")
        before = self._state.position
        await asyncio.sleep(0.05)
        await self._wire.ask("M114")
        after = self._state.position
        return before is not None and after is not None and before.count == after.count

    def _hear(self, meaning: marlin.Meaning) -> None:
        self._state.hear(meaning)
        match meaning:
            case marlin.Busy(why) if not why.startswith("paused"):
                self._state.tell(Working())
            case marlin.Temperatures(waiting=True):
                self._state.tell(Working())
            case marlin.Halted():
                self._wire.fail(MachineHaltedError(self._state.halt_text))
            case marlin.Started() if self._triggered:
                self._state.halt_text = "the board restarted"
                self._state.halted.set()
                self._wire.fail(MachineHaltedError(self._state.halt_text))
            case marlin.Started() if self._running:
                self._wire.fail(MachineHaltedError("the printer restarted by itself"))
            case marlin.Trouble(text) if self._run is not None and not self._run.held:
                self._run.held = True
                giving_up = self._give_up(self._run, text)
                self._ending = asyncio.get_running_loop().create_task(giving_up)

    async def _give_up(self, run: Run, text: str) -> None:
        """The printer's own error ends the program. A kill has a moment to say its last words."""
        await asyncio.sleep(LAST_WORDS_S)
        if run.over:
            return
        try:
            await self.heat_off()
            await self._wire.ask("M400")
        except DeviceError:
            return  # the run ended with the conversation
        self._end_run("failed", reason=DeviceRefusedError.code, text=text)
        rested = self._state.status.but(execution=Execution.READY, conditions=())
        self._state.become(
            rested.with_fault(type="MOTION_PROGRAM", code=DeviceRefusedError.code, text=text)
        )

    def _taken(self, command: str) -> None:
        if self._count(command) and self._run is not None:
            self._run.end("finished")
            self._state.become(self._state.status.but(execution=Execution.PROGRAM_COMPLETED))

    def _break(self, error: DeviceError) -> None:
        """The conversation ended: a halt is a failure, anything else leaves the outcome open."""
        if isinstance(error, MachineHaltedError):
            self._end_run("failed", reason=error.code, text=error.message)
            return
        self._end_run("unknown", reason=error.code, text=error.message)
        self._unreachable(error)
        self._state.tell(LinkLost(error))

    def _require_ready(self) -> None:
        super()._require_ready()
        if self._state.status.execution is Execution.STOPPED:
            raise MachineHaltedError(self._state.halt_text)


def _make(machine: MachineConfig) -> DeviceDriver:
    return MarlinPrinter(transport_to(machine), boot_s=boot_s(machine))


DRIVER = DriverSpec(
    name="marlin",
    title="3D printers with Marlin 2",
    schemes=BYTE_SCHEMES,
    make=_make,
    quality=Quality.SILVER,
    peer=printer_peer("marlin"),
)

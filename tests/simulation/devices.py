"""Machines and the wire to them, played by chance: the physical truth of a simulated shop."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import dataclass, field

from device_bridge.errors import (
    BadProgramError,
    DeviceError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
    NotHeldError,
    PortError,
)
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
    Progressed,
    RunHandle,
    RunResult,
    StatusChanged,
    TelemetrySample,
)
from domain.node.states import Availability, EmergencyStop, Execution
from tests.simulation.loop import Life
from tests.simulation.players import Machine

LINES = 10
READY = DeviceStatus(availability=Availability.AVAILABLE, execution=Execution.READY)


@dataclass
class Device(Machine):
    """``alone``: it holds its program and goes on without a bridge. ``cut``: builds that ended
    because their bridge or their cable did."""

    chance: random.Random = field(default_factory=random.Random)
    alone: bool = False
    unplugged: bool = False
    lines: int = 0
    held_by: Life | None = None
    driver: "ScriptedDriver | None" = None
    known: dict[str, RunResult] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    starts: Counter[str] = field(default_factory=Counter)
    making: "asyncio.Task[None] | None" = None

    def begin(self, build_id: str) -> None:
        """The first byte arrives: what no message can take back."""
        assert not self.running, "a machine began a second build"
        assert not self.on_bed, f"{build_id} began on a bed with {self.on_bed}"
        assert not self.starts[build_id], f"{build_id} began a second time"
        self.starts[build_id] += 1
        self.running = self.on_bed = build_id
        self.lines, self.paused = 0, False
        loop = asyncio.get_running_loop()
        self.making = Context().run(loop.create_task, self._make(build_id))  # no bridge's task

    def end(self, outcome: str, reason: str = "") -> RunResult:
        """It stops working on its build."""
        result = RunResult(
            outcome=outcome,
            lines_done=self.lines,
            lines_total=LINES,
            material_mm3=self.lines * 10,
            reason=reason,
            native_text=reason,
        )
        self.known[self.running] = result
        self.running = ""
        if self.making is not None:
            self.making.cancel()
        if self.driver is not None:
            self.driver.ended(result)
        return result

    def lose(self) -> None:
        """Nobody feeds it any more, or its cable is out."""
        self.held_by = None
        self.driver = None
        if self.running and not self.alone:
            self.cut.add(self.running)
            self.end("unknown", "nobody feeds it")

    async def _make(self, build_id: str) -> None:
        while self.lines < LINES:
            await asyncio.sleep(self.chance.uniform(0.1, 6.0))
            if not self.paused:
                self.lines += 1
                if self.driver is not None:
                    progress = Progressed(
                        build_id=build_id, lines_done=self.lines, lines_total=LINES
                    )
                    self.driver.tell(progress)
        self.making = None
        self.end(*self.chance.choice([("finished", "")] * 4 + [("failed", "thermal")]))


class ScriptedDriver:
    """``DeviceDriver`` of a machine that is fed line by line."""

    def __init__(self, device: Device, life: Life, chance: random.Random) -> None:
        self.device = device
        self._life = life
        self._chance = chance
        self._listeners: list[Listener] = []
        self._status = DeviceStatus()
        self._build_id = ""
        self._result: asyncio.Future[RunResult] | None = None

    async def connect(self) -> DeviceIdentity:
        await self._wait()
        if self.device.unplugged:
            raise PortError("no such port")
        if self.device.held_by not in (None, self._life):
            raise PortError("another process holds the port")
        self.device.held_by = self._life
        self.device.driver = self
        self._status = READY
        if self.device.running != self._build_id and self._build_id in self.device.known:
            self.ended(self.device.known[self._build_id])
        return DeviceIdentity(firmware="Scripted", dialect="scripted")

    async def disconnect(self) -> None:
        self._life.demand_alive()
        if self.device.driver is self:
            self.device.lose()

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        await self._wait()
        if self._chance.random() < 0.05:
            raise BadProgramError("nothing that may be sent")
        if beginning is not None:
            await beginning()
        if self._chance.random() < 0.3:
            await self._wait()
        self._demand_link()
        self.device.begin(job.build_id)
        return self._handle(job.build_id)

    def _handle(self, build_id: str) -> RunHandle:
        self._build_id = build_id
        self._result = asyncio.get_running_loop().create_future()
        return RunHandle(build_id=build_id, lines_total=LINES, result=self._result)

    def get_status(self) -> DeviceStatus:
        return self._status

    async def pause(self) -> None:
        await self._wait()
        if not self.device.running or self.device.driver is not self:
            raise NotHeldError("nothing to hold")
        self.device.paused = True

    async def resume(self) -> None:
        await self._wait()
        self.device.paused = False

    async def cancel(self) -> RunResult:
        await self._wait()
        self._demand_link()
        if not self.device.running:
            raise MachineBusyError("it has just ended")
        return self.device.end("cancelled")

    async def emergency_stop(self) -> EStopReceipt:
        await self._wait()
        self._demand_link()
        self._become(READY.but(emergency_stop=EmergencyStop.TRIGGERED))
        if self.device.running:
            self.device.end("failed", "EMERGENCY_STOP")
        return EStopReceipt(confirmed=True, latency_ms=1.0, native_text="halted")

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        return await self.connect()

    async def calibrate(self, routine: str) -> CalibrationResult:
        return CalibrationResult(routine=routine, lines=())

    def get_telemetry(self) -> TelemetrySample:
        return TelemetrySample(mono_s=0.0, metrics={})

    async def heat_off(self) -> None:
        await self._wait()

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def events(self) -> AsyncIterator[DeviceEvent]:
        raise NotImplementedError
        yield

    def tell(self, event: DeviceEvent) -> None:
        """An event of the machine."""
        if not self._life.dead:
            for listener in self._listeners:
                listener(event)

    def ended(self, result: RunResult) -> None:
        """The machine's run has ended."""
        if self._result is not None and not self._result.done():
            self._result.set_result(result)

    def unplug(self) -> None:
        """The cable is pulled."""
        link = LinkLostError("the port went away")
        alone, result = self.device.alone, self._result
        self.device.lose()
        if not alone and result is not None and not result.done():
            result.set_result(self.device.known[self.device.on_bed])
        self._status = DeviceStatus()
        self.tell(LinkLost(link))

    def _become(self, status: DeviceStatus) -> None:
        self._status = status
        self.tell(StatusChanged(status))

    def _demand_link(self) -> None:
        self._life.demand_alive()
        if self.device.driver is not self:
            raise LinkLostError("the port went away")
        if self._status.emergency_stop is EmergencyStop.TRIGGERED:
            raise EmergencyLatchedError("stopped")

    async def _wait(self) -> None:
        self._life.demand_alive()
        await asyncio.sleep(self._chance.choice((0.0, 0.01, 0.2)))
        self._life.demand_alive()


class FollowingDriver(ScriptedDriver):
    """``RunsAlone``: its machine knows what it makes and what it made."""

    async def follow(self, build_id: str) -> RunHandle | None:
        await self._wait()
        if self.device.driver is not self:
            raise DeviceError("the port went away")
        done = self.device.known.get(build_id)
        if self.device.running != build_id and done is None:
            return None
        handle = self._handle(build_id)
        if done is not None:
            self.ended(done)
        return handle

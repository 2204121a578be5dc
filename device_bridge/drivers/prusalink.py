"""Prusa printers through PrusaLink. Never tried on hardware: on a virtual one only.

PrusaLink has no emergency stop and switches no heater: the best this driver can do is to end the
job, and it says so. Stop such a printer with the switch on the wall.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from device_bridge.dialects import prusalink
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.drivers.prusalink_wire import PrusaLinkWire
from device_bridge.drivers.remote import RemoteDriver
from device_bridge.drivers.remote_run import RemoteRun
from device_bridge.drivers.spec import DriverSpec, Option, Quality
from device_bridge.drivers.state import MachineState
from device_bridge.errors import (
    DeviceError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
    MachineHaltedError,
    NotHeldError,
    SilentDeviceError,
    UnsupportedError,
)
from device_bridge.machines import MachineConfig
from device_bridge.protocols import (
    CalibrationResult,
    DeviceIdentity,
    DeviceStatus,
    EStopReceipt,
    RunResult,
    TelemetrySample,
)
from device_bridge.virtual.peers_http import prusa_peer
from domain.node.states import Availability, EmergencyStop, Execution
from domain.shared.errors import InvalidInputError

HOLD_S = 120.0
STOP_CONFIRM_S = 2.0
POLL_S = 1.0
RESTING = 3
"""While nothing runs it is asked so many times less often."""
MISSES = 3
"""Questions in a row without an answer: the small servers in these printers drop some."""
NO_STOP = "PrusaLink has no emergency stop: cut the printer's power"


class PrusaLinkPrinter(RemoteDriver[MachineState]):
    """A printer that is asked, at a pace that its small server bears."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        user: str = "",
        password: str = "",
        storage: str = "",
        poll_s: float = POLL_S,
        start_s: float = 120.0,
    ) -> None:
        super().__init__(MachineState(), start_s=start_s)
        self._wire = PrusaLinkWire(
            url, api_key=api_key, user=user, password=password, storage=storage
        )
        self._poll_s = poll_s
        self._polling: asyncio.Task[None] | None = None
        self._job = RemoteJob()
        self._wake = asyncio.Event()
        self._latched = False

    async def connect(self) -> DeviceIdentity:
        """Ask who is there and what is on the printer. Nothing moves."""
        if self._latched:
            raise EmergencyLatchedError("the emergency stop must be cleared by a person first")
        self._stop_polling()
        self._job = RemoteJob()
        try:
            found = await self._wire.open()
            await self._look()
            await self._reconcile()
        except BaseException:
            await self._wire.close()
            raise
        self._polling = asyncio.get_running_loop().create_task(self._poll())
        return _identity(found)

    async def disconnect(self) -> None:
        """Ask no more; the printer goes on with what it does."""
        self._stop_polling()
        self._stop_doubting()
        await self._wire.close()
        self._state.become(DeviceStatus(emergency_stop=self._state.status.emergency_stop))

    async def pause(self) -> None:
        """Returns when the printer says PAUSED."""
        run = self._require_print()
        try:
            await self._order(run, "PUT", "/pause")
            await self._asking_until(lambda: run.over or self._job.phase is Phase.HELD)
        except (DeviceError, TimeoutError) as problem:
            raise NotHeldError(f"the printer does not hold: {problem}") from problem
        self._still_on(run)

    async def resume(self) -> None:
        """Returns when the printer says PRINTING."""
        run = self._require_print()
        await self._order(run, "PUT", "/resume")
        try:
            await self._asking_until(lambda: run.over or self._job.phase is Phase.RUNNING)
        except TimeoutError as late:
            raise NotHeldError("the printer did not go on") from late

    async def cancel(self) -> RunResult:
        """End the job; the printer's firmware switches its own heaters off then."""
        run = self._require_print()
        await self._order(run, "DELETE")
        try:
            await self._asking_until(lambda: run.over)
        except TimeoutError as late:
            raise SilentDeviceError("the printer did not end the job") from late
        await self._look()
        return run.end("cancelled")

    async def heat_off(self) -> None:
        """Not within reach of this API."""
        raise UnsupportedError("PrusaLink switches no heater", remedy="cool it at the printer")

    async def emergency_stop(self) -> EStopReceipt:
        """There is none: end the job on a connection of its own, latch, and confirm nothing."""
        started = monotonic()
        self._latched = True
        self._latch()
        try:
            async with asyncio.timeout(STOP_CONFIRM_S):
                ended = await self._wire.end_job_now()
            text = "the job was told to end" if ended else "no job is on it"
        except (DeviceError, TimeoutError) as problem:
            text = str(problem) or "no answer"
        text = f"{NO_STOP}; {text}"
        self._end_run("unknown", reason="EMERGENCY_STOP", text=text)
        return self._receive(started, confirmed=False, text=text)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """Connect anew; an error itself is cleared at the printer."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        latched, self._latched = self._latched, False
        before, self._state.status = self._state.status, DeviceStatus()
        try:
            identity = await self.connect()
        except DeviceError:
            self._latched = latched
            self._state.become(before.but(availability=Availability.UNAVAILABLE))
            raise
        if self._state.status.execution is Execution.STOPPED:
            raise MachineHaltedError("the printer still shows an error", remedy="clear it there")
        self._receipt = None
        return identity

    async def calibrate(self, routine: str) -> CalibrationResult:
        """Not within reach of this API."""
        raise UnsupportedError("PrusaLink calibrates nothing", remedy="use the printer's own menu")

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        return TelemetrySample(mono_s=monotonic(), metrics=dict(self._state.metrics))

    async def _store(self, name: str, program: Path) -> None:
        await self._wire.upload(name, program)

    async def _start(self, name: str) -> None:
        try:
            await self._wire.start(name)
        finally:
            self._wake.set()

    async def _discard(self, name: str) -> None:
        await self._wire.delete(name)

    async def _look(self) -> RemoteJob:
        job = await self._wire.job()  # first: when it is over, the status below says so, too
        answer = await self._wire.status()
        found = prusalink.job_of(job)
        if job is None and self._job.file_name:
            found = prusalink.ended(answer, self._job.file_name)
        status = prusalink.status_of(answer)
        if found.phase is Phase.FAILED and status.conditions:
            found = replace(found, text=status.conditions[0].text)
        self._job = found
        if self._latched:
            status = status.but(emergency_stop=EmergencyStop.TRIGGERED)
        self._state.become(status)
        if metrics := prusalink.readings(answer):
            self._state.measured(metrics)
        self._saw(found)
        return found

    async def _poll(self) -> None:
        misses = 0
        while True:
            await self._rest()
            try:
                await self._look()
                misses = 0
            except (LinkLostError, SilentDeviceError) as problem:
                misses += 1
                if misses >= MISSES:
                    self._lose(problem)
                    return
            except DeviceError as problem:
                self._state.warn(type="COMMUNICATIONS", code=problem.code, text=problem.message)

    async def _rest(self) -> None:
        """Until it is time to ask again; a start cuts a long rest short."""
        self._wake.clear()
        pause = self._poll_s * (1 if self._running else RESTING)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)

    async def _asking_until(self, holds: Callable[[], bool]) -> None:
        """The printer is asked by the poll; this only waits for what it brings."""
        await self._until(holds, within_s=HOLD_S)

    async def _order(self, run: RemoteRun, method: str, verb: str = "") -> None:
        """For the job of this run and for no other that may be on the printer by now."""
        job = await self._wire.job()
        id = prusalink.job_id(job)
        if id is None or prusalink.job_of(job).file_name != run.file_name:
            raise MachineBusyError("this program is not on the printer")
        await self._wire.order(method, id, verb)

    def _stop_polling(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None


def _identity(found: dict[str, Any]) -> DeviceIdentity:
    told = {name: str(found[name]) for name in ("api", "version", "hostname", "serial", "storage")
            if found.get(name)}  # fmt: skip
    return DeviceIdentity(
        firmware=f"{found.get('text', 'PrusaLink')} {found.get('firmware', '')}".strip(),
        dialect="prusalink",
        capabilities={name.upper(): value for name, value in told.items()},
    )


def _make(machine: MachineConfig) -> PrusaLinkPrinter:
    options = machine.options
    try:
        poll_s = float(options.get("poll_s") or POLL_S)
    except ValueError as problem:
        raise InvalidInputError("poll_s is a number of seconds", field="poll_s") from problem
    return PrusaLinkPrinter(
        machine.port,
        api_key=options.get("api_key", ""),
        user=options.get("user", ""),
        password=options.get("password", ""),
        storage=options.get("storage", ""),
        poll_s=min(max(poll_s, 0.02), 60.0),
    )


DRIVER = DriverSpec(
    name="prusalink",
    title="Prusa printers with PrusaLink (no emergency stop)",
    schemes=("http", "https"),
    make=_make,
    quality=Quality.SILVER,
    peer=prusa_peer,
    options=(
        Option(name="api_key", help="the key in the printer's network menu", secret=True),
        Option(name="user", help="the user, where there is no key", default="maker"),
        Option(name="password", help="the user's password", secret=True),
        Option(name="storage", help="where files go: usb, local; empty finds it"),
        Option(name="poll_s", help="seconds between two questions", default="1"),
    ),
    exempt={
        "stop-while-blocked": NO_STOP,
        "stop-under-flood": NO_STOP,
        "heat-off": "PrusaLink switches no heater: the printer's own firmware does",
    },
)

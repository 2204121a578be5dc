"""Printers behind an OctoPrint.

Never tried on hardware: on a virtual OctoPrint, and on the real OctoPrint 1.11.8 with its own
virtual printer.
"""

import asyncio
import contextlib
from pathlib import Path
from time import monotonic
from typing import Any

from device_bridge.dialects import octoprint, octoprint_view
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.drivers.octoprint_state import OctoPrintState
from device_bridge.drivers.octoprint_wire import CLOSED, OctoPrintWire
from device_bridge.drivers.remote import RemoteDriver
from device_bridge.drivers.remote_run import RemoteRun
from device_bridge.drivers.spec import DriverSpec, Option, Quality
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
from device_bridge.virtual.peers_octoprint import octoprint_peer
from domain.node.states import Availability
from domain.shared.errors import InvalidInputError

FIRST_WORD_S = 10.0
HOLD_S = 120.0
REVIVE_S = 90.0
STOP_CONFIRM_S = 1.0
LOOK_S = 0.05
HISTORY_S = 2.0
"""OctoPrint writes the history of a print a moment after its end."""


class OctoPrintPrinter(RemoteDriver[OctoPrintState]):
    """A printer whose files and whose serial port are OctoPrint's."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        serial: dict[str, Any] | None = None,
        start_s: float = 60.0,
    ) -> None:
        super().__init__(OctoPrintState(), start_s=start_s)
        self._wire = OctoPrintWire(url, api_key=api_key, heard=self._hear, broken=self._lose)
        self._serial = serial or {}

    async def connect(self) -> DeviceIdentity:
        """Log in, listen, and look for a program of ours. Nothing moves, no port is opened.

        Raises ``SilentDeviceError`` while OctoPrint has no connection to its printer.
        """
        if self._state.latched:
            raise EmergencyLatchedError("the emergency stop must be cleared by a person first")
        self._state.forget()
        try:
            found = await self._wire.open()
            await self._first_word()
            self._saw(self._state.job)
            await self._reconcile()
        except BaseException:
            await self._wire.close()
            raise
        return _identity(found)

    async def disconnect(self) -> None:
        """Listen no more; the printer goes on with what it does."""
        self._stop_doubting()
        await self._wire.close()
        self._state.become(DeviceStatus(emergency_stop=self._state.status.emergency_stop))

    async def pause(self) -> None:
        """Returns when OctoPrint says Paused, not at its 204."""
        run = self._own_print()
        try:
            await self._wire.order("pause", action="pause")
            await self._until(
                lambda: run.over or self._state.job.phase is Phase.HELD, within_s=HOLD_S
            )
            await self._look()  # what is pushed of the progress comes up to a second late
        except (DeviceError, TimeoutError) as problem:
            raise NotHeldError(f"the printer does not hold: {problem}") from problem
        self._still_on(run)

    async def resume(self) -> None:
        """Returns when OctoPrint says Printing."""
        run = self._own_print()
        await self._wire.order("pause", action="resume")
        try:
            await self._until(
                lambda: run.over or self._state.job.phase is Phase.RUNNING, within_s=HOLD_S
            )
        except TimeoutError as late:
            raise NotHeldError("the printer did not go on") from late

    async def cancel(self) -> RunResult:
        """Cancel, then every heater off; a long command that is on delays it."""
        run = self._own_print()
        await self._wire.order("cancel")
        try:
            await self._until(lambda: run.over, within_s=HOLD_S)
        except TimeoutError as late:
            raise SilentDeviceError("the printer did not cancel") from late
        with contextlib.suppress(DeviceError):
            await self.heat_off()
        await self._look()
        return run.end("cancelled")

    async def heat_off(self) -> None:
        """Every heater that OctoPrint knows of to 0."""
        read = self._state.view.readings
        bed, chamber = (f"temperature.{name}.actual_c" in read for name in ("bed", "chamber"))
        await self._wire.cool(octoprint_view.tools_in(self._state.view), bed=bed, chamber=chamber)

    async def emergency_stop(self) -> EStopReceipt:
        """``M112`` on a connection of its own; OctoPrint's word that it went out confirms it."""
        started = monotonic()
        self._state.expect_halt()
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._send_stop())
        self._state.latched = True
        self._latch()
        halted = loop.create_task(self._state.halted.wait())
        await asyncio.wait(
            {sending, halted}, timeout=STOP_CONFIRM_S, return_when=asyncio.FIRST_COMPLETED
        )
        halted.cancel()
        confirmed = self._state.halted.is_set()
        text = self._state.halt_text
        if not confirmed:
            text = sending.result() if sending.done() else "OctoPrint does not answer"
        sending.cancel()
        self._end_run("failed" if confirmed else "unknown", reason="EMERGENCY_STOP", text=text)
        return self._receive(started, confirmed=confirmed, text=text)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """Have OctoPrint open its closed port again, and connect anew."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        self._stop_doubting()
        await self._wire.close()
        try:
            state = await self._wire.revive(self._serial, within_s=REVIVE_S)
        except TimeoutError as late:
            raise SilentDeviceError("OctoPrint does not reach its printer") from late
        if state.startswith(CLOSED):
            said = (await self._wire.job_aside()).get("error", "")
            raise MachineHaltedError(f"OctoPrint says {state}: {said}".rstrip(": "))
        before, self._state.status = self._state.status, DeviceStatus()
        latched, self._state.latched = self._state.latched, False
        try:
            identity = await self.connect()
        except DeviceError:
            self._state.latched = latched
            self._state.become(before.but(availability=Availability.UNAVAILABLE))
            raise
        self._receipt = None
        return identity

    async def calibrate(self, routine: str) -> CalibrationResult:
        """OctoPrint tells of no command that it ended: calibrate from its own page."""
        raise UnsupportedError(
            f"OctoPrint does not say when {routine[:40]} has ended",
            remedy="calibrate from OctoPrint's own page",
        )

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        return TelemetrySample(mono_s=monotonic(), metrics=dict(self._state.metrics))

    async def _store(self, name: str, program: Path) -> None:
        await self._wire.upload(name, program)

    async def _start(self, name: str) -> None:
        await self._wire.start(name)

    async def _look(self) -> RemoteJob:
        answer = await self._wire.job()
        self._state.become_view(octoprint.looked(self._state.view, answer))
        return self._state.job

    async def _discard(self, name: str) -> None:
        await self._wire.delete(name)

    async def _recall(self, name: str) -> RemoteJob | None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + HISTORY_S
        while (file := await self._wire.file(name)) is not None:
            found = octoprint_view.last_print(file, name)
            if found is not None or loop.time() > give_up:
                return found
            await asyncio.sleep(LOOK_S)
        return None

    async def _first_word(self) -> None:
        try:
            await asyncio.wait_for(self._state.told.wait(), FIRST_WORD_S)
        except TimeoutError as late:
            raise SilentDeviceError("OctoPrint pushes no state to this key") from late
        if octoprint.away(self._state.view):
            raise SilentDeviceError(
                "OctoPrint has no connection to its printer",
                remedy="connect it on OctoPrint's page, or: imewe nodes clear-fault",
            )

    async def _send_stop(self) -> str:
        """What is known when nobody pushes that the stop went out."""
        refusal = "no word of OctoPrint that it sent the stop"
        try:
            try:
                await self._wire.stop()
            except DeviceError as problem:
                refusal = problem.message
            while not self._state.halted.is_set():
                view = octoprint.looked(octoprint.View(), await self._wire.job_aside())
                if octoprint_view.halted_by_stop(view):
                    self._state.halt(view.error)
                elif not octoprint.busy(view):
                    break
                await asyncio.sleep(LOOK_S)
        except DeviceError as problem:
            return problem.message
        return refusal

    def _hear(self, message: dict[str, Any]) -> None:
        if "reauthRequired" in message:
            self._lose(LinkLostError("OctoPrint ended this session"))
            return
        self._state.hear(message)
        if octoprint.away(self._state.view):
            self._lose(SilentDeviceError("OctoPrint lost its printer"))
        elif self._state.told.is_set():
            self._saw(self._state.job)

    def _own_print(self) -> RemoteRun:
        """Orders go to whatever is on the printer: it must be this program."""
        run = self._require_print()
        if self._state.job.file_name != run.file_name:
            raise MachineBusyError("this program is not on the printer")
        return run


def _identity(found: dict[str, Any]) -> DeviceIdentity:
    names = ("server", "port", "baudrate", "printerProfile")
    told: dict[str, bool | int | float | str] = {
        name.upper(): str(found[name]) for name in names if found.get(name)
    }
    return DeviceIdentity(
        firmware=str(found.get("text") or "OctoPrint"), dialect="octoprint", capabilities=told
    )


def _make(machine: MachineConfig) -> OctoPrintPrinter:
    options = machine.options
    serial: dict[str, Any] = {}
    if port := options.get("serial_port"):
        serial["port"] = port
    if baudrate := options.get("serial_baudrate"):
        if not baudrate.isdecimal():
            raise InvalidInputError("serial_baudrate is a number", field="serial_baudrate")
        serial["baudrate"] = int(baudrate)
    return OctoPrintPrinter(machine.port, api_key=options.get("api_key", ""), serial=serial)


DRIVER = DriverSpec(
    name="octoprint",
    title="3D printers behind OctoPrint",
    schemes=("http", "https"),
    make=_make,
    quality=Quality.SILVER,
    peer=octoprint_peer,
    options=(
        Option(name="api_key", help="a key from OctoPrint's settings, Application Keys",
               secret=True),
        Option(name="serial_port", help="the port OctoPrint opens when a fault is cleared; "
               "empty takes the one it remembers"),
        Option(name="serial_baudrate", help="its baud rate; empty takes the one it remembers"),
    ),
    exempt={"stop-disconnected": "a stop needs no open connection: it makes its own by HTTP"},
)  # fmt: skip

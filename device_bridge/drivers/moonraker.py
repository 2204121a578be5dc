"""Printers running Klipper, through Moonraker.

Never tried on hardware: on a virtual printer, and on Moonraker 0.11 with Klipper 0.12 without a
board (its mode for debugging).
"""

import asyncio
import contextlib
from pathlib import Path
from time import monotonic
from typing import Any

from device_bridge.dialects import klipper, moonraker
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.drivers.moonraker_state import MoonrakerState
from device_bridge.drivers.moonraker_wire import MoonrakerWire
from device_bridge.drivers.remote import RemoteDriver
from device_bridge.drivers.spec import DriverSpec, Option, Quality
from device_bridge.errors import (
    BadProgramError,
    DeviceError,
    DeviceRefusedError,
    EmergencyLatchedError,
    MachineHaltedError,
    NotHeldError,
    SilentDeviceError,
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
from device_bridge.virtual.peers_http import klipper_peer
from domain.node.states import Availability, Execution

ROUTINES = {"home": "G28", "level": "BED_MESH_CALIBRATE"}
HOLD_S = 60.0
LONG_S = 600.0
RESTART_S = 60.0
STOP_CONFIRM_S = 1.0
HISTORY_LENGTH = 50
STOPPED = Execution.STOPPED
STATE = dict.fromkeys(("webhooks", "print_stats", "virtual_sdcard"))


class MoonrakerPrinter(RemoteDriver[MoonrakerState]):
    """A Klipper printer. Its files, its state and its history are Moonraker's."""

    forbidden = klipper.FORBIDDEN

    def __init__(self, url: str, *, api_key: str = "", start_s: float = 60.0) -> None:
        super().__init__(MoonrakerState(), start_s=start_s)
        self._wire = MoonrakerWire(url, api_key=api_key, heard=self._hear, broken=self._lose)
        self._stopping: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """Open, ask who is there, subscribe, and look for a program of ours. Nothing moves.

        Raises ``SilentDeviceError`` while Klipper's own process is away or still starting.
        """
        if self._state.latched:
            raise EmergencyLatchedError("the emergency stop must be cleared by a person first")
        self._state.forget()
        await self._wire.open()
        try:
            await self._probe()
            self._saw(self._state.job)
            await self._reconcile()
        except BaseException:
            await self._wire.close()
            raise
        return self._state.identity()

    async def disconnect(self) -> None:
        """Close every connection; the printer goes on with what it does."""
        self._stop_doubting()
        await self._wire.close()
        self._state.become(DeviceStatus(emergency_stop=self._state.status.emergency_stop))

    async def pause(self) -> None:
        """``PAUSE``, then wait until Klipper says paused and its tool stands still."""
        run = self._require_print()
        try:
            await self._wire.call("printer.print.pause", reply_s=HOLD_S)
            await self._until(lambda: run.over or self._holds, within_s=HOLD_S)
        except (DeviceError, TimeoutError) as problem:
            raise NotHeldError(f"the printer does not hold: {problem}") from problem
        self._still_on(run)

    async def resume(self) -> None:
        """``RESUME``; returns when Klipper says that it prints."""
        run = self._require_print()
        await self._wire.call("printer.print.resume", reply_s=LONG_S)
        try:
            await self._until(
                lambda: run.over or self._state.job.phase is Phase.RUNNING, within_s=HOLD_S
            )
        except TimeoutError as late:
            raise NotHeldError("the printer did not go on") from late

    async def cancel(self) -> RunResult:
        """``CANCEL_PRINT``, then every heater off. Klipper takes it after the command that is
        on: a long one (heating, homing) delays it, an emergency stop does not wait."""
        run = self._require_print()
        try:
            await self._wire.call("printer.print.cancel", reply_s=HOLD_S)
            await self._until(lambda: run.over, within_s=HOLD_S)
        except TimeoutError as late:
            raise SilentDeviceError("the printer did not cancel") from late
        with contextlib.suppress(DeviceError):
            await self.heat_off()
        await self._look()
        return run.end("cancelled")

    async def heat_off(self) -> None:
        """Every heater off."""
        await self._script("TURN_OFF_HEATERS", reply_s=HOLD_S)

    async def emergency_stop(self) -> EStopReceipt:
        """On a websocket of its own, else by HTTP; Klipper's word confirms it, not the answer.

        Sent anew each time: somebody may have restarted Klipper at the machine since the last.
        """
        started = monotonic()
        self._state.halted.clear()
        loop = asyncio.get_running_loop()
        self._stopping = loop.create_task(self._send_stop())
        self._state.latched = True
        self._latch()
        halted = loop.create_task(self._state.halted.wait())
        await asyncio.wait(
            {self._stopping, halted}, timeout=STOP_CONFIRM_S, return_when=asyncio.FIRST_COMPLETED
        )
        halted.cancel()
        if confirmed := self._state.halted.is_set():
            self._stopping.cancel()
        text = self._state.halt_text if confirmed else "no word of Klipper that it halted"
        self._end_run("failed" if confirmed else "unknown", reason="EMERGENCY_STOP", text=text)
        return self._receive(started, confirmed=confirmed, text=text)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """After a shutdown ``FIRMWARE_RESTART``, after a failed print forget it; connect anew."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        self._stop_doubting()
        await self._wire.close()
        state, message = await self._wire.host_state()
        if state in {"shutdown", "error"}:
            state, message = await self._restart()
        if state != "ready":
            raise MachineHaltedError(f"Klipper is {state or 'silent'}: {message}")
        identity = await self._anew()
        if self._state.job.phase is Phase.FAILED:
            await self._script("SDCARD_RESET_FILE", reply_s=HOLD_S)
            await self._look()
        return identity

    async def calibrate(self, routine: str) -> CalibrationResult:
        """``home`` (G28) or ``level`` (BED_MESH_CALIBRATE)."""
        if routine not in ROUTINES:
            raise BadProgramError(f"unknown routine {routine}", field="routine")
        self._require_ready()
        self._state.remarks = []
        await self._script(ROUTINES[routine], reply_s=LONG_S)
        return CalibrationResult(routine=routine, lines=tuple(self._state.remarks))

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""
        return TelemetrySample(mono_s=monotonic(), metrics=dict(self._state.metrics))

    @property
    def _holds(self) -> bool:
        return self._state.job.phase is Phase.HELD and not self._state.moving

    async def _store(self, name: str, program: Path) -> None:
        await self._wire.upload(name, program)

    async def _start(self, name: str) -> None:
        await self._wire.call("printer.print.start", {"filename": name}, reply_s=HOLD_S)

    async def _look(self) -> RemoteJob:
        answer = await self._wire.call("printer.objects.query", {"objects": STATE})
        self._state.fold(_status_in(answer))
        return self._state.job

    async def _discard(self, name: str) -> None:
        await self._wire.call("server.files.delete_file", {"path": f"gcodes/{name}"})

    async def _recall(self, name: str) -> RemoteJob | None:
        params = {"limit": HISTORY_LENGTH, "order": "desc"}
        try:
            answer = await self._wire.call("server.history.list", params)
        except DeviceRefusedError:
            return None  # a Moonraker without the component
        return klipper.history_of(answer, name)

    async def _probe(self) -> None:
        server = await self._wire.call("server.info")
        state = server.get("klippy_state") if isinstance(server, dict) else None
        if state not in {"ready", "shutdown", "error"}:
            raise SilentDeviceError(f"Klipper is {state or 'silent'} behind its Moonraker")
        self._state.introduce(server, await self._wire.call("printer.info"))
        listed = await self._wire.call("printer.objects.list")
        names = listed.get("objects") if isinstance(listed, dict) else None
        wanted = klipper.subscription(names if isinstance(names, list) else [])
        if state == "ready" and not {"print_stats", "virtual_sdcard"} <= wanted.keys():
            raise DeviceError(
                "this Klipper keeps no files", remedy="put [virtual_sdcard] into its printer.cfg"
            )
        answer = await self._wire.call("printer.objects.subscribe", {"objects": wanted})
        self._state.fold(_status_in(answer))

    async def _script(self, script: str, *, reply_s: float) -> None:
        await self._wire.call("printer.gcode.script", {"script": script}, reply_s=reply_s)

    async def _send_stop(self) -> None:
        """The answer's own word is asked for when no websocket brings it."""
        try:
            await self._wire.stop()
            if not self._state.halted.is_set():
                state, message = await self._wire.host_state()
                if state == "shutdown":
                    self._state.halt(" ".join(message.split()))
        except DeviceError as problem:
            self._state.warn(type="COMMUNICATIONS", code=problem.code, text=problem.message)

    async def _anew(self) -> DeviceIdentity:
        """Connect without the latch; it is back when that fails."""
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

    async def _restart(self) -> tuple[str, str]:
        try:
            return await self._wire.restart_firmware(within_s=RESTART_S)
        except TimeoutError as late:
            raise SilentDeviceError(
                f"Klipper did not come back within {RESTART_S:.0f} s of its restart"
            ) from late

    def _hear(self, meaning: moonraker.Meaning) -> None:
        self._state.hear(meaning)
        match meaning:
            case moonraker.StatusUpdate():
                self._saw(self._state.job)
            case moonraker.KlippyDisconnected():
                self._lose(SilentDeviceError("Klipper's own process went away"))
            case moonraker.KlippyShutdown():
                self._halt()

    def _halt(self) -> None:
        """At once; the status that follows has Klipper's whole message."""
        status = self._state.status
        if status.availability is Availability.AVAILABLE and status.execution is not STOPPED:
            stopped = status.but(execution=STOPPED)
            self._state.become(
                stopped.with_fault(type="SYSTEM", code="SHUTDOWN", text=self._state.halt_text)
            )


def _status_in(answer: Any) -> moonraker.Objects:
    return moonraker.objects_in(answer.get("status") if isinstance(answer, dict) else None)


def _make(machine: MachineConfig) -> MoonrakerPrinter:
    return MoonrakerPrinter(machine.port, api_key=machine.options.get("api_key", ""))


DRIVER = DriverSpec(
    name="moonraker",
    title="3D printers with Klipper, through Moonraker",
    schemes=("http", "https", "ws", "wss"),
    make=_make,
    quality=Quality.SILVER,
    peer=klipper_peer,
    options=(
        Option(name="api_key", help="Moonraker's API key, where it asks for one", secret=True),
    ),
    exempt={"stop-disconnected": "a stop needs no open connection: it makes its own by HTTP"},
)

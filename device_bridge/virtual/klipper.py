"""A virtual Klipper: host states, printer objects, console, around a printer with files.

Follows a recorded session with Klipper behind Moonraker 0.11, its delays among it.
"""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from device_bridge.virtual.file_printer import FilePrinter, Printing
from device_bridge.virtual.ledger import Ledger

READY_MESSAGE = "Printer is ready"
SHUTDOWN_MESSAGE = (
    "Shutdown due to webhooks request\nOnce the underlying issue is corrected, use the\n"
    '"FIRMWARE_RESTART" command to reset the firmware, reload the\nconfig, and restart the '
    "host software.\nPrinter is shutdown\n"
)
STATES = {
    Printing.STANDBY: "standby",
    Printing.PRINTING: "printing",
    Printing.PAUSED: "paused",
    Printing.COMPLETE: "complete",
    Printing.CANCELLED: "cancelled",
    Printing.FAILED: "error",
}
ENDED = {
    Printing.COMPLETE: "completed",
    Printing.CANCELLED: "cancelled",
    Printing.FAILED: "error",
}
RESTART_S = 3.0


class RefusedByKlipperError(Exception):
    """An error that Moonraker passes on with this code."""

    def __init__(self, text: str, code: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


AXES = {"axis_minimum": [-5.0, -5.0, -2.0, 0.0], "axis_maximum": [250.0, 210.0, 220.0, 0.0]}
SETTINGS = {"extruder": {"max_temp": 300.0}, "heater_bed": {"max_temp": 120.0}}


class VirtualKlipper:
    """``host`` is disconnected, startup, ready, shutdown or error. ``notify(method, *params)``
    is Moonraker's broadcast. ``restart_s``: wall seconds of a firmware restart."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        speed: float,
        notify: Callable[..., None],
        restart_s: float = RESTART_S,
    ) -> None:
        self.host = "ready"
        self.message = READY_MESSAGE
        self.history: list[dict[str, Any]] = []
        self._notify = notify
        self._restart_s = restart_s
        self._restarting: asyncio.Task[None] | None = None
        self.printer = FilePrinter(
            ledger=ledger, speed=speed, changed=self._changed, said=self._said
        )

    def objects(self) -> dict[str, dict[str, Any]]:
        """Every printer object with all its fields."""
        printer, body = self.printer, self.printer.body
        x, y, z = body.planner.position(body.clock())
        extruder = round(body.filament_mm, 3)
        where = [round(x, 3), round(y, 3), round(z, 3), extruder]
        state = STATES[printer.state]
        halted = self.host in {"shutdown", "error"}
        return {
            "webhooks": {"state": self.host, "state_message": self.message},
            "print_stats": {
                "filename": printer.file_name,
                "state": "paused" if halted and printer.busy else state,
                "message": printer.message,
                "filament_used": round(printer.filament_mm, 3),
                "print_duration": round(body.clock() - printer.started_at, 3),
                "info": {"total_layer": None, "current_layer": None},
            },
            "virtual_sdcard": {
                "progress": round(printer.share, 4),
                "file_position": printer.position,
                "is_active": printer.state is Printing.PRINTING and not halted,
            },
            "pause_resume": {"is_paused": printer.state is Printing.PAUSED and not halted},
            "toolhead": {"position": where, "homed_axes": "xyz", **AXES},
            "configfile": {"settings": SETTINGS},
            "gcode_move": {"speed_factor": 1.0, "extrude_factor": 1.0},
            "motion_report": {
                "live_position": where,
                "live_velocity": 50.0 if printer.moving else 0.0,
            },
            "extruder": self._heater("hotend0"),
            "heater_bed": self._heater("bed"),
        }

    def demand_host(self) -> None:
        """Klipper's process answers at all."""
        if self.host == "disconnected":
            raise RefusedByKlipperError("Klippy Host not connected", 503)

    def demand_ready(self) -> None:
        """Klipper takes commands."""
        self.demand_host()
        if self.host != "ready":
            raise RefusedByKlipperError(self.message)

    def start(self, name: str) -> None:
        """``SDCARD_PRINT_FILE``"""
        self.demand_ready()
        if self.printer.busy:
            raise RefusedByKlipperError("SD busy")
        if name not in self.printer.files:
            raise RefusedByKlipperError("Unable to open file")
        self._respond(f"File opened:{name} Size:{len(self.printer.files[name])}")
        self._respond("File selected")
        self.history.insert(0, _job(name, len(self.history)))
        self.printer.start(name)

    async def script(self, script: str) -> None:
        """``printer.gcode.script``: returns when the commands ended; unknown ones only remark."""
        self.demand_ready()
        for line in script.splitlines():
            await self._command(line.strip())

    def emergency_stop(self) -> None:
        """Shut down. The console says so at once."""
        self.shut_down(SHUTDOWN_MESSAGE)

    def shut_down(self, message: str) -> None:
        """Halt with this message; a print that was on stays "paused" for ever."""
        self.demand_host()
        if self.host == "shutdown":
            return
        self._settle("klippy_shutdown")
        self.printer.halt()
        self.host, self.message = "shutdown", message
        self._respond("// Klipper state: Shutdown")
        self._notify("notify_klippy_shutdown")

    def firmware_restart(self) -> None:
        """Everything anew: away for some seconds, then ready with nothing loaded."""
        self.demand_host()
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def vanish(self, status: str = "klippy_disconnect") -> None:
        """The host process died; the boards stop on their own."""
        self._settle(status)
        self.printer.halt()
        self.printer.forget()
        self.host, self.message = "disconnected", ""
        self._notify("notify_klippy_disconnected")

    def come_back(self) -> None:
        """The host process is ready again."""
        self.host, self.message = "ready", READY_MESSAGE
        self._notify("notify_klippy_ready")

    async def stop(self) -> None:
        """Switch off."""
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        await self.printer.stop()

    async def _restart(self) -> None:
        self._respond("// Klipper state: Disconnect")
        self.vanish()
        await asyncio.sleep(self._restart_s)
        self.come_back()

    async def _command(self, command: str) -> None:
        word = command.split(" ", 1)[0].upper()
        if word == "TURN_OFF_HEATERS":
            self.printer.body.cool_down()
        elif word == "SDCARD_RESET_FILE":
            if self.printer.state is Printing.PRINTING:
                raise RefusedByKlipperError("SDCARD_RESET_FILE cannot be run from the sdcard")
            self.printer.forget()
        elif word == "BED_MESH_CALIBRATE":
            await self.printer.do("G29")
        elif command:
            await self.printer.do(command)

    def _heater(self, name: str) -> dict[str, float]:
        body = self.printer.body
        actual = round(body.temperature(name), 2)
        return {"temperature": actual, "target": body.heaters[name].target_c}

    def _said(self, line: str) -> None:
        if line.startswith("echo:Unknown command: "):
            self._respond("// Unknown command:" + line.removeprefix("echo:Unknown command: "))

    def _respond(self, text: str) -> None:
        self._notify("notify_gcode_response", text)

    def _changed(self) -> None:
        if self.printer.state is Printing.FAILED:
            self._respond(f"!! {self.printer.message}")
        if status := ENDED.get(self.printer.state):
            self._settle(status)

    def _settle(self, status: str) -> None:
        if self.history and self.history[0]["status"] == "in_progress":
            self.history[0] |= {
                "status": status,
                "end_time": time(),
                "filament_used": round(self.printer.filament_mm, 3),
            }


def _job(name: str, number: int) -> dict[str, Any]:
    return {
        "job_id": f"{number:06X}",
        "exists": True,
        "filename": name,
        "status": "in_progress",
        "start_time": time(),
        "end_time": None,
        "filament_used": 0.0,
        "print_duration": 0.0,
        "total_duration": 0.0,
        "metadata": {},
        "user": None,
        "auxiliary_data": [],
    }

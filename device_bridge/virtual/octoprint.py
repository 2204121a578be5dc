"""A virtual OctoPrint with its printer: REST, and a SockJS websocket that pushes.

Follows recorded sessions with OctoPrint 1.11.8: events at once, the whole state again and again,
204 before anything has happened, 409 for what does not fit, and a closed port after a fatal error.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

from device_bridge.virtual.file_printer import FilePrinter, Printing
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.octoprint_words import (
    NO_PRINT,
    NOT_OPERATIONAL,
    STOPPED_BY_M112,
    current,
    error,
    form,
    heaters,
)
from device_bridge.virtual.web import Answer, Guest, Request, WebServer, as_json

PUSH_S = 0.25
ANSWER_S = 0.005
PAUSE_S = 0.3
"""From ``Pausing`` to ``Paused``; the real one took 0.8 to 1.1 s."""
CONNECT_S = 0.1
FILES = "/api/files/local/"
NOTHING = Answer(status=204)
OPEN = frozenset({"Operational", "Starting", "Printing", "Pausing", "Paused", "Resuming"})


class VirtualOctoPrint:
    """One OctoPrint on a port of its own. ``swallow_starts``: so many starts are obeyed and never
    answered. ``deaf_pushes``: events are not pushed, so that only the history knows an end."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "octoprint",
        speed: float = 1.0,
        api_key: str = "",
        pause_s: float = PAUSE_S,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.printer = FilePrinter(
            ledger=Ledger(folder / f"{name}.json", ended=ended),
            speed=speed,
            changed=self._changed,
            said=lambda line: None,
        )
        self.web = WebServer(self._answer, welcome=self._welcome, leave=self._leave)
        self.orders: list[str] = []
        self.state, self.error = "Operational", ""
        self.history: dict[str, dict[str, Any]] = {}
        self.swallow_starts = 0
        self.deaf_pushes = False
        self._api_key = api_key
        self._pause_s = pause_s
        self._session = token_hex(8)
        self._guests: dict[Guest, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._off = asyncio.Event()
        self._flood_until = 0.0

    async def start(self) -> None:
        """Switch on."""
        await self.web.mend()
        self._do(self._push())

    async def stop(self) -> None:
        """Switch off."""
        self._off.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.printer.stop()
        await self.web.stop()

    def babble(self, text: str) -> None:
        """Say this to everybody, whatever it is."""
        for guest in self._guests:
            guest.say(text)

    def flood(self, for_s: float) -> None:
        """Push the state as fast as it goes."""
        self._flood_until = asyncio.get_running_loop().time() + for_s

    def lose_printer(self) -> None:
        """Somebody disconnects the printer on OctoPrint's page."""
        self.printer.halt()
        self._unload()
        self._become("Offline")

    def _do(self, step: Any) -> None:
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _welcome(self, guest: Guest) -> None:
        self._guests[guest] = False
        guest.heard = lambda text: self._heard(guest, text)

    def _leave(self, guest: Guest) -> None:
        self._guests.pop(guest, None)

    def _heard(self, guest: Guest, text: str) -> None:
        if json.loads(text).get("auth") == f"_api:{self._session}":
            self._guests[guest] = True
            guest.say(json.dumps({"connected": {"version": "1.11.8-virtual"}}))
            guest.say(json.dumps({"history": current(self.printer, self.state, self.error)}))
        else:
            guest.say(json.dumps({"reauthRequired": {"reason": "stale"}}))

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.001 if loop.time() < self._flood_until else PUSH_S)
            self._tell({"current": current(self.printer, self.state, self.error)})

    def _tell(self, message: dict[str, Any]) -> None:
        for guest, known in list(self._guests.items()):
            if known:
                guest.say(json.dumps(message))

    def _event(self, kind: str, **payload: Any) -> None:
        if not self.deaf_pushes:
            self._tell({"event": {"type": kind, "payload": payload or None}})

    def _print_event(self, kind: str, **more: Any) -> None:
        name = self.printer.file_name
        self._event(kind, name=name, path=name, origin="local", **more)

    def _become(self, state: str) -> None:
        self.state = state
        said = "Offline" if state == "Offline after error" else state
        self._event("PrinterStateChanged", state_id=said.upper(), state_string=said)

    def _changed(self) -> None:
        match self.printer.state:
            case Printing.PRINTING if self.state == "Paused":
                self._become("Resuming")
                self._print_event("PrintResumed")
                self._become("Printing")
            case Printing.PRINTING:
                self._print_event("FileSelected")
                self._become("Starting")
                self._print_event("PrintStarted")
                self._become("Printing")
            case Printing.PAUSED:
                self._become("Pausing")
                self._do(self._hold())
            case Printing.COMPLETE:
                self._become("Finishing")
                self._print_event("PrintDone", time=1.0)
                self._remember(success=True)
                self._become("Operational")
            case Printing.CANCELLED:
                self.printer.halt()
                self._become("Cancelling")
                for kind in ("PrintCancelled", "PrintFailed"):
                    self._print_event(kind, time=1.0, reason="cancelled")
                self._remember(success=False)
                self._become("Operational")
            case Printing.FAILED:
                self._halt(self.printer.message)

    async def _hold(self) -> None:
        await asyncio.sleep(self._pause_s)
        await self.printer.do("M400")
        if self.state == "Pausing":
            self._print_event("PrintPaused")
            self._become("Paused")

    def _halt(self, text: str) -> None:
        """A fatal error, or M112: everything off, the port closed, the file forgotten."""
        self.printer.halt()
        if text != STOPPED_BY_M112:
            self._become("Error")
            self._event("Error", error=text, reason="firmware", consequence="emergency")
        self._event("EStop")
        if self.printer.file_name and self.state != "Operational":
            self._print_event("PrintFailed", time=1.0, reason="error", error=text)
            self._remember(success=False)
        self._unload()
        self.error = text
        self._become("Offline after error")

    def _unload(self) -> None:
        self.state = "Offline"  # before `forget`, whose change says nothing here
        self.printer.forget()

    def _remember(self, *, success: bool) -> None:
        last = {"date": 1795325293.0, "success": success, "printTime": 1.0}
        self.history[self.printer.file_name] = {"last": last}

    async def _answer(self, request: Request) -> Answer:
        await asyncio.sleep(ANSWER_S)
        if self._api_key and request.headers.get("x-api-key") != self._api_key:
            return error(403, "You don't have the permission to access the requested resource.")
        if request.path.startswith(FILES):
            return await self._file(request.method, request.path.removeprefix(FILES), request)
        order = json.loads(request.body) if request.body.startswith(b"{") else {}
        match request.method, request.path:
            case "GET", "/api/version":
                return as_json({"api": "0.1", "server": "1.11.8", "text": "OctoPrint 1.11.8"})
            case "POST", "/api/login":
                return as_json({"name": "_api", "session": self._session, "active": True})
            case "GET", "/api/connection":
                state = "Closed" if self.state.startswith("Offline") else self.state
                return as_json({"current": {"state": state, "port": "VIRTUAL", "baudrate": 115200}})
            case "GET", "/api/job":
                return self._job()
            case "POST", "/api/files/local":
                return self._upload(request)
            case "POST", "/api/connection":
                self.orders.append("connect")
                self._do(self._connect())
                return NOTHING
            case "POST", path if path.startswith(("/api/job", "/api/printer/")):
                return self._obey(path.removeprefix("/api/"), order)
        return error(404, "Not Found")

    def _job(self) -> Answer:
        told = current(self.printer, self.state, self.error)
        answer = {"job": told["job"], "progress": told["progress"], "state": self.state}
        return as_json(answer | ({"error": self.error} if self.error else {}))

    async def _connect(self) -> None:
        self.error = ""
        self._become("Opening serial connection")
        await asyncio.sleep(CONNECT_S)
        self._become("Operational")

    def _upload(self, request: Request) -> Answer:
        parts = form(request)
        name, content = parts["file"]
        self.printer.files[name] = content
        self.orders.append("upload")
        return as_json({"done": True, "effectiveSelect": False}, status=201)

    async def _file(self, method: str, name: str, request: Request) -> Answer:
        if name not in self.printer.files:
            return error(404, "Not Found")
        if method == "GET":
            prints = self.history.get(name)
            return as_json({"name": name, **({"prints": prints} if prints else {})})
        if self.printer.busy:
            return error(409, "Printer is already printing, cannot select a new file")
        if method == "DELETE":
            self.printer.files.pop(name)
            return NOTHING
        if self.state != "Operational":
            return error(409, NOT_OPERATIONAL)
        self.orders.append("start")
        self.printer.start(name)
        if self.swallow_starts:
            self.swallow_starts -= 1
            await self._off.wait()
        return NOTHING

    def _obey(self, path: str, order: dict[str, Any]) -> Answer:
        command = str(order.get("command"))
        self.orders.append(command)
        if self.state not in OPEN:
            return error(409, NOT_OPERATIONAL)
        if path == "job":
            return self._steer(command, str(order.get("action")))
        if command == "M112":
            self._halt(STOPPED_BY_M112)
        elif command == "target":
            heaters(self.printer, path.removeprefix("printer/"), order)
        return NOTHING

    def _steer(self, command: str, action: str) -> Answer:
        if not self.printer.busy:
            return error(409, NO_PRINT.format(command))
        if command == "cancel":
            self.printer.cancel()
        elif action == "pause" and self.state == "Printing":
            self.printer.pause()
        elif action == "resume" and self.state == "Paused":
            self.printer.resume()
        return NOTHING

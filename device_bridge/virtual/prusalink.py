"""A virtual Prusa printer behind PrusaLink's HTTP API v1, after its published description."""

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

from device_bridge.virtual.file_printer import FilePrinter, Printing
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.web import Answer, Request, WebServer, as_json

ANSWER_S = 0.005
REALM = "Printer API"
STATES = {
    Printing.STANDBY: "IDLE",
    Printing.PRINTING: "PRINTING",
    Printing.PAUSED: "PAUSED",
    Printing.COMPLETE: "FINISHED",
    Printing.CANCELLED: "STOPPED",
    Printing.FAILED: "ERROR",
}
FILES = "/api/v1/files/usb/"
JOB = re.compile(r"/api/v1/job/(\d+)(/pause|/resume)?")
NOTHING = Answer(status=204)
UNLISTED = 1
"""So many times a new file is not found yet: the printer's list of files follows late."""


class VirtualPrusaLink:
    """One printer on a port of its own. With ``password`` it asks for digest, with ``api_key``
    for that. ``swallow_starts``: it obeys so many starts without ever answering them."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "prusalink",
        speed: float = 1.0,
        api_key: str = "",
        password: str = "",
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.printer = FilePrinter(
            ledger=Ledger(folder / f"{name}.json", ended=ended),
            speed=speed,
            changed=self._changed,
            said=lambda line: None,
        )
        self.web = WebServer(self._answer)
        self.orders: list[str] = []
        self.swallow_starts = 0
        self.forgets_ended_jobs = False
        self._api_key = api_key
        self._password = password
        self._nonce = token_hex(8)
        self._nonsense: list[bytes] = []
        self._off = asyncio.Event()
        self._unlisted = 0

    async def start(self) -> None:
        """Switch on."""
        await self.web.mend()

    async def stop(self) -> None:
        """Switch off."""
        self._off.set()
        await self.printer.stop()
        await self.web.stop()

    def confirm(self) -> None:
        """A person takes the part and presses the knob: back to IDLE."""
        self.printer.forget()

    def babble(self, data: bytes) -> None:
        """Answer the next request with this, unless a new handshake comes before."""
        self._nonsense.append(data)

    @property
    def state(self) -> str:
        """A pause is PAUSED once the head stands still."""
        if self.printer.state is Printing.PAUSED and self.printer.moving:
            return "PRINTING"
        return STATES[self.printer.state]

    def _changed(self) -> None:
        if self.printer.state in {Printing.CANCELLED, Printing.FAILED}:
            self.printer.halt()

    async def _answer(self, request: Request) -> Answer:
        await asyncio.sleep(ANSWER_S)
        if not self._allowed(request):
            challenge = f'Digest realm="{REALM}", nonce="{self._nonce}"'
            return Answer(status=401, headers={"WWW-Authenticate": challenge})
        if request.path == "/api/version":
            self._nonsense.clear()
        if self._nonsense:
            return Answer(body=self._nonsense.pop(0))
        if request.path.startswith(FILES):
            return await self._file(request)
        if match := JOB.fullmatch(request.path):
            return self._order(request.method, int(match[1]), match[2] or "")
        plain: dict[str, Callable[[], Answer]] = {
            "/api/version": self._version,
            "/api/v1/info": lambda: as_json({"hostname": "virtual-prusa", "serial": "CZPX0"}),
            "/api/v1/status": self._status,
            "/api/v1/job": self._job,
            "/api/v1/storage": self._storage,
        }
        if request.method != "GET" or request.path not in plain:
            return Answer(status=404, body=b"Not found")
        return plain[request.path]()

    def _allowed(self, request: Request) -> bool:
        if self._api_key:
            return request.headers.get("x-api-key") == self._api_key
        if not self._password:
            return True
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("authorization", "")))
        wanted = _md5(f"{said.get('username')}:{REALM}:{self._password}")
        asked = _md5(f"{request.method}:{said.get('uri')}")
        return said.get("response") == _md5(f"{wanted}:{self._nonce}:{asked}")

    def _version(self) -> Answer:
        return as_json(
            {
                "api": "2.0.0",
                "version": "2.1.2",
                "printer": "1.3.1",
                "text": "PrusaLink",
                "firmware": "6.0.0-virtual",
                "capabilities": {"upload-by-put": True},
            }
        )

    def _storage(self) -> Answer:
        card = {"type": "SDCARD", "path": "/sdcard", "available": False, "read_only": True}
        stick = {"type": "USB", "path": "/usb", "available": True, "read_only": False}
        return as_json({"storage_list": [card, stick]})

    def _status(self) -> Answer:
        printer, body = self.printer, self.printer.body
        told: dict[str, Any] = {
            "state": self.state,
            "temp_nozzle": round(body.temperature("hotend0"), 1),
            "target_nozzle": body.heaters["hotend0"].target_c,
            "temp_bed": round(body.temperature("bed"), 1),
            "target_bed": body.heaters["bed"].target_c,
            "axis_z": 0.2,
            "flow": 100,
            "speed": 100,
        }
        if not printer.moving:
            x, y, _ = body.planner.position(body.clock())
            told |= {"axis_x": round(x, 2), "axis_y": round(y, 2)}
        if printer.message:
            told["status_printer"] = {"ok": False, "message": printer.message}
        answer: dict[str, Any] = {"printer": told}
        if printer.busy:
            answer["job"] = {"id": printer.starts, "progress": round(printer.share * 100, 1)}
        return as_json(answer)

    def _job(self) -> Answer:
        printer = self.printer
        if not printer.file_name or (self.forgets_ended_jobs and not printer.busy):
            return NOTHING
        file = {
            "name": f"{printer.file_name[:6].upper()}~1.GCO",
            "display_name": printer.file_name,
            "path": "/usb",
            "m_timestamp": 1648042843,
        }
        return as_json(
            {
                "id": printer.starts,
                "state": self.state,
                "progress": round(printer.share * 100, 1),
                "time_printing": 1,
                "file": file,
            }
        )

    async def _file(self, request: Request) -> Answer:
        name = request.path.removeprefix(FILES)
        if request.method == "PUT":
            return self._upload(name, request)
        if name not in self.printer.files or self._unlisted > 0:
            self._unlisted -= 1
            return as_json({"title": "NOT FOUND", "message": "File not found"}, status=404)
        if request.method == "GET":
            return as_json({"name": name, "type": "PRINT_FILE", "read_only": False})
        if request.method == "DELETE":
            self.printer.files.pop(name)
            return NOTHING
        if self.printer.busy:
            return Answer(status=409, body=b"Printer is busy")
        self.orders.append("start")
        self.printer.start(name)
        if self.swallow_starts:
            self.swallow_starts -= 1
            await self._off.wait()
        return NOTHING

    def _upload(self, name: str, request: Request) -> Answer:
        if request.headers.get("content-type") != "text/x.gcode":
            return Answer(status=415, body=b"Unsupported media type")
        self.orders.append("upload")
        self.printer.files[name] = request.body
        self._unlisted = UNLISTED
        return Answer(status=201)

    def _order(self, method: str, id: int, verb: str) -> Answer:
        printer = self.printer
        if id != printer.starts or not printer.busy:
            return Answer(status=404, body=b"No such job")
        self.orders.append(f"{method}{verb}")
        match method, verb, printer.state:
            case "DELETE", "", _:
                printer.cancel()
            case "PUT", "/pause", Printing.PRINTING:
                printer.pause()
            case "PUT", "/resume", Printing.PAUSED:
                printer.resume()
            case _:
                return Answer(status=409, body=b"Not in this state")
        return NOTHING


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

"""A virtual Klipper printer behind Moonraker: JSON-RPC on a websocket, uploads by HTTP.

Follows a recorded session with Moonraker 0.11 and its documentation: answers after some
milliseconds, status only as differences four times a second, console lines to everybody.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from pathlib import Path
from secrets import token_hex
from typing import Any

from device_bridge.virtual.klipper import RESTART_S, RefusedByKlipperError, VirtualKlipper
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.moonraker_client import Client
from device_bridge.virtual.web import Answer, Guest, Request, WebServer, as_json

STATUS_S = 0.25
REPLY_S = 0.004
PAUSE_S = 0.16
STOP_REPLY_S = 0.05
VERSION = "v0.11.0-virtual"
MOVING = frozenset({"printer.print.start", "printer.print.resume", "printer.gcode.script"})


class VirtualMoonraker:
    """One printer on a port of its own. ``cut`` and ``mend`` pull the network cable: the print
    goes on. ``lose_replies``: methods that are obeyed and never answered."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "moonraker",
        speed: float = 1.0,
        api_key: str = "",
        restart_s: float = RESTART_S,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.klipper = VirtualKlipper(
            ledger=Ledger(folder / f"{name}.json", ended=ended),
            speed=speed,
            notify=self._notify,
            restart_s=restart_s,
        )
        self.web = WebServer(self._answer, welcome=self._welcome, leave=self._leave)
        self.orders: list[str] = []
        self.lose_replies: set[str] = set()
        self._api_key = api_key
        self._tokens: set[str] = set()
        self._clients: dict[Guest, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broadcast: asyncio.Task[None] | None = None
        self._flood_until = 0.0

    async def start(self) -> None:
        """Switch on."""
        await self.web.mend()
        self._broadcast = asyncio.get_running_loop().create_task(self._tell_status())

    async def stop(self) -> None:
        """Switch off."""
        tasks = [*self._tasks, *([self._broadcast] if self._broadcast else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.klipper.stop()
        await self.web.stop()

    def babble(self, text: str) -> None:
        """Say this to everybody, whatever it is."""
        for guest in self._clients:
            guest.say(text)

    def flood(self, for_s: float) -> None:
        """Send status as fast as it goes."""
        self._flood_until = asyncio.get_running_loop().time() + for_s

    def _welcome(self, guest: Guest) -> None:
        token = guest.request.query.get("token", "")
        trusted = not self._api_key or token in self._tokens
        self._tokens.discard(token)
        client = Client(guest, trusted=trusted)
        self._clients[guest] = client
        guest.heard = lambda text: self._heard(client, text)

    def _leave(self, guest: Guest) -> None:
        self._clients.pop(guest, None)

    def _heard(self, client: Client, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._reply(client, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, client: Client, text: str) -> None:
        message = json.loads(text)
        method, id = message["method"], message.get("id")
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": id}
        try:
            answer["result"] = await self._call(client, method, message.get("params") or {})
        except RefusedByKlipperError as refused:
            answer["error"] = {"code": refused.code, "message": refused.text}
        await asyncio.sleep(REPLY_S)
        if method not in self.lose_replies:
            client.guest.say(json.dumps(answer))

    async def _call(self, client: Client, method: str, params: dict[str, Any]) -> Any:
        if method == "server.connection.identify":
            client.trusted = client.trusted or params.get("api_key") == self._api_key
        if not client.trusted:
            raise RefusedByKlipperError("Unauthorized", -32602)
        if method in MOVING:
            self.orders.append(method)
        if method in {"printer.objects.query", "printer.objects.subscribe"}:
            return self._objects(client, method, params)
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "server.connection.identify": self._identify,
            "server.info": self._server_info,
            "server.history.list": self._history,
            "server.files.delete_file": lambda: self._delete(str(params.get("path", ""))),
            "printer.info": self._printer_info,
            "printer.objects.list": self._list,
            "printer.print.start": lambda: self._start(str(params.get("filename", ""))),
            "printer.print.pause": self._pause,
            "printer.print.resume": self._resume,
            "printer.print.cancel": self._cancel,
            "printer.gcode.script": lambda: self._script(str(params.get("script", ""))),
            "printer.emergency_stop": self._emergency_stop,
            "printer.firmware_restart": self._firmware_restart,
        }
        if method not in steps:
            raise RefusedByKlipperError("Method not found", -32601)
        return await steps[method]()

    async def _identify(self) -> dict[str, int]:
        return {"connection_id": len(self._clients)}

    async def _server_info(self) -> dict[str, Any]:
        host = self.klipper.host
        return {
            "klippy_connected": host != "disconnected",
            "klippy_state": host,
            "components": ["history", "file_manager", "websockets"],
            "moonraker_version": VERSION,
            "api_version": [1, 5, 0],
        }

    async def _printer_info(self) -> dict[str, Any]:
        self.klipper.demand_host()
        return {
            "state": self.klipper.host,
            "state_message": self.klipper.message,
            "hostname": "virtual-klipper",
            "software_version": "v0.13.0-virtual",
        }

    async def _history(self) -> dict[str, Any]:
        return {"count": len(self.klipper.history), "jobs": self.klipper.history}

    async def _delete(self, path: str) -> dict[str, Any]:
        name = path.removeprefix("gcodes/")
        if self.klipper.printer.files.pop(name, None) is None:
            raise RefusedByKlipperError(f"File {name} does not exist", 404)
        return {"action": "delete_file", "item": {"path": name, "root": "gcodes"}}

    async def _list(self) -> dict[str, Any]:
        self.klipper.demand_host()
        return {"objects": ["gcode", "mcu", *self.klipper.objects()]}

    def _objects(self, client: Client, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.klipper.demand_host()
        asked = Client(client.guest, trusted=True)
        asked.wanted = params["objects"]
        status = asked.select(self.klipper.objects())
        if method == "printer.objects.subscribe":
            client.wanted, client.told = asked.wanted, status
        return {"eventtime": asyncio.get_running_loop().time(), "status": status}

    async def _start(self, name: str) -> str:
        self.klipper.start(name)
        return "ok"

    async def _pause(self) -> str:
        self.klipper.demand_ready()
        if self.klipper.printer.busy:
            await asyncio.sleep(PAUSE_S)
            self.klipper.printer.pause()
        return "ok"

    async def _resume(self) -> str:
        self.klipper.demand_ready()
        if self.klipper.objects()["pause_resume"]["is_paused"]:
            self.klipper.printer.resume()
        return "ok"

    async def _cancel(self) -> str:
        self.klipper.demand_ready()
        if self.klipper.printer.busy:
            self.klipper.printer.cancel()
        return "ok"

    async def _script(self, script: str) -> str:
        await self.klipper.script(script)
        return "ok"

    async def _emergency_stop(self) -> str:
        self.klipper.emergency_stop()
        await asyncio.sleep(STOP_REPLY_S)
        return "ok"

    async def _firmware_restart(self) -> str:
        self.klipper.firmware_restart()
        return "ok"

    def _notify(self, method: str, *params: Any) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params:
            message["params"] = list(params)
        if method == "notify_klippy_disconnected":
            for client in self._clients.values():
                client.wanted = {}
        self.babble(json.dumps(message))

    async def _tell_status(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            flooding = loop.time() < self._flood_until
            await asyncio.sleep(0.001 if flooding else STATUS_S)
            objects = self.klipper.objects()
            for client in list(self._clients.values()):
                if flooding:
                    client.told = {}
                if changed := client.difference(objects):
                    update = {
                        "jsonrpc": "2.0",
                        "method": "notify_status_update",
                        "params": [changed, loop.time()],
                    }
                    client.guest.say(json.dumps(update))

    async def _answer(self, request: Request) -> Answer:
        if self._api_key and request.headers.get("x-api-key") != self._api_key:
            return _error(401, "Unauthorized")
        await asyncio.sleep(REPLY_S)
        match request.method, request.path:
            case "GET", "/access/oneshot_token":
                token = token_hex(16)
                self._tokens.add(token)
                return as_json({"result": token})
            case "GET", "/server/info":
                return as_json({"result": await self._server_info()})
            case "GET", "/printer/info":
                return await self._by_http(self._printer_info)
            case "POST", "/printer/emergency_stop":
                return await self._by_http(self._emergency_stop)
            case "POST", "/printer/firmware_restart":
                return await self._by_http(self._firmware_restart)
            case "POST", "/server/files/upload":
                return self._upload(request)
        return _error(404, "Not Found")

    async def _by_http(self, step: Callable[[], Awaitable[Any]]) -> Answer:
        try:
            return as_json({"result": await step()})
        except RefusedByKlipperError as refused:
            return _error(refused.code, refused.text)

    def _upload(self, request: Request) -> Answer:
        parts = _form(request)
        name, content = parts["file"]
        claimed = parts.get("checksum", ("", b""))[1].decode()
        if claimed and claimed != hashlib.sha256(content).hexdigest():
            return _error(422, "File checksum mismatch")
        if self.klipper.printer.busy and self.klipper.printer.file_name == name:
            return _error(403, "File is loaded, upload not permitted")
        self.klipper.printer.files[name] = content
        self.orders.append("upload")
        item = {"path": name, "root": "gcodes", "size": len(content), "permissions": "rw"}
        self._notify("notify_filelist_changed", {"action": "create_file", "item": item})
        told = {"action": "create_file", "item": item, "print_started": False}
        return as_json(told, status=201)


def _form(request: Request) -> dict[str, tuple[str, bytes]]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts: dict[str, tuple[str, bytes]] = {}
    for part in message_from_bytes(head + request.body).walk():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = (part.get_filename() or "", content)
    return parts


def _error(code: int, message: str) -> Answer:
    return as_json({"error": {"code": code, "message": message}}, status=code)

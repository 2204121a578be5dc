"""The ways to one OctoPrint: REST for orders, a websocket for its words, REST aside for stops."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from device_bridge.dialects import octoprint
from device_bridge.errors import DeviceError, DeviceRefusedError, LinkLostError, NotAuthorizedError
from device_bridge.transports.http import HttpLink, json_object
from device_bridge.transports.websocket import WebSocketLink
from domain.shared.errors import InvalidInputError

REPLY_S = 10.0
UPLOAD_S = 300.0
STOP_S = 1.0
POLL_S = 0.2
SETTLES_S = 2.0
"""For so long "Closed" may still be the state before the new connection."""
CLOSED = ("closed", "offline", "error")
CONNECTING = ("open", "detect", "connect")


class OctoPrintWire:
    """``heard`` gets every message of the websocket, ``broken`` its loss."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        heard: Callable[[dict[str, Any]], None],
        broken: Callable[[DeviceError], None],
    ) -> None:
        self._base, socket_url = addresses(url)
        self._headers = {"X-Api-Key": api_key} if api_key else {}
        self._heard = heard
        self._broken = broken
        self._socket = WebSocketLink(socket_url)
        self._link: HttpLink | None = None
        self._stop_link: HttpLink | None = None

    async def open(self) -> dict[str, Any]:
        """Log in and listen; what ``/api/version`` and ``/api/connection`` say.

        Raises ``DeviceError``.
        """
        await self.close()
        self._link, self._stop_link = self._new(REPLY_S), self._new(STOP_S)
        version = json_object(await self._link.ask("GET", "/api/version"))
        now = await self.connection()
        login = await self._link.ask("POST", "/api/login", json={"passive": True})
        hello = octoprint.auth(json_object(login))
        if not hello:
            raise NotAuthorizedError(
                "OctoPrint lets nobody in without a key", remedy="give --option api_key=@FILE"
            )
        await self._socket.open(self._received, self._broken)
        await self._socket.send(hello)
        return {**now, **version}

    async def close(self) -> None:
        """Close everything; no callback runs afterwards."""
        await self._socket.close()
        links = (self._link, self._stop_link)
        self._link = self._stop_link = None
        for link in links:
            if link is not None:
                await link.close()

    async def job(self) -> dict[str, Any]:
        """State, file and progress now."""
        return json_object(await self._ask("GET", "/api/job"))

    async def connection(self) -> dict[str, Any]:
        """State, port and baud rate of OctoPrint's own connection to the printer."""
        answer = json_object(await self._ask("GET", "/api/connection"))
        current = answer.get("current")
        return current if isinstance(current, dict) else {}

    async def file(self, name: str) -> dict[str, Any] | None:
        """What OctoPrint keeps of a stored file; ``None`` when it has none."""
        try:
            return json_object(await self._ask("GET", _path(name)))
        except DeviceRefusedError as no:
            if " 404 " in no.message:
                return None
            raise

    async def upload(self, name: str, program: Path) -> None:
        """Store a file. Selects and starts nothing."""
        form = {"select": "false", "print": "false"}
        async with self._new(UPLOAD_S) as link:
            with await asyncio.to_thread(program.open, "rb") as content:
                files = {"file": (name, content, "application/octet-stream")}
                await link.ask("POST", "/api/files/local", data=form, files=files)

    async def start(self, name: str) -> None:
        """Select a stored file and print it; 409 when something is on the printer."""
        await self._ask("POST", _path(name), json={"command": "select", "print": True})

    async def delete(self, name: str) -> None:
        """Take a file off its place."""
        await self._ask("DELETE", _path(name))

    async def order(self, command: str, **more: str) -> None:
        """``pause`` (with an ``action``) or ``cancel``; 204 says only that it was heard."""
        await self._ask("POST", "/api/job", json={"command": command, **more})

    async def cool(self, tools: list[str], *, bed: bool, chamber: bool) -> None:
        """Every set-point to 0."""
        targets = dict.fromkeys(tools or ["tool0"], 0)
        await self._ask("POST", "/api/printer/tool", json={"command": "target", "targets": targets})
        for name, there in (("bed", bed), ("chamber", chamber)):
            if there:
                await self._ask(
                    "POST", f"/api/printer/{name}", json={"command": "target", "target": 0}
                )

    async def stop(self) -> None:
        """``M112`` past everything that waits, on a connection of its own; anew if it is stale."""
        order = {"command": "M112"}
        if self._stop_link is not None:
            try:
                await self._stop_link.ask("POST", "/api/printer/command", json=order)
            except LinkLostError:
                pass
            else:
                return
        async with self._new(STOP_S) as link:
            await link.ask("POST", "/api/printer/command", json=order)

    async def job_aside(self) -> dict[str, Any]:
        """The same as ``job`` on a new connection."""
        async with self._new(STOP_S) as link:
            return json_object(await link.ask("GET", "/api/job"))

    async def revive(self, order: dict[str, Any], *, within_s: float) -> str:
        """Have OctoPrint open its port to the printer when it is closed; its state then,
        in small letters; empty when it was open all along.

        Raises ``TimeoutError`` when it is still connecting then.
        """
        await self.close()
        self._link = self._new(REPLY_S)
        try:
            async with asyncio.timeout(within_s):
                return await self._revived(order)
        finally:
            await self.close()

    async def _revived(self, order: dict[str, Any]) -> str:
        loop = asyncio.get_running_loop()
        if not await self._is_closed():
            return ""
        await self._ask("POST", "/api/connection", json={"command": "connect", **order})
        believed_at = loop.time() + SETTLES_S
        while True:
            state = str((await self.connection()).get("state", "")).lower()
            closed = state.startswith(CLOSED)
            if not state.startswith(CONNECTING) and not (closed and loop.time() < believed_at):
                return state
            await asyncio.sleep(POLL_S)

    async def _is_closed(self) -> bool:
        return str((await self.connection()).get("state", "")).lower().startswith(CLOSED)

    def _received(self, text: str) -> None:
        for message in octoprint.unwrapped(text):
            self._heard(message)

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        if self._link is None:
            raise LinkLostError("OctoPrint is not connected")
        return await self._link.ask(method, path, **request)

    def _new(self, timeout_s: float) -> HttpLink:
        return HttpLink(self._base, headers=self._headers, timeout_s=timeout_s)


def addresses(url: str) -> tuple[str, str]:
    """The HTTP address and the websocket's. Raises ``InvalidInputError``."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInputError("OctoPrint's address is http://HOST:PORT", field="port")
    place = f"{parts.netloc}{parts.path.rstrip('/')}"
    socket = "wss" if parts.scheme == "https" else "ws"
    return f"{parts.scheme}://{place}", f"{socket}://{place}/sockjs/websocket"


def _path(name: str) -> str:
    return f"/api/files/local/{quote(name)}"

"""The ways to one Moonraker: a websocket for work, one for emergency stops, HTTP for files."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from device_bridge.dialects import moonraker
from device_bridge.errors import DeviceError, DeviceRefusedError
from device_bridge.transports.http import HttpLink, json_object
from device_bridge.transports.json_rpc import RpcLine
from domain.shared.errors import InvalidInputError

REPLY_S = 10.0
UPLOAD_S = 300.0
STOP_S = 3.0
POLL_S = 0.2
RESTART_BEGINS_S = 3.0
"""For so long "shutdown" may still be the state before the restart."""
CLIENT: Mapping[str, Any] = {
    "client_name": "Imewe bridge",
    "version": "1",
    "type": "bot",
    "url": "imewe:bridge",
}
Heard = Callable[[moonraker.Meaning], None]


class MoonrakerWire:
    """``heard`` gets every notification of the first websocket, and from the second only that
    Klipper halted; ``broken`` the loss of the first."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        heard: Heard,
        broken: Callable[[DeviceError], None],
    ) -> None:
        self._base, self._socket_url = addresses(url)
        self._headers = {"X-Api-Key": api_key} if api_key else {}
        self._heard = heard
        self._line = RpcLine(self._socket_url, heard=heard, broken=broken)
        self._stop_line = RpcLine(self._socket_url, heard=self._hear_halts)

    async def open(self) -> None:
        """Open both websockets. Raises ``DeviceError``."""
        await self.close()
        for line in (self._line, self._stop_line):
            await self._begin(line)

    async def close(self) -> None:
        """Close everything; no callback runs afterwards."""
        await self._line.close()
        await self._stop_line.close()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, reply_s: float = REPLY_S
    ) -> Any:
        """Ask on the first websocket."""
        return await self._line.call(method, params, reply_s=reply_s)

    async def upload(self, name: str, program: Path) -> None:
        """Store a file among Klipper's; its digest is checked there. Starts nothing."""
        digest = await asyncio.to_thread(_digest, program)
        form = {"root": "gcodes", "checksum": digest, "print": "false"}
        async with HttpLink(self._base, headers=self._headers, timeout_s=UPLOAD_S) as link:
            with await asyncio.to_thread(program.open, "rb") as content:
                await link.ask(
                    "POST",
                    "/server/files/upload",
                    data=form,
                    files={"file": (name, content, "application/octet-stream")},
                )

    async def stop(self) -> None:
        """Send the emergency stop: on its own websocket, else by HTTP on a new connection.

        Returns at the server's answer; the machine's word comes as a notification.
        """
        if self._stop_line.is_open:
            with contextlib.suppress(DeviceError):
                await self._stop_line.call("printer.emergency_stop", reply_s=STOP_S)
                return
        async with self._aside() as link:
            await link.ask("POST", "/printer/emergency_stop")

    async def host_state(self) -> tuple[str, str]:
        """Klipper's state and its message, over a connection of their own.

        After a restart Klipper says "ready" before its Moonraker has found its objects: it is
        ready when both say so.
        """
        async with self._aside() as link:
            server = _word(json_object(await link.ask("GET", "/server/info")), "klippy_state")
            if server in {"", "disconnected"}:
                return server, ""
            try:
                info = json_object(await link.ask("GET", "/printer/info"))
            except DeviceRefusedError:
                return server, ""
            state = _word(info, "state") or server
            return server if state == "ready" else state, _word(info, "state_message")

    async def restart_firmware(self, *, within_s: float) -> tuple[str, str]:
        """Restart Klipper and its boards; state and message when it has settled.

        Raises ``TimeoutError`` when it has not within that time.
        """
        async with self._aside() as link, asyncio.timeout(within_s):
            await link.ask("POST", "/printer/firmware_restart")
            believed_at = monotonic() + RESTART_BEGINS_S
            while True:
                state, message = await self.host_state()
                halted = state in {"shutdown", "error"} and monotonic() > believed_at
                if halted or state == "ready":
                    return state, message
                await asyncio.sleep(POLL_S)

    def _hear_halts(self, meaning: moonraker.Meaning) -> None:
        if isinstance(meaning, moonraker.KlippyShutdown) or (
            isinstance(meaning, moonraker.GcodeResponse) and meaning.stopped
        ):
            self._heard(meaning)

    @asynccontextmanager
    async def _aside(self) -> AsyncIterator[HttpLink]:
        async with HttpLink(self._base, headers=self._headers, timeout_s=STOP_S) as link:
            yield link

    async def _begin(self, line: RpcLine) -> None:
        token = ""
        if self._headers:
            async with self._aside() as link:
                answer = json_object(await link.ask("GET", "/access/oneshot_token"))
            token = str(answer.get("result", ""))
        await line.open(token=token)
        await line.call("server.connection.identify", CLIENT, reply_s=REPLY_S)


def addresses(url: str) -> tuple[str, str]:
    """The HTTP address and the websocket's of ``http://host:port`` or ``ws://host:port``.

    Raises ``InvalidInputError``.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise InvalidInputError("Moonraker's address is http://HOST:PORT", field="port")
    secure = parts.scheme in {"https", "wss"}
    path = parts.path.rstrip("/").removesuffix("/websocket")
    http, socket = ("https", "wss") if secure else ("http", "ws")
    return f"{http}://{parts.netloc}{path}", f"{socket}://{parts.netloc}{path}/websocket"


def _digest(program: Path) -> str:
    with program.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _word(answer: Mapping[str, Any], name: str) -> str:
    result = answer.get("result")
    value = result.get(name) if isinstance(result, dict) else None
    return value if isinstance(value, str) else ""

"""Text messages to and from a machine's websocket."""

import asyncio
from collections.abc import Callable, Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from device_bridge.errors import DeviceError, LinkLostError, SilentDeviceError

OPEN_S = 10.0
PING_S = 5.0
PING_ANSWER_S = 10.0
LARGEST = 16 << 20
"""Bytes of one message."""


class WebSocketLink:
    """One connection. A peer that answers no ping is gone after some 15 s."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._headers = dict(headers or {})
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._socket is not None

    async def open(
        self,
        received: Callable[[str], None],
        lost: Callable[[DeviceError], None],
        *,
        url: str | None = None,
    ) -> None:
        """Connect; both callbacks run in this event loop. Raises ``LinkLostError``,
        ``SilentDeviceError``. ``url`` replaces the usual one (a one-time token is in it)."""
        await self.close()
        try:
            socket = await connect(
                url or self._url,
                additional_headers=self._headers,
                open_timeout=OPEN_S,
                ping_interval=PING_S,
                ping_timeout=PING_ANSWER_S,
                max_size=LARGEST,
                proxy=None,
            )
        except TimeoutError as late:
            raise SilentDeviceError("the websocket does not open") from late
        except (OSError, InvalidHandshake, InvalidURI, EOFError) as problem:
            raise LinkLostError(f"the websocket does not open: {problem}") from problem
        self._socket = socket
        self._reading = asyncio.get_running_loop().create_task(self._read(socket, received, lost))

    async def send(self, text: str) -> None:
        """Send one message. Raises ``LinkLostError``."""
        if self._socket is None:
            raise LinkLostError("the websocket is not open")
        try:
            await self._socket.send(text)
        except ConnectionClosed as closed:
            raise LinkLostError("the websocket was closed") from closed

    async def close(self) -> None:
        """Close; no callback runs afterwards."""
        reading, self._reading = self._reading, None
        socket, self._socket = self._socket, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if socket is not None:
            await socket.close()

    async def _read(
        self,
        socket: ClientConnection,
        received: Callable[[str], None],
        lost: Callable[[DeviceError], None],
    ) -> None:
        try:
            async for message in socket:
                received(message if isinstance(message, str) else message.decode(errors="replace"))
        except ConnectionClosed:
            pass
        finally:
            gone = self._socket is socket
            if gone:
                self._socket = None
        if gone:
            lost(LinkLostError("the websocket was closed"))

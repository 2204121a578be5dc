"""A machine behind a network address: the same bytes as on a serial port, over TCP.

A port has one owner, an address may have many: whether a second host is let in is up to the
machine. Keep-alives find a peer that went away without a word within about ten seconds.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from device_bridge.errors import DeviceError, LinkLostError
from domain.shared.errors import InvalidInputError

CHUNK = 65536
CONNECT_S = 5.0
KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 4), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))
SILENT_MS = 10_000
"""Unacknowledged bytes end the connection after this time."""


class TcpTransport:
    """One connection to ``tcp://host:port``; every byte is sent at once (no Nagle delay)."""

    def __init__(self, url: str) -> None:
        self.path = url
        self._host, self._port = host_and_port(url)
        self._socket: socket.socket | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._backlog = bytearray()
        self._writing = False
        self._received: Callable[[bytes], None] | None = None
        self._lost: Callable[[DeviceError], None] | None = None
        self._problem = ""

    def open(self, received: Callable[[bytes], None], lost: Callable[[DeviceError], None]) -> None:
        """Begin to connect; bytes written meanwhile wait. Failing to connect is a lost link."""
        self._received, self._lost = received, lost
        self._backlog.clear()
        self._problem = ""
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def write(self, data: bytes) -> None:
        """Send what the network takes now and queue the rest; never blocks."""
        if self._lost is None or self._problem:
            raise LinkLostError(self._problem or f"{self.path} is closed")
        self._backlog += data
        if self._socket is not None and not self._writing:
            self._flush(self._socket)

    def write_now(self, data: bytes) -> None:
        """Throw queued bytes away and send; takes no lock."""
        connection = self._socket
        if connection is None:
            raise LinkLostError(self._problem or f"{self.path} is not connected")
        self._backlog.clear()
        try:
            sent = connection.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as problem:
            raise LinkLostError(f"{self.path} is gone: {problem}") from problem
        if sent < len(data):
            self._backlog += data[sent:]

    def reset_board(self) -> bool:
        """There is no such line over a network."""
        return False

    def close(self) -> None:
        """Give the connection back."""
        self._received = self._lost = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        self._hang_up()

    async def _connect(self) -> None:
        connection: socket.socket | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._reach()
        except (OSError, TimeoutError) as problem:
            self._break(f"{self.path} cannot be reached: {_cause(problem)}")
            return
        self._socket = connection
        asyncio.get_running_loop().add_reader(connection, self._read, connection)
        self._flush(connection)

    async def _reach(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
            for option, value in KEEP_ALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            await loop.sock_connect(connection, address)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self, connection: socket.socket) -> None:
        reason = "the other side closed it"
        try:
            chunk = connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as problem:
            chunk, reason = b"", str(problem)
        if not chunk:
            self._break(f"{self.path} is gone: {reason}")
        elif self._received is not None:
            self._received(chunk)

    def _flush(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the reader reports a loss
            del self._backlog[: connection.send(self._backlog)]
        loop = asyncio.get_running_loop()
        if self._backlog and not self._writing:
            self._writing = True
            loop.add_writer(connection, self._flush, connection)
        elif not self._backlog and self._writing:
            self._writing = False
            loop.remove_writer(connection)

    def _break(self, problem: str) -> None:
        self._problem = problem
        self._hang_up()
        if self._lost is not None:
            self._lost(LinkLostError(problem))

    def _hang_up(self) -> None:
        connection, self._socket = self._socket, None
        self._writing = False
        self._backlog.clear()
        if connection is None:
            return
        with contextlib.suppress(RuntimeError):  # no loop runs any more
            loop = asyncio.get_running_loop()
            loop.remove_reader(connection)
            loop.remove_writer(connection)
        connection.close()


def _cause(problem: Exception) -> str:
    if isinstance(problem, socket.gaierror):
        return str(problem.strerror)
    number = problem.errno if isinstance(problem, OSError) else None
    return os.strerror(number) if number else f"no answer within {CONNECT_S:.0f} s"


def host_and_port(url: str) -> tuple[str, int]:
    """Of ``tcp://host:port``. Raises ``InvalidInputError``."""
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError as problem:
        raise InvalidInputError(f"{url} is no address: {problem}", field="port") from problem
    if not host or not port:
        raise InvalidInputError(f"{url} lacks host or port: tcp://host:port", field="port")
    return host, port

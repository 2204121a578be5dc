"""The machine's end of a network link: one host at a time, as serial-to-network adapters do."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

CHUNK = 65536
MOST_BACKLOG = 65536


class TcpPort:
    """Listens on 127.0.0.1; the number stays the same when the cable is pulled and put back."""

    def __init__(
        self, *, received: Callable[[bytes], None], opened: Callable[[], None], number: int = 0
    ) -> None:
        self.number = number
        self._received = received
        self._opened = opened
        self._listening: socket.socket | None = None
        self._host: socket.socket | None = None
        self._backlog = bytearray()

    @property
    def plugged(self) -> bool:
        """Whether the port exists."""
        return self._listening is not None

    def plug(self) -> None:
        """Listen."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.number))
        listening.listen(4)
        listening.setblocking(False)
        self.number = listening.getsockname()[1]
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._accept)

    def unplug(self) -> None:
        """Listen no more and drop the host."""
        self._drop()
        listening, self._listening = self._listening, None
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()

    def write(self, data: bytes) -> None:
        """Send to the host; what nobody reads is lost, as on a wire."""
        if self._host is None or len(self._backlog) > MOST_BACKLOG:
            return
        waiting = bool(self._backlog)
        self._backlog += data
        if not waiting:
            self._drain()
            if self._backlog and self._host is not None:
                asyncio.get_running_loop().add_writer(self._host, self._drain)

    def _accept(self) -> None:
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            host, _ = self._listening.accept()
            if self._host is not None:
                host.close()
                return
            host.setblocking(False)
            host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._host = host
            asyncio.get_running_loop().add_reader(host, self._read)
            self._opened()

    def _read(self) -> None:
        if self._host is None:
            return
        try:
            data = self._host.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self._drop()

    def _drain(self) -> None:
        if self._host is None:
            return
        with contextlib.suppress(OSError):
            del self._backlog[: self._host.send(self._backlog)]
        if not self._backlog:
            asyncio.get_running_loop().remove_writer(self._host)

    def _drop(self) -> None:
        host, self._host = self._host, None
        self._backlog.clear()
        if host is not None:
            asyncio.get_running_loop().remove_reader(host)
            asyncio.get_running_loop().remove_writer(host)
            host.close()

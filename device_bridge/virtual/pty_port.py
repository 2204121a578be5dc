"""The machine's end of a pty, under a name that stays."""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path

CHUNK = 4096
MOST_BACKLOG = 65536


class PtyPort:
    """A pty whose slave is reached through the link ``path``.

    The slave stays open here, so a host that comes and goes never hangs the port up, and no
    polling is needed: packet mode tells when a host opens it (pyserial flushes the input).
    """

    def __init__(
        self, path: Path, *, received: Callable[[bytes], None], opened: Callable[[], None]
    ) -> None:
        self.path = path
        self._received = received
        self._opened = opened
        self._master = -1
        self._slave = -1
        self._backlog = bytearray()

    @property
    def plugged(self) -> bool:
        """Whether the port exists."""
        return self._master >= 0

    def plug(self) -> None:
        """Make the pty and its name."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        os.set_blocking(self._master, False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.path)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        """Pull the cable: the host's reads end at once."""
        if self._master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        self.path.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        self._backlog.clear()

    def write(self, data: bytes) -> None:
        """Send to the host; what nobody reads is lost, as on a wire."""
        if self._master < 0 or len(self._backlog) > MOST_BACKLOG:
            return
        if self._backlog:
            self._backlog += data
            return
        sent = self._try_write(data)
        if sent < len(data):
            self._backlog += data[sent:]
            asyncio.get_running_loop().add_writer(self._master, self._drain)

    def _try_write(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except OSError:
            return 0

    def _drain(self) -> None:
        del self._backlog[: self._try_write(bytes(self._backlog))]
        if not self._backlog:
            asyncio.get_running_loop().remove_writer(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            packet = os.read(self._master, CHUNK)
            if not packet:
                return
            if packet[0] == 0:
                self._received(packet[1:])
            elif packet[0] & termios.TIOCPKT_FLUSHREAD:
                self._backlog.clear()
                asyncio.get_running_loop().remove_writer(self._master)
                self._opened()

"""A serial port or pty: one thread reads, the event loop writes, a stop overtakes."""

import asyncio
import contextlib
import errno
import os
import select
import termios
import threading
import time
from collections.abc import Callable

import serial

from device_bridge.errors import DeviceError, LinkLostError, PortError

CHUNK = 4096
DTR_PULSE_S = 0.25


class SerialTransport:
    """One port, opened exclusively (a second open fails at once).

    The reading thread blocks in ``select`` without a time-out and is woken by a pipe, so an
    idle port costs nothing. Received bytes reach the loop by ``call_soon_threadsafe``.
    """

    def __init__(self, path: str, *, baudrate: int = 115200) -> None:
        self.path = path
        self._baudrate = baudrate
        self._port: serial.Serial | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backlog = bytearray()
        self._wake: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._received: Callable[[bytes], None] | None = None
        self._lost: Callable[[DeviceError], None] | None = None

    def open(self, received: Callable[[bytes], None], lost: Callable[[DeviceError], None]) -> None:
        """Open at once, exclusively. Raises ``PortError``."""
        self._loop = asyncio.get_running_loop()
        self._received, self._lost = received, lost
        try:
            port = serial.Serial(self.path, self._baudrate, timeout=0, exclusive=True)
        except (OSError, ValueError) as problem:
            number = problem.errno if isinstance(problem, OSError) else None
            cause = os.strerror(number) if number else str(problem)
            raise PortError(f"port {self.path} cannot be opened: {cause}") from problem
        self._port = port
        self._backlog.clear()
        self._wake = os.pipe()
        self._thread = threading.Thread(
            target=self._read, args=(port.fileno(), self._wake[0]), daemon=True, name=self.path
        )
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Write what the port takes now and queue the rest; never blocks."""
        if self._port is None or self._loop is None:
            raise LinkLostError(f"port {self.path} is closed")
        if self._backlog:
            self._backlog += data
            return
        written = self._try_write(self._port.fileno(), data)
        if written < len(data):
            self._backlog += data[written:]
            self._loop.add_writer(self._port.fileno(), self._drain)

    def write_now(self, data: bytes) -> None:
        """Throw queued bytes away and write; takes no lock."""
        if self._port is None:
            raise LinkLostError(f"port {self.path} is closed")
        descriptor = self._port.fileno()
        self._backlog.clear()
        if self._try_write(descriptor, data) < len(data):
            with contextlib.suppress(termios.error):
                termios.tcflush(descriptor, termios.TCOFLUSH)
            self._try_write(descriptor, data)

    def reset_board(self) -> bool:
        """Pulse DTR, which resets most boards. False where the port has no such line."""
        if self._port is None:
            return False
        try:
            self._port.dtr = False
            time.sleep(DTR_PULSE_S)
            self._port.dtr = True
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Stop reading and give the port back."""
        self._received = self._lost = None
        port, self._port = self._port, None
        if port is None or self._wake is None or self._thread is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_writer(port.fileno())
        os.write(self._wake[1], b"x")
        self._thread.join()
        for descriptor in self._wake:
            os.close(descriptor)
        with contextlib.suppress(OSError, termios.error):
            port.close()

    def _try_write(self, descriptor: int, data: bytes) -> int:
        try:
            return os.write(descriptor, data)
        except OSError as problem:
            if problem.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                return 0
            raise LinkLostError(f"port {self.path} is gone: {problem}") from problem

    def _drain(self) -> None:
        if self._port is None or self._loop is None:
            return
        descriptor = self._port.fileno()
        try:
            del self._backlog[: self._try_write(descriptor, bytes(self._backlog))]
        except LinkLostError:
            self._backlog.clear()  # the reading thread reports the loss
        if not self._backlog:
            self._loop.remove_writer(descriptor)

    def _read(self, descriptor: int, wake: int) -> None:
        """Body of the reading thread."""
        reason = "the other side closed it"
        while True:
            ready, _, _ = select.select([descriptor, wake], [], [])
            if wake in ready:
                return
            try:
                chunk = os.read(descriptor, CHUNK)
            except BlockingIOError:
                continue
            except OSError as problem:
                chunk, reason = b"", str(problem)
            if not chunk:
                break
            self._hand_over(self._deliver, chunk)
        self._hand_over(self._report_loss, LinkLostError(f"port {self.path} is gone: {reason}"))
        select.select([wake], [], [])

    def _hand_over(self, callback: Callable[..., None], value: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the port was closed
                self._loop.call_soon_threadsafe(callback, value)

    def _deliver(self, chunk: bytes) -> None:
        if self._received is not None:
            self._received(chunk)

    def _report_loss(self, error: DeviceError) -> None:
        if self._lost is not None:
            self._lost(error)

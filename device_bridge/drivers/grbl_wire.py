"""A GRBL conversation: counted characters, status reports, real-time bytes. No machine state."""

import asyncio
from collections.abc import Callable
from time import monotonic

from device_bridge.dialects import grbl
from device_bridge.dialects.grbl_stream import GrblStream
from device_bridge.dialects.lines import LineBuffer
from device_bridge.errors import DeviceError, LinkLostError
from device_bridge.protocols import Transport


class GrblWire:
    """Asks single commands and feeds a program through GRBL's receive buffer.

    A refused program line ends the feeding: ``refused`` is told, and nothing more is sent
    until ``forget``. ``broken`` is told when the conversation itself is over.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        heard: Callable[[grbl.Meaning], None],
        refused: Callable[[DeviceError], None],
        broken: Callable[[DeviceError], None],
    ) -> None:
        self.stream = GrblStream()
        self.source: Callable[[], str | None] = lambda: None
        self.taken: Callable[[str], None] = lambda _: None
        self._transport = transport
        self._heard = heard
        self._refused = refused
        self._broken = broken
        self._lines = LineBuffer()
        self._next: str | None = None
        self._asked: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._speech = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._period = 0.0
        self._open = False
        self._stopped = False

    async def open(self, *, boot_s: float) -> None:
        """Open the port and let old answers pass."""
        self._lines = LineBuffer()
        self._transport.open(self._receive, self.fail)
        self._open = True
        self.forget()
        while True:
            self._speech.clear()
            try:
                await asyncio.wait_for(self._speech.wait(), boot_s)
            except TimeoutError:
                return

    def close(self) -> None:
        """Close the port; whoever still waits is told."""
        self._transport.close()
        self._end(LinkLostError("the port was closed"))

    async def ask(self, command: str, *, timeout_s: float = 5.0) -> None:
        """Send one line when no program runs; returns with its ok. Raises the refusal."""
        async with self._turn, asyncio.timeout(timeout_s):
            if not self._open:
                raise LinkLostError("the machine is not connected")
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._asked = answered
            try:
                self._write(self.stream.push(command, monotonic()))
                await answered
            finally:
                self._asked = None

    def realtime(self, byte: bytes) -> None:
        """One real-time byte."""
        self._transport.write(byte)

    def realtime_now(self, byte: bytes) -> None:
        """One real-time byte past everything queued."""
        self._transport.write_now(byte)

    def forget(self) -> None:
        """After a soft reset: nothing in flight will be answered."""
        self.stream.clear(monotonic())
        self._next = None
        self._stopped = False

    def report_every(self, seconds: float) -> None:
        """Ask for a status report at this pace (0: never); at most 5 a second."""
        self._period = max(seconds, 0.2) if seconds else 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._period and self._open:
            self._tick()

    def pump(self) -> None:
        """Write whatever fits."""
        out = []
        now = monotonic()
        while self._open and not self._stopped:
            if self._next is None:
                self._next = self.source()
            if self._next is None or not self.stream.fits(self._next):
                break
            out.append(self.stream.push(self._next, now))
            self._next = None
        self._write(b"".join(out))

    def fail(self, error: DeviceError) -> None:
        """The conversation is over; the port stays open until ``close``."""
        if self._open:
            self._end(error)
            self._broken(error)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period, self._tick)
        try:
            self.stream.check(monotonic())
        except DeviceError as error:
            self.fail(error)
            return
        self._write(grbl.STATUS)

    def _receive(self, data: bytes) -> None:
        self._speech.set()
        for line in self._lines.feed(data):
            self._understand(grbl.parse(line))
        self.pump()

    def _understand(self, meaning: grbl.Meaning) -> None:
        if not self._open:
            return
        self._heard(meaning)
        try:
            command = self.stream.received(meaning, monotonic())
        except DeviceError as error:
            self._refuse(error)
            return
        if command is None:
            return
        if self._asked is None:
            self.taken(command)
        elif not self._asked.done():
            self._asked.set_result(None)

    def _refuse(self, error: DeviceError) -> None:
        if self._asked is not None:
            if not self._asked.done():
                self._asked.set_exception(error)
        elif not self._stopped:
            self._stopped = True
            self._refused(error)

    def _write(self, data: bytes) -> None:
        if data and self._open:
            try:
                self._transport.write(data)
            except LinkLostError as error:
                self.fail(error)

    def _end(self, error: DeviceError) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)

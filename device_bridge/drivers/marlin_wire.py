"""A Marlin conversation: numbered lines over a transport, with timers. No machine state."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic

from device_bridge.dialects import marlin
from device_bridge.dialects.lines import LineBuffer
from device_bridge.dialects.marlin_stream import MarlinStream
from device_bridge.dialects.plain_stream import PlainStream
from device_bridge.errors import DeviceError, LinkLostError, SilentDeviceError
from device_bridge.protocols import Transport

HELLO_TRIES = 3


class MarlinWire:
    """Asks single commands and feeds a program, through one window of numbered lines.

    ``source`` gives the program's next command or ``None``; ``taken`` is told each program
    command that the firmware took; ``heard`` every meaning; ``broken`` the end of it all.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        heard: Callable[[marlin.Meaning], None],
        broken: Callable[[DeviceError], None],
        reply_s: float = 6.0,
        stream: MarlinStream | PlainStream | None = None,
    ) -> None:
        self.stream = stream or MarlinStream(reply_s=reply_s)
        self.source: Callable[[], str | None] = lambda: None
        self.taken: Callable[[str], None] = lambda _: None
        self._transport = transport
        self._heard = heard
        self._broken = broken
        self._reply_s = reply_s
        self._lines = LineBuffer()
        self._asked: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._hello: asyncio.Event | None = None
        self._last_heard = 0.0
        self._speech = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._alive = False

    def open(self) -> None:
        """Open the port; nothing is sent."""
        self._lines = LineBuffer()
        self._transport.open(self._receive, self.fail)

    def close(self) -> None:
        """Close the port; whoever still waits is told."""
        self._transport.close()
        self._end(LinkLostError("the port was closed"))

    async def greet(self, *, boot_s: float) -> None:
        """``M110 N0`` until it is answered; old answers on the wire are let pass first.

        Keep-alives of a machine that is still busy renew the patience.
        """
        await self._quiet(boot_s)
        self._hello = asyncio.Event()
        for _ in range(HELLO_TRIES):
            self._transport.write(self.stream.hello())
            if await self._greeted():
                break
        else:
            raise SilentDeviceError("the machine does not answer M110")
        self._hello = None
        await self._quiet(0.05)
        self.stream.restart(monotonic())
        self._alive = True

    async def ask(self, command: str) -> None:
        """Send one command ahead of the program; returns when the firmware took it."""
        if not self._alive:
            raise LinkLostError("the machine is not connected")
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append((command, answered))
        self.pump()
        await answered

    def say(self, line: str) -> None:
        """Write a line outside the numbering (``M108``, ``M410`` for the emergency parser)."""
        self._transport.write(f"{line}\n".encode("ascii"))

    def say_now(self, line: str) -> None:
        """Overtake everything; the empty line ends whatever was half written."""
        self._transport.write_now(f"\n{line}\n".encode("ascii"))

    def fail(self, error: DeviceError) -> None:
        """The conversation is over; the port stays open until ``close``."""
        if self._alive or self._hello is not None:
            self._end(error)
            self._broken(error)

    def pump(self) -> None:
        """Write whatever the window allows."""
        if not self._alive:
            return
        now = monotonic()
        out = [self.stream.outgoing(now)]
        while self.stream.wants_more() and (command := self._next()) is not None:
            number = self.stream.push(command[0], now)
            if command[1] is not None:
                self._awaited[number] = command[1]
            out.append(self.stream.outgoing(now))
        self._write(b"".join(out))
        self._arm()

    def _next(self) -> tuple[str, asyncio.Future[None] | None] | None:
        while self._asked:
            command, answered = self._asked.popleft()
            if not answered.done():
                return command, answered
        command_or_none = self.source()
        return None if command_or_none is None else (command_or_none, None)

    def _receive(self, data: bytes) -> None:
        self._last_heard = monotonic()
        self._speech.set()
        for line in self._lines.feed(data):
            self._understand(marlin.parse(line))
        self.pump()

    def _understand(self, meaning: marlin.Meaning) -> None:
        self._heard(meaning)
        if self._hello is not None:
            if isinstance(meaning, marlin.Ok):
                self._hello.set()
            return
        if not self._alive:
            return
        try:
            acknowledged = self.stream.received(meaning, self._last_heard)
        except DeviceError as error:
            self.fail(error)
            return
        for sent in acknowledged:
            answered = self._awaited.pop(sent.number, None)
            if answered is None:
                self.taken(sent.command)
            elif not answered.done():
                answered.set_result(None)

    def _arm(self) -> None:
        """Keep one timer; it looks again when it fires early, so acks need not move it."""
        deadline = self.stream.deadline() if self._alive else None
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        delay = max(0.0, deadline - monotonic())
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay + 0.001:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        if not self._alive:
            return
        try:
            self._write(self.stream.overdue(monotonic()))
        except DeviceError as error:
            self.fail(error)
            return
        self.pump()

    def _write(self, data: bytes) -> None:
        if data:
            try:
                self._transport.write(data)
            except LinkLostError as error:
                self.fail(error)

    def _end(self, error: DeviceError) -> None:
        self._alive = False
        self._hello = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = [*self._awaited.values(), *(answered for _, answered in self._asked)]
        self._awaited.clear()
        self._asked.clear()
        for answered in waiting:
            if not answered.done():
                answered.set_exception(error)

    async def _quiet(self, seconds: float) -> None:
        """Return when nothing was heard for this long."""
        while True:
            self._speech.clear()
            try:
                await asyncio.wait_for(self._speech.wait(), seconds)
            except TimeoutError:
                return

    async def _greeted(self) -> bool:
        self._last_heard = monotonic()
        while self._hello is not None:
            rest = self._last_heard + self._reply_s / 2 - monotonic()
            if rest <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hello.wait(), rest)
                return True
        raise LinkLostError("the port went away during the handshake")

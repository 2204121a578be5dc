"""A virtual MTConnect adapter: all values when somebody connects, then changes, and a heartbeat."""

from device_bridge.dialects.lines import LineBuffer
from device_bridge.virtual.tcp_port import TcpPort

STAMP = "2026-01-12T02:13:00.000Z"
AT_FIRST = {"avail": "AVAILABLE", "exec": "READY", "estop": "ARMED", "Xpos": "12.5", "load": "3"}


class VirtualAdapter:
    """``beat_ms`` is what it grants between two pings; ``None``: it answers none. ``mute``: it
    stays connected and says nothing any more, as a computer that hangs does."""

    def __init__(self, *, beat_ms: int | None = 10_000) -> None:
        self.mute = False
        self.pings = 0
        self._beat_ms = beat_ms
        self._values = dict(AT_FIRST)
        self._lines = LineBuffer()
        self._port = TcpPort(received=self._received, opened=self._greet)

    @property
    def number(self) -> int:
        """The TCP port."""
        return self._port.number

    def plug(self) -> None:
        """Listen, always on the same port."""
        self._port.plug()

    def unplug(self) -> None:
        """Drop the host and listen no more."""
        self._port.unplug()

    def say(self, key: str, value: str) -> None:
        """One value changes."""
        self._values[key] = value
        self.tell(f"{key}|{value}")

    def tell(self, text: str) -> None:
        """Any line with the time before it."""
        self._write(f"{STAMP}|{text}\n".encode())

    def babble(self, data: bytes) -> None:
        """Say these bytes."""
        self._write(data)

    def _greet(self) -> None:
        self._lines = LineBuffer()
        self.tell("|".join(f"{key}|{value}" for key, value in self._values.items()))

    def _received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line.startswith("* PING") and self._beat_ms is not None:
                self.pings += 1
                self._write(f"* PONG {self._beat_ms}\n".encode())

    def _write(self, data: bytes) -> None:
        if not self.mute:
            self._port.write(data)

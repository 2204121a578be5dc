"""Lines without numbers over a link that loses none (TCP): one in flight, answered by ``ok``. Pure.

Nothing can be asked for again, so nothing is sent twice: a line that is not answered ends the
conversation. Firmware of this kind says nothing while it is busy, so the patience is long; that
the link itself lives is the transport's care.
"""

from device_bridge.dialects.marlin import Meaning, Ok, Resend
from device_bridge.dialects.marlin_stream import BLOCKING_REPLY_S, Sent
from device_bridge.errors import SilentDeviceError, StreamBrokenError


class PlainStream:
    """Sender's half. Times are seconds on one monotonic clock."""

    def __init__(self, *, reply_s: float = BLOCKING_REPLY_S) -> None:
        self.window = 1
        self.resends = 0
        self.timeouts = 0
        self._reply_s = reply_s
        self.restart(0.0)

    def hello(self) -> bytes:
        """Something that every firmware answers and that moves nothing."""
        return b"\nM110 N0\n"

    def restart(self, now: float) -> None:
        """Begin again; nothing is in flight."""
        self._last = 0
        self._flight: Sent | None = None
        self._written = False
        self._heard = now

    @property
    def idle(self) -> bool:
        """Everything pushed was taken."""
        return self._flight is None

    def wants_more(self) -> bool:
        """Whether ``push`` would be sent at once."""
        return self._flight is None

    def push(self, command: str, now: float) -> int:
        """Take one command; ``outgoing`` sends it."""
        self._last += 1
        self._flight = Sent(self._last, command, f"{command}\n".encode("ascii", errors="replace"))
        self._written = False
        self._heard = now
        return self._last

    def outgoing(self, now: float) -> bytes:
        """Bytes to write now."""
        if self._flight is None or self._written:
            return b""
        self._written = True
        self._heard = now
        return self._flight.frame

    def received(self, meaning: Meaning, now: float) -> list[Sent]:
        """The line that this meaning acknowledges. Raises ``StreamBrokenError``."""
        self._heard = now
        match meaning:
            case Resend(line):
                raise StreamBrokenError(
                    f"line {line} was asked for, and lines have no numbers here"
                )
            case Ok() if self._flight is not None and self._written:
                taken, self._flight = self._flight, None
                return [taken]
        return []

    def deadline(self) -> float | None:
        """When ``overdue`` wants to be called next, or ``None``."""
        return self._heard + self._reply_s if self._flight is not None else None

    def overdue(self, now: float) -> bytes:
        """Raises ``SilentDeviceError`` when the answer is overdue."""
        if self._flight is not None and now >= self._heard + self._reply_s:
            self.timeouts += 1
            raise SilentDeviceError(f"no answer to {self._flight.command}")
        return b""

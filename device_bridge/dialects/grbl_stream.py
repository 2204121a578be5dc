"""GRBL's character counting: the receive buffer is kept full and never overrun. Pure.

There are no line numbers: answers come in the order of the lines. So one lost answer cannot
be told from a lost line, and is never guessed at: the stream is given up. The first
``error:`` ends the stream too; a machine that skipped one line must not go on to the next.
"""

import re
from collections import deque

from device_bridge.dialects.grbl import Meaning, Ok, Refused, Status
from device_bridge.errors import DeviceRefusedError, SilentDeviceError, StreamBrokenError

SILENCE_S = 6.0
IDLE_REPORTS = 4
IDLE_S = 2.0
DEFAULT_RX = 128
_DWELL = re.compile(r"G0*4\s*P(\d*\.?\d+)")


class GrblStream:
    """Sender's half. Times are seconds on one monotonic clock."""

    def __init__(self) -> None:
        self.rx = DEFAULT_RX
        self._flight: deque[str] = deque()
        self._bytes = 0
        self._heard = 0.0
        self._progress = 0.0
        self._idle_reports = 0

    @property
    def idle(self) -> bool:
        """Every line was answered."""
        return not self._flight

    def clear(self, now: float) -> None:
        """After a soft reset: the firmware has thrown everything away."""
        self._flight.clear()
        self._bytes = 0
        self._heard = self._progress = now
        self._idle_reports = 0

    def fits(self, command: str) -> bool:
        """Whether the firmware's buffer, less one byte, takes this line now."""
        return self._bytes + len(command) + 1 <= self.rx - 1

    def push(self, command: str, now: float) -> bytes:
        """The bytes of a line that fits."""
        if not self._flight:
            self._heard = self._progress = now
            self._idle_reports = 0
        self._flight.append(command)
        self._bytes += len(command) + 1
        return command.encode("ascii", errors="replace") + b"\n"

    def received(self, meaning: Meaning, now: float) -> str | None:
        """The command that this meaning answers with ok, if any.

        Raises ``DeviceRefusedError`` for ``error:n`` and ``StreamBrokenError`` when the
        machine has come to rest although lines are unanswered.
        """
        self._heard = now
        match meaning:
            case Ok():
                return self._answered(now)
            case Refused():
                command = self._answered(now)
                raise DeviceRefusedError(f"{meaning.text}: {command or 'nothing was sent'}")
            case Status(state="Idle") if self._flight:
                self._resting(now)
            case Status():
                self._idle_reports = 0
                self._progress = now
        return None

    def check(self, now: float) -> None:
        """Raise ``SilentDeviceError`` when nothing at all was heard for 6 s."""
        if self._flight and now > self._heard + SILENCE_S:
            raise SilentDeviceError(f"no answer to {self._flight[0]}")

    def _answered(self, now: float) -> str | None:
        self._progress = now
        self._idle_reports = 0
        if not self._flight:
            return None
        command = self._flight.popleft()
        self._bytes -= len(command) + 1
        return command

    def _resting(self, now: float) -> None:
        self._idle_reports += 1
        dwell = _DWELL.match(self._flight[0].upper())
        patience = IDLE_S + (float(dwell[1]) if dwell else 0.0)
        if self._idle_reports >= IDLE_REPORTS and now > self._progress + patience:
            raise StreamBrokenError(f"the machine rests and has not answered {self._flight[0]}")

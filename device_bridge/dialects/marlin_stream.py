"""Marlin's numbered lines in flight: what to send, what was taken, what to repeat. Pure.

Rules, each paid for on real firmware:

* A refused line is answered by three lines, ``Error:``, ``Resend: N`` and ``ok``; that ``ok``
  acknowledges nothing, and the firmware has thrown away all input that it had not read yet.
  Some firmware leaves that ``ok`` out, so it is waited for a moment before anything is sent.
* ``Resend: N`` says that every line before N was taken, so it acknowledges them.
* A lost ``ok`` is found by sending the oldest line again: firmware that has it refuses it and
  names the next number, firmware that lacks it takes it. Either way the machine moves once.
* Two copies of a line may be on the wire after that. While any is unanswered a ``Resend`` is
  obeyed only after that moment, or the two sides would repeat themselves for ever.
"""

from collections import deque
from dataclasses import dataclass

from device_bridge.dialects.marlin import Busy, Meaning, Ok, Resend, Temperatures, framed
from device_bridge.errors import SilentDeviceError, StreamBrokenError

SETTLE_S = 0.05
REPLY_S = 6.0
BLOCKING_REPLY_S = 300.0
POKES = 5
SAME_RESENDS = 10
REMEMBERED = 64
BLOCKING = frozenset({
    "G4", "G28", "G29", "G30", "G32", "M0", "M1", "M109", "M190", "M191", "M226", "M303",
    "M400", "M600",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One numbered line."""

    number: int
    command: str
    frame: bytes


class MarlinStream:
    """Sender's half of Marlin's line protocol. Times are seconds on one monotonic clock."""

    def __init__(
        self, *, window: int = 1, window_bytes: int = 120, reply_s: float = REPLY_S
    ) -> None:
        self.window = window
        self.resends = 0
        self.timeouts = 0
        self.speaks_busy = False
        self._window_bytes = window_bytes
        self._reply_s = reply_s
        self._flight: deque[Sent] = deque()
        self._history: deque[Sent] = deque(maxlen=REMEMBERED)
        self.restart(0.0)

    def hello(self) -> bytes:
        """What begins the numbering, whatever was half written before."""
        return b"\n" + framed(0, "M110 N0")

    def restart(self, now: float) -> None:
        """Begin again at number 1, after the firmware has obeyed ``M110 N0``."""
        self._flight.clear()
        self._history.clear()
        self._last = 0  # the newest number given
        self._next = 1  # the next number to write
        self._high = 1  # no number from here on was ever written
        self._reported = 0
        self._unanswered = 0
        self._bytes_out = 0
        self._numbered_oks = False
        self._swallow_ok = False
        self._settle_until: float | None = None
        self._heard = now
        self._pokes = 0
        self._same = (0, 0)

    @property
    def idle(self) -> bool:
        """Everything pushed was taken."""
        return not self._flight

    def wants_more(self) -> bool:
        """Whether ``push`` would be sent at once."""
        return self._next > self._last and self._has_room(0)

    def push(self, command: str, now: float) -> int:
        """Number one command; ``outgoing`` sends it as soon as the window allows."""
        if not self._flight:
            self._heard = now
        self._last += 1
        self._flight.append(Sent(self._last, command, framed(self._last, command)))
        return self._last

    def outgoing(self, now: float) -> bytes:
        """Bytes to write now."""
        if self._settle_until is not None:
            if now < self._settle_until:
                return b""
            self._settled()
        frames = []
        while self._next <= self._last and self._has_room(len(self._due().frame)):
            frame = self._due().frame
            frames.append(frame)
            self._next += 1
            self._unanswered += 1
            self._bytes_out += len(frame)
        self._high = max(self._high, self._next)
        if frames:
            self._heard = now
        return b"".join(frames)

    def received(self, meaning: Meaning, now: float) -> list[Sent]:
        """Lines that this meaning acknowledges, each reported once and in order."""
        swallow, self._swallow_ok = self._swallow_ok, False
        match meaning:
            case Ok(line=None) if swallow:
                if self._unanswered == 0:
                    self._settled()
                return []
            case Ok():
                return self._taken(meaning, now)
            case Resend():
                return self._repeat(meaning.line, now)
            case Busy():
                self.speaks_busy = True
                self._heard = now
            case Temperatures(waiting=True):
                self._heard = now
        return []

    def deadline(self) -> float | None:
        """When ``overdue`` or ``outgoing`` wants to be called next, or ``None``."""
        if self._settle_until is not None:
            return self._settle_until
        return self._heard + self._patience() if self._flight else None

    def overdue(self, now: float) -> bytes:
        """The oldest line again when an answer is overdue. Raises ``SilentDeviceError``."""
        if not self._flight or self._settle_until is not None:
            return b""
        if now < self._heard + self._patience():
            return b""
        self._pokes += 1
        self.timeouts += 1
        if self._pokes > POKES:
            raise SilentDeviceError(f"no answer to line {self._flight[0].number}")
        self._heard = now
        self._unanswered += 1
        return self._flight[0].frame

    def _patience(self) -> float:
        word = self._flight[0].command.split(" ", 1)[0]
        slow = word in BLOCKING and not self.speaks_busy
        return BLOCKING_REPLY_S if slow else self._reply_s

    def _due(self) -> Sent:
        return self._flight[self._next - self._flight[0].number]

    def _has_room(self, size: int) -> bool:
        out = self._next - (self._last - len(self._flight)) - 1
        return out == 0 or (out < self.window and self._bytes_out + size <= self._window_bytes)

    def _taken(self, ok: Ok, now: float) -> list[Sent]:
        self._heard = now
        self._pokes = 0
        self._numbered_oks = self._numbered_oks or ok.line is not None
        if not self._flight or (ok.line is None and self._numbered_oks):
            return []  # firmware that numbers its answers means none of these lines
        first = self._flight[0].number
        taken = first if ok.line is None else ok.line
        written = self._high if self._settle_until is not None else self._next
        if not first <= taken < written:
            return []
        self._next = max(self._next, taken + 1)
        return self._acknowledge_below(taken + 1)

    def _repeat(self, wanted: int, now: float) -> list[Sent]:
        self._swallow_ok = True
        self._heard = now
        self._pokes = 0
        self._unanswered = max(0, self._unanswered - 1)
        self._count_resend(wanted)
        taken = self._acknowledge_below(min(wanted, self._next))
        self._recall(wanted)
        if self._flight and wanted < self._next:
            self._next = wanted
            self._bytes_out = 0
        self._settle_until = now + SETTLE_S
        return taken

    def _settled(self) -> None:
        self._settle_until = None
        self._unanswered = 0
        self._swallow_ok = False

    def _count_resend(self, wanted: int) -> None:
        self.resends += 1
        number, times = self._same
        self._same = (wanted, times + 1 if number == wanted else 1)
        if self._same[1] > SAME_RESENDS:
            raise StreamBrokenError(f"line {wanted} was asked for {times + 1} times")
        if wanted > self._last + 1:
            raise StreamBrokenError(f"line {wanted} was asked for, {self._last} is the last")

    def _recall(self, wanted: int) -> None:
        """Take back lines that a stray ``ok`` had acknowledged too early."""
        first = self._flight[0].number if self._flight else self._last + 1
        while wanted < first:
            if not self._history:
                raise StreamBrokenError(f"line {wanted} was asked for and is forgotten")
            self._flight.appendleft(self._history.pop())
            first -= 1

    def _acknowledge_below(self, number: int) -> list[Sent]:
        taken = []
        while self._flight and self._flight[0].number < number:
            sent = self._flight.popleft()
            self._history.append(sent)
            self._bytes_out = max(0, self._bytes_out - len(sent.frame))
            self._unanswered = max(0, self._unanswered - 1)
            if sent.number > self._reported:
                self._reported = sent.number
                taken.append(sent)
        return taken

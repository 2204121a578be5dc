"""A virtual mill's firmware: GRBL 1.1h's side of the wire, byte for byte.

Follows a recorded session with Grbl 1.1h: 15 planner blocks, 128 bytes of receive buffer
(more are lost, as on the real one), ``~`` swallowed in Hold:1, silence to lines while held.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from device_bridge.virtual.body import Body
from device_bridge.virtual.faults import FaultPlan
from device_bridge.virtual.grbl_commands import GrblCommands, GrblError
from device_bridge.virtual.ledger import Ledger

HOLD_DECELERATION_S = 0.3


class VirtualGrbl:
    """One virtual mill. ``unplugged`` is called when a fault pulls the cable."""

    RX_BYTES = 128
    PLANNER_BLOCKS = 15
    BANNER = "\r\nGrbl 1.1h ['$' for help]"
    COMMANDS = GrblCommands

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        ledger: Ledger,
        faults: FaultPlan,
        speed: float,
        unplugged: Callable[[float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.body = Body(self._loop.time, speed=speed, heaters={}, slots=self.PLANNER_BLOCKS)
        self.mute = False
        self.lost_bytes = 0
        self._write = write
        self._ledger = ledger
        self._faults = faults
        self._unplugged = unplugged
        self._commands = self.COMMANDS(self.body, say=self.say, block=self.block, ledger=ledger)
        self._rest = bytearray()
        self._lines: deque[str] = deque()
        self._used = 0
        self._accepted = 0
        self._alarm = False
        self._hold_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resume: Callable[[], None] | None = None
        self._resume_at = 0.0
        self._reports = 0
        self._stalled = False

    def received(self, data: bytes) -> None:
        """Bytes from the host; real-time bytes are taken out before the buffer sees them."""
        for byte in data:
            if self.mute:
                return
            match byte:
                case 0x18:
                    self._reset()
                case 0x3F:
                    self._report()
                case 0x21:
                    self._hold()
                case 0x7E:
                    self._go_on()
                case 0x9E:
                    self._rest_spindle()
                case _:
                    self._buffer(byte)
        self._work()

    def opened(self) -> None:
        """A host opened the port; this board does not restart by that."""
        self.mute = False

    def say(self, line: str) -> None:
        """One line to the host."""
        self._write(line.encode("ascii") + b"\r\n")

    def block(self, until: float, then: Callable[[], None]) -> None:
        """The running command holds the line queue until a wall time."""
        self._resume, self._resume_at = then, until
        self._timer = self._loop.call_at(until, self._unblock)

    def stop(self) -> None:
        """Switch the machine off."""
        self._halt()

    def _buffer(self, byte: int) -> None:
        if self._used >= self.RX_BYTES:
            self.lost_bytes += 1
            return
        self._used += 1
        if byte in (0x0A, 0x0D):
            self._lines.append(self._rest.decode("ascii", errors="replace").strip())
            self._rest.clear()
        else:
            self._rest.append(byte)

    def _work(self) -> None:
        while self._lines and self._resume is None and self._hold_since is None:
            line = self._lines.popleft()
            self._used -= len(line) + 1
            self._obey(line)

    def _obey(self, line: str) -> None:
        self._accepted += 1
        if self._struck():
            return
        try:
            if self._alarm and not line.startswith("$"):
                raise GrblError(9)
            if line == "$X":
                self._alarm = False
                self.say("[MSG:Caution: Unlocked]")
            elif self._commands.execute(line, done=self._done):
                return
        except GrblError as error:
            self.say(f"error:{error.number}")
            return
        self._done()

    def _struck(self) -> bool:
        """Whether a planned fault ends this line."""
        if self._faults.strike("error", self._accepted):
            self.say("error:33")
            return True
        if self._faults.strike("alarm", self._accepted):
            self._halt()
            self._alarm = True
            self.say("ALARM:1")
            self.say("[MSG:Reset to continue]")
            return True
        if fault := self._faults.strike("unplug", self._accepted):
            self._unplugged(fault.for_s)
        if self._faults.strike("mute", self._accepted):
            self.mute = True
            return True
        if self._faults.strike("stall", self._accepted):
            self._stalled = True
            self._resume = lambda: None
            self.body.planner.stop(self._loop.time())
            return True
        return False

    def _done(self) -> None:
        if not self._faults.strike("lost_ok", self._accepted):
            self.say("ok")

    def _unblock(self) -> None:
        self._timer = None
        then, self._resume = self._resume, None
        if then is not None:
            then()
        self._work()

    def _hold(self) -> None:
        now = self._loop.time()
        self._stalled = False
        if self._hold_since is not None or self.body.planner.idle(now):
            return
        self._hold_since = now
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        """Obeyed only when the hold is complete; in Hold:1 the byte is swallowed."""
        now = self._loop.time()
        if self._hold_since is None or now < self._hold_since + HOLD_DECELERATION_S:
            return
        pause = now - self._hold_since
        self.body.planner.shift(pause)
        self._hold_since = None
        if self._resume is not None:
            self.block(self._resume_at + pause, self._resume)

    def _rest_spindle(self) -> None:
        """The spindle-stop override: obeyed in a hold only."""
        if self._hold_since is not None:
            self.body.spin(0.0)

    def _reset(self) -> None:
        now = self._loop.time()
        moving = not self.body.planner.idle(now)
        braking = self._hold_since is None or now < self._hold_since + HOLD_DECELERATION_S
        self._halt()
        if moving and braking:
            self._alarm = True
            self.say("ALARM:3")
        self.say(self.BANNER)
        if self._alarm:
            self.say("[MSG:'$H'|'$X' to unlock]")

    def _halt(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._resume = None
        self.body.planner.stop(self._hold_since or self._loop.time())
        self.body.spin(0.0)
        self._hold_since = None
        self._stalled = False
        self._lines.clear()
        self._rest.clear()
        self._used = 0
        self._accepted = 0
        self._commands.reset()
        self._ledger.armed = True

    def _state(self, now: float) -> str:
        if self._alarm:
            return "Alarm"
        if self._stalled:
            return "Run"
        if self._hold_since is not None:
            return "Hold:1" if now < self._hold_since + HOLD_DECELERATION_S else "Hold:0"
        return "Idle" if self.body.planner.idle(now) else "Run"

    def _report(self) -> None:
        now = self._loop.time()
        state = self._state(now)
        x, y, z = self.body.planner.position(self._hold_since or now)
        feed = self._commands.feed_mm_min if state == "Run" else 0
        self._reports += 1
        extra = "Ov:100,100,100" if self._reports % 10 else "WCO:0.000,0.000,0.000"
        self.say(
            f"<{state}|MPos:{x:.3f},{y:.3f},{z:.3f}"
            f"|FS:{feed:.0f},{self._commands.spindle_rpm:.0f}|{extra}>"
        )

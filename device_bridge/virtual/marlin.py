"""A virtual printer's firmware: Marlin's side of the wire, byte for byte.

Follows a recorded session with Marlin 2.0.x (Linux build, ADVANCED_OK, EMERGENCY_PARSER,
BUFSIZE 4, 16 planner blocks). Bytes in by ``received``, bytes out by ``write``.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable

from device_bridge.dialects.marlin import checksum
from device_bridge.virtual.body import Body
from device_bridge.virtual.faults import FaultPlan
from device_bridge.virtual.heat import bed, hotend
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.marlin_commands import MarlinCommands

BUFSIZE = 4
PLANNER_SLOTS = 16
KEEPALIVE_S = 2.0
FLOOD_S = 0.002
_URGENT = re.compile(r"^(?:N\d+ ?)?(M112|M108|M410)(?:\D|$)")
_FRAME = re.compile(r"^N(\d+) ?(.*?)(?:\*(\d+))?$")


class VirtualMarlin:
    """One virtual printer. ``unplugged`` is called when a fault pulls the cable."""

    COMMANDS = MarlinCommands

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
        self.body = Body(
            self._loop.time,
            speed=speed,
            heaters={"hotend0": hotend(), "bed": bed()},
            slots=PLANNER_SLOTS,
        )
        self.halted = False
        self._write = write
        self._ledger = ledger
        self._faults = faults
        self._unplugged = unplugged
        self._commands = self.COMMANDS(self.body, say=self.say, block=self.block, ledger=ledger)
        self._rest = b""
        self._input: deque[str] = deque()
        self._queue: deque[tuple[int | None, str]] = deque()
        self._last_line = 0
        self._blocked: asyncio.TimerHandle | None = None
        self._resume: Callable[[], None] | None = None
        self._busy: asyncio.TimerHandle | None = None
        self._busy_word = "processing"
        self._report: asyncio.TimerHandle | None = None
        self._report_s = 0.0
        self._blind = False
        self._deaf = faults.strike("deaf", 0) is not None

    def received(self, data: bytes) -> None:
        """Bytes from the host; the emergency parser sees them before the queue does."""
        if self.halted:
            return
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for raw in lines:
            line = raw.decode("ascii", errors="replace").strip()
            if line:
                self._input.append(line)
                if (match := _URGENT.match(line)) and not self._deaf:
                    self._urgent(match[1])
        self._work()

    def opened(self) -> None:
        """A host opened the port. A halted board restarts then, as one with auto-reset does."""
        if self.halted or self._deaf:
            self._clear()
            self.body.cool_down()
            self.body.planner.stop(self._loop.time())
            self.halted = False
            self._loop.call_later(0.1, self._boot)

    def say(self, line: str) -> None:
        """One line to the host."""
        if self._deaf:
            line = line.replace("Cap:EMERGENCY_PARSER:1", "Cap:EMERGENCY_PARSER:0")
        self._write(line.encode("ascii") + b"\n")

    def block(self, until: float, then: Callable[[], None], *, busy: str = "processing") -> None:
        """The running command holds the queue until a wall time (``inf``: until ``M108``)."""
        self._resume = then
        self._busy_word = busy
        if until != float("inf"):
            self._blocked = self._loop.call_at(until, self._unblock)
        if self._busy is None:
            self._busy = self._loop.call_later(KEEPALIVE_S, self._keep_alive)

    def stop(self) -> None:
        """Switch the machine off."""
        self._clear()

    def kill(self, cause: str) -> None:
        """Heat off, motion dead, silence until the next reset."""
        self.say(cause)
        self.say("Error:Printer halted. kill() called!")
        self.say("//action:poweroff")
        self.halted = True
        self.body.cool_down()
        self.body.planner.stop(self._loop.time())
        self._clear()

    def _boot(self) -> None:
        for line in ("start", "echo: External Reset", "Marlin bugfix-2.0.x", "echo:SD card ok"):
            self.say(line)

    def _clear(self) -> None:
        for timer in (self._blocked, self._busy, self._report):
            if timer is not None:
                timer.cancel()
        self._blocked = self._busy = self._report = None
        self._resume = None
        self._input.clear()
        self._queue.clear()
        self._rest = b""
        self._last_line = 0
        self._ledger.armed = True

    def _urgent(self, word: str) -> None:
        if word == "M112":
            self.kill("echo:M112 Shutdown")
            return
        if word == "M410":
            self.body.planner.stop(self._loop.time())
        if self._resume is not None:
            self._unblock()

    def _unblock(self) -> None:
        if self._blocked is not None:
            self._blocked.cancel()
        self._blocked = None
        then, self._resume = self._resume, None
        if then is not None:
            then()
        if self._resume is None:
            if self._busy is not None:
                self._busy.cancel()
                self._busy = None
            self._work()

    def _keep_alive(self) -> None:
        self._busy = self._loop.call_later(KEEPALIVE_S, self._keep_alive)
        self.say(f"echo:busy: {self._busy_word}")

    def _work(self) -> None:
        while not self.halted:
            self._fill()
            if self._resume is not None or not self._queue:
                return
            number, command = self._queue.popleft()
            self._execute(number, command)

    def _fill(self) -> None:
        """Move lines from the wire to the command queue, checking number and checksum."""
        while self._input and len(self._queue) < BUFSIZE and not self.halted:
            line = self._input.popleft()
            match = _FRAME.match(line)
            if match is None:
                self._queue.append((None, line.split("*", 1)[0].strip()))
            elif match[2].startswith("M110"):
                self._queue.append((int(match[1]), match[2]))
            elif problem := self._refusal(line, match):
                self._refuse(problem)
            else:
                self._last_line = int(match[1])
                self._queue.append((self._last_line, match[2]))

    def _refusal(self, line: str, match: re.Match[str]) -> str:
        if match[3] is None:
            return "No Checksum with line number"
        damaged = self._faults.strike("checksum", int(match[1])) is not None
        if damaged or checksum(line.rsplit("*", 1)[0]) != int(match[3]):
            return "checksum mismatch"
        if int(match[1]) != self._last_line + 1:
            return "Line Number is not Last Line Number+1"
        return ""

    def _refuse(self, problem: str) -> None:
        self._input.clear()
        self._rest = b""
        self.say(f"Error:{problem}, Last Line: {self._last_line}")
        self.say(f"Resend: {self._last_line + 1}")
        self.say("ok")

    def _execute(self, number: int | None, command: str) -> None:
        if number is not None and self._struck(number, command):
            return
        word = command.split(" ", 1)[0]
        if word == "M112":
            self.kill("echo:M112 Shutdown")
            return
        if word == "M110":
            self._renumber(command)
        elif word == "M155":
            self._auto_report(command)
        elif word not in {"M108", "M410"} and self._commands.execute(
            command, done=lambda reply: self._done(number, reply)
        ):
            return
        self._done(number, "")

    def _struck(self, number: int, command: str) -> bool:
        """Whether a planned fault ends or holds this command."""
        if self._faults.strike("thermal", number):
            self.kill("Error:Thermal Runaway, system stopped! Heater_ID: 0")
            return True
        if fault := self._faults.strike("unplug", number):
            self._unplugged(fault.for_s)
            return False
        if self._faults.strike("mute", number):
            self.halted = True
            return True
        for kind in ("cold", "runaway"):
            if self._faults.strike(kind, number):
                self.body.heaters["hotend0"].fail(kind, self.body.machine_time())
        if self._faults.strike("blind", number):
            self._blind = True
        if self._report is not None and self._faults.strike("flood", number):
            self._report_s = FLOOD_S
            self._report.cancel()
            self._report_heat()
        if self._faults.strike("runout", number):
            self.say("//action:out_of_filament")
            self._queue.appendleft((number, command))
            self.block(float("inf"), lambda: None, busy="paused for user")
            return True
        return False

    def _done(self, number: int | None, reply: str) -> None:
        """The ``ok`` of a command; a planned fault may swallow it."""
        if number is not None and self._faults.strike("lost_ok", number):
            return
        line = "" if number is None else f" N{number}"
        free = self.body.planner.free(self._loop.time()) - 1
        if reply:
            self.say(f"ok{line} {reply}")
        else:
            self.say(f"ok{line} P{max(free, 0)} B{BUFSIZE - 1 - min(len(self._queue), 3)}")

    def _renumber(self, command: str) -> None:
        with contextlib.suppress(ValueError, IndexError):
            self._last_line = int(command.split("N", 1)[1])
        self._ledger.armed = True

    def _auto_report(self, command: str) -> None:
        with contextlib.suppress(ValueError, IndexError):
            self._report_s = float(command.split("S", 1)[1])
        if self._report is not None:
            self._report.cancel()
            self._report = None
        if self._report_s > 0:
            self._report = self._loop.call_later(self._report_s, self._report_heat)

    def _report_heat(self) -> None:
        self._report = self._loop.call_later(self._report_s, self._report_heat)
        if not self._blind:
            self.say(f" {self._commands.heat_report()}")

"""A virtual printer with RepRapFirmware's habits, after its documents (not recorded).

Plain ``ok``, no keep-alives, no ``Cap:`` lines, ``rs N`` for a line that it wants again, errors
that do not halt, ``M112`` obeyed at once and ``M999`` to come back. A port that is opened does not
restart it.
"""

from device_bridge.virtual.marlin import VirtualMarlin
from device_bridge.virtual.marlin_commands import Done, MarlinCommands

UNSUPPORTED = frozenset({"M75", "M77", "M155", "M410"})
FIRMWARE = (
    "FIRMWARE_NAME: RepRapFirmware for Duet 3 Mini5+ (virtual) FIRMWARE_VERSION: 3.5.2 "
    "ELECTRONICS: Imewe virtual board FIRMWARE_DATE: 2024-06-11"
)
STOPPED = "Emergency Stop! Reset the controller to continue."
REFUSED = "Error: G1: insufficient axes homed"
BOOT_S = 0.1


class RepRapCommands(MarlinCommands):
    """What it knows, and how it tells."""

    def execute(self, command: str, *, done: Done) -> bool:
        """Obey one command."""
        word = command.split(" ", 1)[0].upper()
        if word in UNSUPPORTED:
            self._say(f"Warning: {word}: Command is not supported")
            return False
        return super().execute(command, done=done)

    def _quick(self, word: str, command: str) -> None:
        if word == "M115":
            self._say(FIRMWARE)
        else:
            super()._quick(word, command)

    def _position(self) -> str:
        x, y, z = self._body.planner.destination
        a, b, c = self._body.planner.position(self._body.clock())
        return (
            f"X:{x:.3f} Y:{y:.3f} Z:{z:.3f} E:0.000 E0:0.0"
            f" Count {round(a * 80)} {round(b * 80)} {round(c * 400)}"
            f" Machine {x:.3f} {y:.3f} {z:.3f} Bed comp 0.000"
        )


class VirtualRepRap(VirtualMarlin):
    """One virtual printer."""

    COMMANDS = RepRapCommands
    _commands_taken = 0

    def received(self, data: bytes) -> None:
        """Halted, it still knows ``M999``."""
        if self.halted and b"M999" in data:
            self._clear()
            self.halted = False
            self._loop.call_later(BOOT_S, self._boot)
            return
        super().received(data)

    def opened(self) -> None:
        """A host opened the port; this board does not restart by that."""

    def kill(self, cause: str) -> None:
        """Heat off, motion dead."""
        self.say(STOPPED)
        self.halted = True
        self.body.cool_down()
        self.body.planner.stop(self._loop.time())
        self._clear()

    def _boot(self) -> None:
        self.say("RepRapFirmware is up and running.")

    def _urgent(self, word: str) -> None:
        if word != "M410":
            super()._urgent(word)

    def _keep_alive(self) -> None:
        """It says nothing while it is busy."""

    def _refuse(self, problem: str) -> None:
        self._input.clear()
        self._rest = b""
        self.say(f"rs {self._last_line + 1}")

    def _execute(self, number: int | None, command: str) -> None:
        self._commands_taken += 1
        if self._faults.strike("error", self._commands_taken):
            self.say(REFUSED)
            self._done(number, "")
            return
        super()._execute(number, command)

    def _done(self, number: int | None, reply: str) -> None:
        if number is not None and self._faults.strike("lost_ok", number):
            return
        if reply:
            self.say(reply)
        self.say("ok")

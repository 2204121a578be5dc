"""What a virtual mill does for each line."""

import re
from collections.abc import Callable
from typing import ClassVar

from device_bridge.virtual.body import Body
from device_bridge.virtual.ledger import Ledger
from domain.part.words import words

RAPID_MM_S = 50.0
SPINDLE_W = 250.0
SPINDLE_MAX_RPM = 1000.0
SETTINGS = {
    0: "10", 1: "25", 2: "0", 10: "1", 11: "0.010", 13: "0", 20: "0", 21: "0", 22: "0",
    30: "1000", 31: "0", 32: "0", 100: "250.000", 101: "250.000", 102: "250.000",
    110: "3000.000", 111: "3000.000", 112: "3000.000", 130: "300.000", 131: "200.000",
    132: "80.000",
}  # fmt: skip
G_CODES = frozenset({0, 1, 2, 3, 4, 17, 20, 21, 28, 40, 49, 53, 54, 80, 90, 91, 92, 93, 94})
M_CODES = frozenset({0, 2, 3, 4, 5, 7, 8, 9, 30})
_LINE = re.compile(r"(?:\s*[A-Za-z]\s*-?\d*\.?\d+)*\s*")
_CODES = re.compile(r"([GM])\s*0*(\d+)", re.IGNORECASE)


class GrblError(Exception):
    """``error:n``"""

    def __init__(self, number: int) -> None:
        super().__init__(f"error:{number}")
        self.number = number


class GrblCommands:
    """Executes lines on a body. ``execute`` returns True when ``done`` is called later."""

    ABOUT: ClassVar[dict[str, tuple[str, ...]]] = {"$I": ("[VER:1.1h.20190830:]", "[OPT:V,15,128]")}
    SETTINGS: ClassVar[dict[int, str]] = SETTINGS

    def __init__(
        self,
        body: Body,
        *,
        say: Callable[[str], None],
        block: Callable[[float, Callable[[], None]], None],
        ledger: Ledger,
    ) -> None:
        self._body = body
        self._say = say
        self._block = block
        self._ledger = ledger
        self.reset()

    def reset(self) -> None:
        """Modal state after a soft reset: no feed, no motion mode, absolute."""
        self.feed_mm_min = 0.0
        self.spindle_rpm = 0.0
        self._motion = 0
        self._relative = False

    def execute(self, line: str, *, done: Callable[[], None]) -> bool:
        """Obey one line. Raises ``GrblError``."""
        if not line:
            return False
        if line.startswith("$"):
            self._system(line)
            return False
        if not _LINE.fullmatch(line):
            raise GrblError(2 if line[0].isalpha() else 1)
        codes = [(letter.upper(), int(number)) for letter, number in _CODES.findall(line)]
        self._check(codes, words(line))
        return self._run(codes, words(line), done)

    def _system(self, line: str) -> None:
        if not self._body.planner.idle(self._body.clock()):
            raise GrblError(8)
        match line:
            case _ if line in self.ABOUT:
                for told in self.ABOUT[line]:
                    self._say(told)
            case "$$":
                for key, value in self.SETTINGS.items():
                    self._say(f"${key}={value}")
            case "$H":
                raise GrblError(5)
            case "$G":
                self._say("[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]")
            case _:
                raise GrblError(3)

    def _check(self, codes: list[tuple[str, int]], args: dict[str, float]) -> None:
        for letter, number in codes:
            if number not in (G_CODES if letter == "G" else M_CODES):
                raise GrblError(20)
        arc = self._arc(codes)
        if set(args) & set("QREABC") or (set(args) & set("IJK") and not arc):
            raise GrblError(36)

    def _arc(self, codes: list[tuple[str, int]]) -> bool:
        motions = [number for letter, number in codes if letter == "G" and number < 4]
        return (motions[-1] if motions else self._motion) in (2, 3)

    def _run(
        self, codes: list[tuple[str, int]], args: dict[str, float], done: Callable[[], None]
    ) -> bool:
        if "F" in args:
            self.feed_mm_min = args["F"]
        if "S" in args:
            self.spindle_rpm = args["S"]
        for code in codes:
            self._modal(code)
        if ("G", 4) in codes:
            return self._sync(args.get("P", 0.0) / self._body.speed, done)
        if ("M", 2) in codes or ("M", 30) in codes:
            return self._sync(0.0, lambda: self._end(done))
        if set(args) & set("XYZ") and ("G", 92) not in codes:
            return self._move(args, done)
        return False

    def _modal(self, code: tuple[str, int]) -> None:
        match code:
            case ("G", 0 | 1 | 2 | 3):
                self._motion = code[1]
            case ("G", 90) | ("G", 91):
                self._relative = code[1] == 91
            case ("M", 3) | ("M", 4):
                self._body.spin(SPINDLE_W * min(self.spindle_rpm / SPINDLE_MAX_RPM, 1.0))
            case ("M", 5):
                self.spindle_rpm = 0.0
                self._body.spin(0.0)

    def _move(self, args: dict[str, float], done: Callable[[], None]) -> bool:
        if self._motion != 0 and self.feed_mm_min <= 0:
            raise GrblError(22)
        planner = self._body.planner
        if planner.free(self._body.clock()) == 0:
            self._block(planner.next_free_at(), lambda: self._then_move(args, done))
            return True
        self._ledger.moved()
        at = planner.destination
        stop = [
            (at[i] + args[axis] if self._relative else args[axis]) if axis in args else at[i]
            for i, axis in enumerate("XYZ")
        ]
        feed = self.feed_mm_min / 60 if self._motion else RAPID_MM_S
        centre = None
        if self._motion in (2, 3):
            centre = (at[0] + args.get("I", 0.0), at[1] + args.get("J", 0.0))
        self._body.move((stop[0], stop[1], stop[2]), feed_mm_s=feed, centre=centre)
        return False

    def _then_move(self, args: dict[str, float], done: Callable[[], None]) -> None:
        if not self._move(args, done):
            done()

    def _sync(self, extra_s: float, then: Callable[[], None]) -> bool:
        """Wait for the planner to run dry, and a dwell beyond it."""
        until = max(self._body.clock(), self._body.planner.done_at()) + extra_s
        self._block(until, then)
        return True

    def _end(self, done: Callable[[], None]) -> None:
        self._body.spin(0.0)
        self.reset()
        self._ledger.finished(0.0)
        done()

"""What a virtual printer does for each G-code command."""

import math
from collections.abc import Callable

from device_bridge.virtual.body import COLD_C, Body
from device_bridge.virtual.ledger import Ledger
from domain.part.words import words

HOMING_S = 20.0
LEVELLING_S = 30.0
SILENT = frozenset({
    "G17", "G20", "G21", "G90", "G91", "M17", "M18", "M20", "M75", "M82", "M83", "M84", "M106",
    "M107", "M117", "M140", "M104", "M201", "M202", "M203", "M204", "M205", "M206", "M211",
    "M220", "M221", "M301", "M304", "M420", "M500", "M501", "M502", "M503", "M851", "M862",
    "M900", "T0", "T1", "M77", "M118", "G92", "M115", "M114",
})  # fmt: skip
CAPABILITIES = (
    "AUTOREPORT_POS:1",
    "AUTOREPORT_TEMP:1",
    "EMERGENCY_PARSER:1",
    "HOST_ACTION_COMMANDS:1",
    "PROMPT_SUPPORT:1",
    "SDCARD:0",
    "THERMAL_PROTECTION:1",
)
FIRMWARE = (
    "FIRMWARE_NAME:Marlin bugfix-2.0.x (virtual) "
    "SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin PROTOCOL_VERSION:1.0 "
    "MACHINE_TYPE:Imewe virtual printer EXTRUDER_COUNT:1"
)
Done = Callable[[str], None]


class MarlinCommands:
    """Executes commands on a body. ``execute`` returns True when ``done`` is called later."""

    def __init__(
        self,
        body: Body,
        *,
        say: Callable[[str], None],
        block: Callable[..., None],
        ledger: Ledger,
    ) -> None:
        self._body = body
        self._say = say
        self._block = block
        self._ledger = ledger
        self._feed_mm_s = 25.0
        self._relative = False
        self._relative_e = False
        self._extruder = 0.0

    def heat_report(self) -> str:
        """``T:25.54 /60.00 B:19.37 /0.00 @:127 B@:0``"""
        body = self._body
        now = body.machine_time()
        hot, plate = body.heaters["hotend0"], body.heaters["bed"]
        return (
            f"T:{hot.temperature(now):.2f} /{hot.target_c:.2f}"
            f" B:{plate.temperature(now):.2f} /{plate.target_c:.2f}"
            f" @:{round(127 * hot.duty(now))} B@:{round(127 * plate.duty(now))}"
        )

    def execute(self, command: str, *, done: Done) -> bool:
        """Obey one command; what it prints comes before its ``ok``."""
        word = command.split(" ", 1)[0].upper()
        if word in {"G0", "G1", "G2", "G3"}:
            return self._move(words(command), done)
        if word in {"G28", "G29"}:
            return self._home(HOMING_S if word == "G28" else LEVELLING_S, done)
        if word in {"M109", "M190"}:
            return self._wait_for_heat(word, words(command), done)
        if word in {"G4", "M400"}:
            return self._wait(word, words(command), done)
        if word in {"M0", "M1", "M600"}:
            self._block(math.inf, lambda: done(""), busy="paused for user")
            return True
        if word == "M105":
            done(self.heat_report())
            return True
        if word not in SILENT:
            self._say(f'echo:Unknown command: "{command}"')
            return False
        self._quick(word, command)
        return False

    def _quick(self, word: str, command: str) -> None:
        match word:
            case "G90" | "G91":
                self._relative = self._relative_e = word == "G91"
            case "M82" | "M83":
                self._relative_e = word == "M83"
            case "M104":
                self._body.heat("hotend0", words(command).get("S", 0.0))
            case "M140":
                self._body.heat("bed", words(command).get("S", 0.0))
            case "G92":
                self._set_position(words(command))
            case "M77":
                self._ledger.finished(self._body.filament_mm)
            case "M114":
                self._say(self._position())
            case "M115":
                self._say(FIRMWARE)
                for capability in CAPABILITIES:
                    self._say(f"Cap:{capability}")
            case "M118":
                self._say(command[5:].replace("A1 ", "//").strip())

    def _move(self, args: dict[str, float], done: Done) -> bool:
        planner = self._body.planner
        if planner.free(self._body.clock()) == 0:
            self._block(planner.next_free_at(), lambda: self._then_move(args, done))
            return True
        self._plan(args)
        return False

    def _then_move(self, args: dict[str, float], done: Done) -> None:
        if not self._move(args, done):
            done("")

    def _plan(self, args: dict[str, float]) -> None:
        self._ledger.moved()
        if "F" in args:
            self._feed_mm_s = args["F"] / 60
        at = self._body.planner.destination
        stop = tuple(
            (at[i] + args[axis] if self._relative else args[axis]) if axis in args else at[i]
            for i, axis in enumerate("XYZ")
        )
        extrude = self._extrusion(args)
        centre = None
        if "I" in args or "J" in args:
            centre = (at[0] + args.get("I", 0.0), at[1] + args.get("J", 0.0))
        self._body.move(
            (stop[0], stop[1], stop[2]),
            feed_mm_s=self._feed_mm_s,
            extrude_mm=extrude,
            centre=centre,
        )

    def _extrusion(self, args: dict[str, float]) -> float:
        if "E" not in args:
            return 0.0
        step = args["E"] if self._relative_e else args["E"] - self._extruder
        self._extruder += step
        if step > 0 and self._body.temperature("hotend0") < COLD_C:
            self._say("echo: cold extrusion prevented")
            return 0.0
        return step

    def _home(self, seconds: float, done: Done) -> bool:
        planner = self._body.planner
        self._ledger.moved()
        until = max(self._body.clock(), planner.done_at()) + seconds / self._body.speed
        self._block(until, lambda: self._homed(done))
        return True

    def _homed(self, done: Done) -> None:
        self._body.planner.stop(self._body.clock())
        self._body.planner.destination = (0.0, 0.0, 0.0)
        self._say("X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0")
        done("")

    def _wait_for_heat(self, word: str, args: dict[str, float], done: Done) -> bool:
        name = "hotend0" if word == "M109" else "bed"
        target = args.get("S", args.get("R", 0.0))
        rising = target > self._body.temperature(name)
        self._body.heat(name, target)
        if not rising and "R" not in args:
            return False
        self._heating(self._body.heated_at(name), done)
        return True

    def _heating(self, until: float, done: Done) -> None:
        """One report a second while waiting; ``M108`` cuts the wait short."""
        clock = self._body.clock
        step = min(until, clock() + 1.0)

        def reported() -> None:
            if clock() >= until or clock() < step - 0.01:
                done("")
                return
            self._say(f" {self.heat_report()} W:?")
            self._heating(until, done)

        self._block(step, reported)

    def _wait(self, word: str, args: dict[str, float], done: Done) -> bool:
        planner = self._body.planner
        until = max(self._body.clock(), planner.done_at())
        if word == "G4":
            until += (args.get("P", 0.0) / 1000 + args.get("S", 0.0)) / self._body.speed
        if until <= self._body.clock():
            return False
        self._block(until, lambda: done(""))
        return True

    def _set_position(self, args: dict[str, float]) -> None:
        self._extruder = args.get("E", self._extruder)
        x, y, z = self._body.planner.destination
        self._body.planner.destination = (args.get("X", x), args.get("Y", y), args.get("Z", z))

    def _position(self) -> str:
        planner = self._body.planner
        x, y, z = planner.destination
        a, b, c = planner.position(self._body.clock())
        return (
            f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{self._extruder:.2f}"
            f" Count X:{round(a * 80)} Y:{round(b * 80)} Z:{round(c * 400)}"
        )

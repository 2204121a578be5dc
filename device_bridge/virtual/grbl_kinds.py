"""Virtual machines whose firmware speaks GRBL and is not the plain one: grblHAL, and a laser."""

from typing import ClassVar

from device_bridge.virtual.grbl import VirtualGrbl
from device_bridge.virtual.grbl_commands import SETTINGS, GrblCommands

LASER_MODE = 32


class GrblHalCommands(GrblCommands):
    """``$I`` tells more than GRBL's, and ``$I+`` who made it."""

    ABOUT: ClassVar[dict[str, tuple[str, ...]]] = {
        "$I": (
            "[VER:1.1f.20230917:]",
            "[OPT:VNMSL,35,1024,3,0]",
            "[AXS:3:XYZ]",
            "[NEWOPT:ENUMS,RT-,SED]",
            "[FIRMWARE:grblHAL]",
        ),
        "$I+": (
            "[VER:1.1f.20230917:]",
            "[OPT:VNMSL,35,1024,3,0]",
            "[AXS:3:XYZ]",
            "[NEWOPT:ENUMS,RT-,SED]",
            "[FIRMWARE:grblHAL]",
            "[DRIVER:Imewe virtual]",
            "[BOARD:none]",
            "[PLUGIN:none v0.01]",
        ),
    }


class VirtualGrblHal(VirtualGrbl):
    """A mill with grblHAL: a receive buffer of 1,024 bytes, 35 planner blocks."""

    RX_BYTES = 1024
    PLANNER_BLOCKS = 35
    BANNER = "\r\nGrblHAL 1.1f ['$' or '$HELP' for help]"
    COMMANDS = GrblHalCommands


class LaserCommands(GrblCommands):
    """``$32=1``: the S word is the beam."""

    SETTINGS: ClassVar[dict[int, str]] = {**SETTINGS, LASER_MODE: "1"}


class VirtualLaser(VirtualGrbl):
    """A laser in GRBL's laser mode: a feed hold takes the beam away, a resume gives it back."""

    COMMANDS = LaserCommands

    def _hold(self) -> None:
        before = self._hold_since
        super()._hold()
        if before is None and self._hold_since is not None:
            self._beam_w = self.body.spindle_w
            self.body.spin(0.0)

    def _go_on(self) -> None:
        held = self._hold_since is not None
        super()._go_on()
        if held and self._hold_since is None:
            self.body.spin(self._beam_w)

"""What a program may say to a machine, as the check of an order and the bridge read it."""

import pytest

from device_bridge.dialects import grbl, marlin
from domain.part.gcode import read_program
from domain.part.sendable import LONGEST_COMMAND, clean, forbidden
from domain.shared.errors import InvalidInputError

PRINT = ("G28", "M104 S200", "M83", "G1 X10 Y10 E1 F3000", "G1 X20 Y10 E1")


@pytest.mark.parametrize(
    "spelling", ["M112", "m112", "M112S1", "M 112", "M0112", "M112.0", "N5 M112*33", "G1 X1 M112"]
)
def test_a_stop_is_known_however_it_is_spelled(spelling: str) -> None:
    assert forbidden(clean(spelling)) == "M112"


@pytest.mark.parametrize(
    "command",
    ["M117 print M112!", "M118 done?", "M1120", "G1 X112", "; M112", "(M112) G1 X1", "$H"],
)
def test_what_only_looks_like_a_stop_may_be_said(command: str) -> None:
    assert forbidden(clean(command)) == ""


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("M502", "M502"),
        ("M92 X1000", "M92"),
        ("M24", "M24"),
        ("$RST=*", "$RST"),
        ("$X", "$X"),
        ("G1 X1!", "!"),
        ("~", "~"),
        ("G1 X1\x18", "character 24"),
    ],
)
def test_an_order_whose_program_commands_the_machine_itself_is_told_what(
    command: str, named: str
) -> None:
    assert read_program(line + "\n" for line in (*PRINT, command)).unsafe == (named,)


def test_a_line_that_no_machine_takes_is_refused_before_a_machine_is_taken() -> None:
    with pytest.raises(InvalidInputError, match="Line 6 is longer than the 90 characters"):
        read_program(line + "\n" for line in (*PRINT, "G1 " + "X10 " * 30))
    assert read_program(line + "\n" for line in (*PRINT, ";" + "x" * 500)).unsafe == ()


def test_the_check_knows_how_much_each_firmware_takes() -> None:
    assert LONGEST_COMMAND["fdm"] == marlin.LONGEST_COMMAND
    assert LONGEST_COMMAND["mill"] == LONGEST_COMMAND["laser"] == grbl.LONGEST_COMMAND

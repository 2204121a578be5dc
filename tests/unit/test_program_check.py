"""What a program may not do on one machine: found before anything moves, with its line."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_bridge.errors import BadProgramError
from device_bridge.gcode import survey
from device_bridge.safety.program_check import demand_sound
from domain.node.profile import checked_profile
from domain.part.checking import Limits, check_program
from domain.shared.errors import InvalidInputError

PRINTER: dict[str, Any] = {
    "process": "fdm",
    "max_size": {"x": 250.0, "y": 210.0, "z": 200.0},
    "max_nozzle_c": 290.0,
    "max_bed_c": 110.0,
    "origin": "corner",
}
MILL = {"process": "mill", "max_size": {"x": 300.0, "y": 180.0, "z": 45.0}}
LASER = {"process": "laser", "max_size": {"x": 300.0, "y": 180.0, "z": 1.0}, "max_power_s": 1000.0}
GOOD = "M104 S200\nG28\nM109 S200\nG1 X10 Y10 Z0.2 F3000\nG1 X60 Y40 E2.1\nM104 S0\nM140 S0\n"


def found(program: str, profile: dict[str, Any], *, material: str = "") -> list[tuple[int, str]]:
    """Line and code of each error."""
    report = check_program(program.splitlines(), Limits.of(profile, material=material))
    return [(finding.line, finding.code) for finding in report.errors]


def warned(program: str, profile: dict[str, Any]) -> list[str]:
    report = check_program(program.splitlines(), Limits.of(profile))
    return [each.code for each in report.findings if each not in report.errors]


def test_a_sound_program_is_sound() -> None:
    report = check_program(GOOD.splitlines(), Limits.of(PRINTER, material="PLA"))
    assert (report.findings, report.unknown, report.lines) == ((), {}, 7)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("G1 X256 Y10", "OUT_OF_BOUNDS"),
        ("g1x256", "OUT_OF_BOUNDS"),
        ("G1 Y-6 ; purge", "OUT_OF_BOUNDS"),
        ("G1 Z-1.5", "OUT_OF_BOUNDS"),
        ("G91\nG1 X260", "OUT_OF_BOUNDS"),
        ("G92 X-200\nG1 X60", "OUT_OF_BOUNDS"),
        ("G20\nG1 X10.5", "OUT_OF_BOUNDS"),
        ("G1 X245 Y100\nG2 X245 Y110 I0 J5\nG3 X245 Y160 I0 J25", "OUT_OF_BOUNDS"),
        ("M104 S291", "NOZZLE_TOO_HOT"),
        ("M109 R300", "NOZZLE_TOO_HOT"),
        ("M190 S111", "BED_TOO_HOT"),
        ("M502", "FORBIDDEN"),
        ("M500 ; keep", "FORBIDDEN"),
        ("N5 M112*32", "FORBIDDEN"),
        ("M999", "FORBIDDEN"),
        ("M997", "FORBIDDEN"),
        ("$RST=*", "FORBIDDEN"),
        ("T1", "NO_SUCH_TOOL"),
        ("G1 Xnan", "BROKEN"),
        ("G1 X1 " + "E1 " * 60, "TOO_LONG"),
    ],
)
def test_what_a_printer_may_not_be_told_is_found_on_its_line(line: str, code: str) -> None:
    program = f"G28\n{line}\nG1 X5 Y5\n"
    assert code in [each for _, each in found(program, PRINTER)]
    first = next(number for number, each in found(program, PRINTER) if each == code)
    assert first == 1 + len(line.splitlines())


def test_primes_beside_the_bed_are_none_of_it() -> None:
    assert found("G28\nG1 Y-3.0 F1000.0\nG1 X250 Y210 Z200\n", PRINTER) == []


def test_after_homing_coordinates_are_the_machines_again() -> None:
    assert found("G92 X-200\nG28\nG1 X240\n", PRINTER) == []


@pytest.mark.parametrize(
    ("program", "errors"),
    [("G1 X-100\nG1 X100\n", 0), ("G1 X240\n", 0), ("G1 X-100\nG1 X200\n", 1)],
)
def test_a_machine_that_does_not_say_where_its_zero_is_may_have_it_in_one_place(
    program: str, errors: int
) -> None:
    profile = {name: value for name, value in PRINTER.items() if name != "origin"}
    assert len(found(program, profile)) == errors


def test_a_material_has_its_own_limits() -> None:
    assert found("M104 S280\n", PRINTER, material="PLA-black") == [(1, "NOZZLE_TOO_HOT")]
    assert found("M104 S280\n", PRINTER, material="ABS") == []


def test_a_nodes_keeper_forbids_more() -> None:
    profile = {**PRINTER, "forbidden_codes": ["M600", "G29"]}
    assert found("G29\nM600\nG28\n", profile) == [(1, "FORBIDDEN"), (2, "FORBIDDEN")]


def test_unknown_codes_are_listed_and_do_not_refuse() -> None:
    report = check_program(["START_PRINT BED=60", "M1234", "G1 X1", "M1234"], Limits.of(PRINTER))
    assert report.unknown == {"START_PRINT": (1, 1), "M1234": (2, 2)}
    assert report.errors == ()


def test_the_same_fault_a_thousand_times_is_told_once() -> None:
    report = check_program(["G1 X300 Y10\n"] * 1000, Limits.of(PRINTER))
    assert report.told() == "line 1: X 300 mm is outside -5 to 255 mm (and 999 more)"


def test_heat_that_stays_on_is_warned_of() -> None:
    assert warned("M104 S200\nG1 X1\n", PRINTER) == ["HEAT_LEFT_ON"]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("M3 S800\nG1 X10 F600\nG1 X320\nM5\n", "OUT_OF_BOUNDS"),
        ("M3 S800\nG1 X-100 F600\nG1 X210\nM5\n", "OUT_OF_BOUNDS"),
        ("M3 S24000\nG1 X1 F600\nM5\n", "TOO_FAST"),
        ("T1 M6\nM3 S800\nG1 X1 F600\nM5\n", "NO_TOOL_CHANGER"),
        ("M3 S800\nG1 X1\nM5\n", "NO_FEED"),
        ("$RST=$\nM3 S800\nG1 X1 F600\nM5\n", "FORBIDDEN"),
        ("M3 S800\nG1 X1 F600 !\nM5\n", "FORBIDDEN"),
    ],
)
def test_what_a_mill_may_not_be_told(program: str, code: str) -> None:
    assert [each for _, each in found(program, {**MILL, "max_spindle_rpm": 10000.0})] == [code]


def test_a_mills_zero_is_wherever_the_piece_is_clamped() -> None:
    program = "G21 G90\nG53 G0 Z0\nM3 S800\nG0 X-140\nG1 X150 Z-20 F600\nM5\nM30\n"
    assert found(program, MILL) == []


def test_a_cut_with_a_still_spindle_is_warned_of() -> None:
    assert warned("G1 X10 F600\n", MILL) == ["SPINDLE_OFF"]


def test_a_laser_is_bounded_in_power_and_must_not_stand_still() -> None:
    assert found("M4 S1200\nG1 X10 F600\nM5\n", LASER) == [(1, "TOO_FAST")]
    assert found("M4\nG1 X10 F600 S1200\nM5\n", LASER) == [(2, "TOO_FAST")]
    assert warned("M3 S200\nG4 P1\nM5\n", LASER) == ["BEAM_STANDS"]


def test_the_bridge_refuses_with_every_finding(tmp_path: Path) -> None:
    program = tmp_path / "p.gcode"
    program.write_text("M104 S400\nG28\nG1 X900\nM502\n")
    with pytest.raises(BadProgramError) as refusal:
        demand_sound(program, PRINTER, material="PLA")
    assert refusal.value.message == (
        "line 1: the nozzle may reach 260 °C, not 400 °C; "
        "line 3: X 900 mm is outside -5 to 255 mm; line 4: M502 may not stand in a program"
    )
    program.write_text(GOOD)
    demand_sound(program, PRINTER, material="PLA")


def test_a_long_program_takes_no_more_memory_than_a_short_one() -> None:
    def lines(count: int) -> Iterator[str]:
        for number in range(count):
            yield f"G1 X{number % 200}.{number % 1000:03d} Y{number % 150} E0.1\n"

    tracemalloc.start()
    check_program(lines(50_000), Limits.of(PRINTER))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000


def test_a_profile_takes_what_the_check_needs_and_nothing_odd() -> None:
    base = {"process": "fdm", "materials": ["PLA"], "max_size": {"x": 1, "y": 1, "z": 1}}
    more = {"origin": "centre", "forbidden_codes": ["m600", "G29"], "tools": 2}
    assert checked_profile({**base, **more})["forbidden_codes"] == ["G29", "M600"]
    assert "origin" not in checked_profile(base)
    for wrong in ({"origin": "left"}, {"forbidden_codes": ["X1"]}, {"tools": 0}):
        with pytest.raises(InvalidInputError):
            checked_profile({**base, **wrong})


def test_a_long_look_at_a_program_gives_a_stop_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr("device_bridge.gently.time.sleep", rests.append)
    program = tmp_path / "p.gcode"
    program.write_text("G1 X1 Y1\n" * 6400)
    demand_sound(program, PRINTER, material="PLA")
    assert len(rests) == 50
    survey(program, longest=90)
    assert len(rests) == 250

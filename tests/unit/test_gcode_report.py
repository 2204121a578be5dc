"""What a program says of itself."""

import math

import pytest

from domain.part.gcode import LONGEST_LINE, GcodeReader, read_program
from domain.part.toolpath import RAPID
from domain.ports import GcodeReport
from domain.shared.errors import InvalidInputError

TRAVEL_MS = 1000 * 10 / RAPID
AREA = math.pi * (1.75 / 2) ** 2


def report(*lines: str) -> GcodeReport:
    return read_program(line + "\n" for line in lines)


def test_an_absolute_print_is_measured_where_it_extrudes() -> None:
    made = report(
        "M104 S210",
        "M140 S60",
        "M109 S210",
        "G90",
        "M82",
        "G28",
        "G92 E0",
        "G1 X100 Y100 Z0.2 F6000",
        "G1 X120 E10 F1200",
        "G1 Y130 E25",
        "G1 X0 Y0 F6000",
        "M104 S0",
    )
    assert made.process == "fdm"
    assert made.lines == 12
    assert made.size_mm == (20, 30, 0)
    assert (made.lower_mm, made.upper_mm) == ((100, 100, 0.2), (120, 130, 0.2))
    assert made.material_mm3 == round(25 * AREA)
    assert (made.nozzle_c, made.bed_c) == (210, 60)


def test_relative_extrusion_counts_every_length() -> None:
    made = report("M83", "G1 X10 E5 F600", "G1 X20 E5", "G1 X30 E5")
    assert made.material_mm3 == round(15 * AREA)


def test_a_retraction_that_is_undone_uses_no_material() -> None:
    made = report("M83", "G1 X10 E5", "G1 E-2", "G1 X50", "G1 E2", "G1 X60 E5")
    assert made.material_mm3 == round(10 * AREA)


def test_resetting_the_extruder_does_not_lose_or_double_material() -> None:
    made = report("M82", "G1 X10 E5", "G92 E0", "G1 X20 E5", "G1 E4", "G92 E0", "G1 E1 X30")
    assert made.material_mm3 == round(10 * AREA)


def test_relative_moves_add_up() -> None:
    made = report("G91", "M83", "G1 X10 E1 F600", "G1 X10 Y5 E1", "G90", "G1 X0 E1")
    assert made.upper_mm == (20, 5, 0)
    assert made.size_mm == (20, 5, 0)


def test_the_word_for_relative_moves_governs_the_extruder_too() -> None:
    made = report("G91", "G1 X10 E5 F600", "G1 X10 E5", "G90", "G1 X0 E12")
    assert made.material_mm3 == round(12 * AREA)


def test_inches_become_millimetres() -> None:
    made = report("G20", "M3 S1000", "G1 X1 Y2 F10")
    assert made.size_mm == (25.4, 50.8, 0)
    assert made.duration_ms == pytest.approx(60_000 * math.hypot(1, 2) / 10, rel=0.02)


def test_long_moves_take_distance_over_feed() -> None:
    assert report("M3", "G1 X600 F600").duration_ms == pytest.approx(60_000, rel=0.01)
    assert report("M3", "G1 X600 F600", "G4 P2500").duration_ms == pytest.approx(62_500, rel=0.01)


def test_many_sharp_corners_take_longer_than_a_straight_line() -> None:
    zigzag = [f"G1 X{i} Y{i % 2 * 10}" for i in range(1, 200)]
    straight = [f"G1 X{i * 10.05}" for i in range(1, 200)]
    slow = report("M3", "G1 F6000 X0.1", *zigzag)
    fast = report("M3", "G1 F6000 X0.1", *straight)
    assert slow.duration_ms > 1.3 * fast.duration_ms


def test_a_filament_of_another_diameter_is_read_from_the_slicers_comment() -> None:
    made = report("M83", "G1 X10 E10", "; filament_diameter = 2.85")
    assert made.material_mm3 == round(10 * math.pi * (2.85 / 2) ** 2)


def test_a_spindle_that_goes_down_is_a_mill() -> None:
    made = report("G21", "M3 S10000", "G0 X0 Y0 Z5", "G1 Z-2 F200", "G1 X40 Y30", "M5")
    assert made.process == "mill"
    assert made.material_mm3 == 0
    assert made.lower_mm[2] == -2


def test_a_beam_in_a_plane_is_a_laser() -> None:
    assert report("M4 S500", "G1 X10 Y10 F1000", "M5").process == "laser"


def test_neither_heat_nor_spindle_leaves_the_process_open() -> None:
    assert report("G1 X10 Y10 F1000").process == "unknown"


def test_a_full_circle_reaches_all_its_sides() -> None:
    made = report("M3", "G0 X10 Y0", "G2 X10 Y0 I-10 J0 F600")
    assert made.size_mm == pytest.approx((20, 20, 0), abs=0.01)
    assert made.duration_ms == pytest.approx(TRAVEL_MS + 1000 * math.tau, rel=0.01)


def test_an_arc_by_radius_goes_the_short_way() -> None:
    made = report("M3", "G0 X10 Y0", "G3 X0 Y10 R10 F600")
    assert made.size_mm == pytest.approx((10, 10, 0), abs=0.01)
    assert made.duration_ms == pytest.approx(TRAVEL_MS + 1000 * math.tau / 4, rel=0.03)


def test_a_motion_word_holds_until_the_next() -> None:
    assert report("M3", "G1 X5 F600", "X10", "Y10").size_mm == (10, 10, 0)


def test_line_numbers_checksums_and_comments_do_not_matter() -> None:
    plain = report("G1 X10 E1 F600", "G1 Y10 E2")
    dressed = report("N1 G1 X10 E1 F600*71 ; go", "(side) G1 Y10 E2 ;TYPE:Skirt X99")
    assert dressed == plain


def test_renaming_the_place_moves_nothing() -> None:
    made = report("M83", "G1 X10 Y10 E1", "G92 X0 Y0", "G1 X5 E1")
    assert made.upper_mm == (15, 10, 0)


def test_commands_that_would_change_the_machine_are_named() -> None:
    made = report("M500", "$100=80", "$RST=*", "$H", "G1 X1 E1", "M500")
    assert made.unsafe == ("M500", "$100", "$RST")


def test_firmware_macros_pass_and_prose_is_remarked() -> None:
    made = report("START_PRINT BED=60", "G1 X1 E1", "G1 X2 E2", "hello there printer")
    assert made.remarks == ("1 lines are not understood and count nothing, line 4 first.",)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "no move"),
        (["; only a comment"], "no move"),
        (["G28", "M104 S200", "M84"], "no move"),
        (["G0 X10", "G0 X20"], "only travels"),
        (["dear printer", "please make", "my part", "G1 X1"], "3 of 4 lines"),
        (["G1 X1", "\0\0\0"], "Line 2 is no G-code"),
        (["X" * LONGEST_LINE], "does not end"),
        ([f"G1 X{'9' * 400}"], "endless number"),
    ],
)
def test_what_is_no_program_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        report(*lines)


def test_reading_keeps_nothing_of_the_file() -> None:
    reader = GcodeReader()
    for i in range(20_000):
        reader.feed(f"G1 X{i % 200} E{i}\n")
    assert reader.report().lines == 20_000
    assert not any(isinstance(kept, list) and kept for kept in vars(reader).values())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("G1 Xnan Y5", "Xnan Y5"),
        ("G1 X10 Y E2", "Y E2"),
        ("G1 X1,5", ",5"),
        ("G0 X10 20", "20"),
        ("X5 Y--3", "Y--3"),
        ("G1 X10 X20", "X stands twice"),
        ("g1x1e1e-05", "E stands twice"),
    ],
)
def test_a_motion_that_cannot_be_read_is_named_with_its_line(line: str, why: str) -> None:
    made = report("G1 X10 E5 F600", line, "G1 X nan")
    assert made.broken.startswith("line 2: ")
    assert why in made.broken


@pytest.mark.parametrize(
    "line", ["g1x10.y.5e+5f600", "G90 G1 X1 E2", "G28 X Y", "G29 T", "M117 X nan X", "M862.3 P X"]
)
def test_what_firmware_reads_is_not_broken(line: str) -> None:
    assert report("G1 X10 E5 F600", line).broken == ""


def test_extruding_below_the_bed_is_seen_even_without_a_way() -> None:
    assert report("G1 X10 E5 F600", "G1 Z-3 F600", "G1 E9").lowest_extrusion_mm == -3
    assert report("G1 X10 E5 F600", "G1 Z-3 F600", "G1 X20").lowest_extrusion_mm == 0

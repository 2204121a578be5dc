"""Every refusal has a reason that a designer can act on."""

from dataclasses import replace
from typing import Any

import pytest

from domain.part.feasibility import Demand, infeasible, misfits
from domain.part.profiles import filament, slice_profile
from domain.ports import GcodeReport, GeometryReport
from domain.shared.errors import InvalidInputError

MESH = GeometryReport(
    size_mm=(100, 50, 20),
    volume_mm3=5000,
    surface_mm2=900,
    triangles=12,
    watertight=True,
    bodies=1,
)
PRINT = GcodeReport(
    lines=10,
    size_mm=(100, 50, 20),
    lower_mm=(75, 80, 0.2),
    upper_mm=(175, 130, 20.2),
    duration_ms=1,
    material_mm3=1,
    nozzle_c=240,
    bed_c=85,
    process="fdm",
)
SMALL: dict[str, Any] = {
    "process": "fdm",
    "materials": ["PLA"],
    "max_size": {"x": 120, "y": 120, "z": 120},
    "precision_mm": 0.2,
    "max_nozzle_c": 250,
    "max_bed_c": 60,
}
LARGE: dict[str, Any] = {
    "process": "fdm",
    "materials": ["PLA", "PETG"],
    "max_size": {"x": 250, "y": 210, "z": 210},
    "precision_mm": 0.1,
    "max_nozzle_c": 280,
    "max_bed_c": 110,
}
MILL: dict[str, Any] = {
    "process": "mill",
    "materials": ["ALU"],
    "max_size": {"x": 300, "y": 200, "z": 60},
}
FLEET = [SMALL, LARGE, MILL]


def codes(demand: Demand, fleet: list[dict[str, Any]] = FLEET) -> list[str]:
    return [reason.code for reason in infeasible(demand, fleet)]


def test_one_fitting_machine_is_enough() -> None:
    assert codes(Demand(report=MESH, material="PLA")) == []
    assert codes(Demand(report=PRINT, material="PETG")) == []


def test_material_names_ignore_case() -> None:
    assert codes(Demand(report=MESH, material="petg")) == []


def test_a_material_nobody_has_names_those_there_are() -> None:
    (reason,) = infeasible(Demand(report=MESH, material="PEEK"), FLEET)
    assert reason.code == "NO_MATERIAL"
    assert "PETG, PLA" in reason.message
    assert "ALU" not in reason.message


def test_too_large_for_every_machine_names_the_largest() -> None:
    huge = replace(MESH, size_mm=(400, 50, 20))
    (reason,) = infeasible(Demand(report=huge, material="PLA"), FLEET)
    assert reason.code == "TOO_LARGE"
    assert "400 x 50 x 20 mm" in reason.message
    assert "250 x 210 x 210 mm" in reason.message


def test_the_largest_machine_counts_only_if_it_works_with_the_material() -> None:
    long = replace(MESH, size_mm=(200, 50, 20))
    fleet = [{**SMALL, "materials": ["TPU"]}, LARGE]
    (reason,) = infeasible(Demand(report=long, material="TPU"), fleet)
    assert "120 x 120 x 120 mm" in reason.message


def test_a_program_must_lie_on_the_bed_not_only_be_small_enough() -> None:
    assert misfits(Demand(report=PRINT, material="PLA"), SMALL)[0].code == "TOO_LARGE"


def test_rounding_does_not_refuse_a_part_of_exactly_the_beds_size() -> None:
    exact = replace(MESH, size_mm=(250.004, 210, 210))
    assert codes(Demand(report=exact, material="PLA")) == []


def test_an_open_mesh_is_a_reason_even_when_a_machine_would_fit() -> None:
    assert codes(Demand(report=replace(MESH, watertight=False), material="PLA")) == [
        "NOT_WATERTIGHT"
    ]


def test_a_mesh_that_encloses_nothing_is_a_reason() -> None:
    assert codes(Demand(report=replace(MESH, volume_mm3=0.0), material="PLA")) == ["NO_VOLUME"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    broken = replace(MESH, watertight=False, size_mm=(400, 50, 20))
    assert codes(Demand(report=broken, material="PLA")) == ["NOT_WATERTIGHT", "TOO_LARGE"]


def test_a_mesh_cannot_be_milled() -> None:
    assert codes(Demand(report=MESH, material="ALU", process="mill")) == ["NEEDS_PROGRAM"]


def test_a_program_for_another_process_than_asked_is_a_reason() -> None:
    assert codes(Demand(report=PRINT, material="ALU", process="mill")) == ["WRONG_PROCESS"]


def test_a_process_no_machine_does_is_a_reason() -> None:
    beam = replace(PRINT, process="laser")
    (reason,) = infeasible(Demand(report=beam, material="PLA"), FLEET)
    assert reason.code == "WRONG_PROCESS"
    assert "fdm, mill" in reason.message


def test_an_unclear_program_needs_the_designers_word() -> None:
    unclear = replace(PRINT, process="unknown", size_mm=(10, 10, 1))
    assert codes(Demand(report=unclear, material="ALU")) == ["UNKNOWN_PROCESS"]
    assert codes(Demand(report=unclear, material="ALU", process="mill")) == []


def test_a_program_that_would_change_the_machine_is_refused() -> None:
    assert codes(Demand(report=replace(PRINT, unsafe=("M500",)), material="PLA")) == [
        "UNSAFE_PROGRAM"
    ]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"nozzle_c": 300}, "NOZZLE_TOO_HOT", "300 °C; the suitable machines allow 280 °C"),
        ({"bed_c": 120}, "BED_TOO_HOT", "120 °C; the suitable machines allow 110 °C"),
    ],
)
def test_heat_above_every_limit_names_the_limit(
    change: dict[str, Any], code: str, said: str
) -> None:
    (reason,) = infeasible(Demand(report=replace(PRINT, **change), material="PLA"), FLEET)
    assert reason.code == code
    assert said in reason.message


def test_more_precision_than_any_machine_reaches_is_a_reason() -> None:
    (reason,) = infeasible(Demand(report=MESH, material="PLA", precision_mm=0.05), FLEET)
    assert reason.code == "PRECISION"
    assert "0.1 mm" in reason.message


def test_what_a_machine_does_not_say_of_heat_and_precision_is_not_held_against_it() -> None:
    silent = {key: LARGE[key] for key in ("process", "materials", "max_size")}
    hot = replace(PRINT, nozzle_c=400)
    assert misfits(Demand(report=hot, material="PLA", precision_mm=0.01), silent) == []


def test_a_machine_without_a_size_takes_nothing() -> None:
    silent = {"process": "fdm", "materials": ["PLA"]}
    (reason,) = infeasible(Demand(report=MESH, material="PLA"), [silent])
    assert reason.code == "TOO_LARGE"
    assert "none states its size" in reason.message


def test_no_machine_at_all_is_said_so() -> None:
    assert codes(Demand(report=MESH, material="PLA"), []) == ["NO_MACHINE"]


def test_every_reason_says_what_would_help() -> None:
    broken = replace(MESH, watertight=False)
    for demand in (
        Demand(report=broken, material="PEEK"),
        Demand(report=PRINT, material="PLA", precision_mm=0.001),
    ):
        for reason in infeasible(demand, FLEET):
            assert reason.remedy.endswith(".")


def test_a_profile_follows_the_material_and_the_machine() -> None:
    profile = slice_profile("PETG", LARGE)
    assert (profile.nozzle_c, profile.bed_c) == (240, 80)
    assert profile.bed_size_mm == (250, 210, 210)
    assert filament("pla-black") == filament("PLA")


def test_a_material_without_settings_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match="PEEK") as refused:
        slice_profile("PEEK", LARGE)
    assert "PETG" in refused.value.remedy


def test_a_motion_that_cannot_be_read_is_refused_with_its_line() -> None:
    (reason,) = infeasible(
        Demand(report=replace(PRINT, broken="line 7: 'Xnan' is no number"), material="PETG"), FLEET
    )
    assert reason.code == "BROKEN_MOTION"
    assert "line 7" in reason.message


@pytest.mark.parametrize(("lowest", "wanted"), [(-1.01, ["BELOW_BED"]), (-1.0, []), (0.0, [])])
def test_a_print_below_the_bed_is_refused(lowest: float, wanted: list[str]) -> None:
    below = replace(PRINT, lowest_extrusion_mm=lowest)
    assert codes(Demand(report=below, material="PETG")) == wanted

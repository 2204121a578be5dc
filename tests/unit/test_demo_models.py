"""The committed demo models are what the script makes, and can be made on the demo's machines."""

from pathlib import Path

import pytest

from domain.part.feasibility import Demand, infeasible
from domain.part.formats import ContentCheck
from domain.part.gcode import read_program
from ops.demo.models.make_models import FOLDER, MATERIALS, files
from ops.fabrication.mesh import measure

PRINTER = {
    "process": "fdm",
    "materials": ["PLA", "PETG"],
    "max_size": {"x": 250, "y": 210, "z": 210},
    "max_nozzle_c": 260,
    "max_bed_c": 100,
}
MILL = {"process": "mill", "materials": ["ALU"], "max_size": {"x": 180, "y": 120, "z": 50}}
PROGRAMS = sorted([*FOLDER.glob("*.gcode"), *FOLDER.glob("*.nc")])


@pytest.mark.parametrize("name", sorted(files()))
def test_making_a_model_again_gives_the_committed_bytes(name: str) -> None:
    assert files()[name] == FOLDER.joinpath(name).read_bytes()


@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_a_model_is_one_closed_body_with_a_sliced_program(name: str) -> None:
    report = measure(FOLDER / f"{name}.stl", "stl")
    assert (report.watertight, report.bodies) == (True, 1)
    program = read_program(FOLDER.joinpath(f"{name}.gcode").read_text().splitlines())
    assert program.material_mm3 == pytest.approx(report.volume_mm3, rel=0.35)
    assert program.size_mm[2] <= report.size_mm[2]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_a_program_passes_the_upload_and_fits_a_machine_of_the_demo(path: Path) -> None:
    check = ContentCheck(path.name)
    check.feed(path.read_bytes())
    assert check.finish() == "gcode"
    report = read_program(path.read_text().splitlines())
    assert (report.unsafe, report.remarks) == ((), ())
    material = MATERIALS.get(path.stem, "ALU")
    assert infeasible(Demand(report=report, material=material), [PRINTER, MILL]) == []
    assert report.process == ("mill" if path.suffix == ".nc" else "fdm")


def test_the_programs_are_short_enough_for_a_demo() -> None:
    lines = [len(path.read_text().splitlines()) for path in PROGRAMS]
    assert len(lines) == 4
    assert sum(lines) < 15_000


def test_no_program_tells_where_or_when_it_was_made() -> None:
    for path in PROGRAMS:
        text = path.read_text()
        assert "/tmp" not in text
        assert "UTC" not in text

"""Whether a part can be made: fakes stand for the file reader and the slicer."""

from dataclasses import replace
from typing import Any

import pytest

from commands.nodes.messages import ConfigureNode, RegisterNode
from commands.parts.messages import RejectPart, ValidatePart
from commands.processes.assessing import Assessor, Question, given_up, questions
from domain.inventory.aggregate import Inventory
from domain.ports import ArtifactRef, GcodeReport, GeometryReport, SliceProfile, SliceReport
from domain.shared.errors import InvalidInputError, NotFoundError, UnavailableError
from domain.shared.identifiers import derived
from tests.simulation.shop import PERSON
from tests.steps import PROFILE, Steps

PRINT = GcodeReport(
    lines=100,
    size_mm=(50.0, 50.0, 10.0),
    lower_mm=(75.0, 75.0, 0.0),
    upper_mm=(125.0, 125.0, 10.0),
    duration_ms=60_000,
    material_mm3=1000,
    nozzle_c=210,
    bed_c=60,
    process="fdm",
)
MESH = GeometryReport(
    size_mm=(50.0, 50.0, 10.0),
    volume_mm3=25_000.0,
    surface_mm2=7_000.0,
    triangles=12,
    watertight=True,
    bodies=1,
)
SLICED = SliceReport(
    slicer="PrusaSlicer 2.9",
    gcode=ArtifactRef(digest="b" * 64, size=99, format="gcode", name="cube.gcode"),
    duration_ms=70_000,
    material_mm3=1000,
    lines=100,
)
CAPABLE = {**PROFILE, "max_nozzle_c": 260.0, "max_bed_c": 100.0, "precision_mm": 0.1}


class Reader:
    """Says what it was told to say of a file; an error is raised."""

    def __init__(self, **reports: Any) -> None:
        self.reports = {key * 64: report for key, report in reports.items()}

    async def inspect(self, digest: str, *, organisation_id: str) -> Any:
        report = self.reports[digest]
        if isinstance(report, Exception):
            raise report
        return report


class Knife:
    """A slicer that remembers how it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.profile: SliceProfile | None = None

    async def slice(
        self, digest: str, profile: SliceProfile, *, organisation_id: str
    ) -> SliceReport:
        self.profile = profile
        if self.error:
            raise self.error
        return SLICED


def question(material: str = "PLA", *capabilities: dict[str, Any]) -> Question:
    return Question(
        part_id="part",
        organisation_id="org",
        job_id="job",
        artifact={"digest": "a" * 64, "size": 10, "format": "gcode", "name": "cube.gcode"},
        material=material,
        density_ug_per_mm3=1240,
        capabilities=capabilities or (CAPABLE,),
        causation_id="ordered",
        correlation_id="story",
    )


async def assessed(
    report: Any, *, asked: Question | None = None, slicer: Knife | None = None
) -> ValidatePart | RejectPart:
    assessor = Assessor(inspector=Reader(a=report, b=PRINT), slicer=slicer or Knife())
    return await assessor.assess(asked or question())


async def test_a_program_is_validated_with_its_own_figures() -> None:
    answer = await assessed(PRINT)
    assert isinstance(answer, ValidatePart)
    assert (answer.process, answer.estimated_by) == ("fdm", "G-code reader")
    assert (answer.duration_ms, answer.material_mm3, answer.material_mg) == (60_000, 1000, 1240)
    assert answer.size_mm == [50.0, 50.0, 10.0]
    assert answer.reach_mm == [125.0, 125.0, 10.0]
    assert (answer.nozzle_c, answer.bed_c) == (210, 60)


async def test_a_mill_takes_the_whole_stock_it_works_on() -> None:
    mill = replace(PRINT, process="mill", material_mm3=0, nozzle_c=0, bed_c=0)
    capable = {**CAPABLE, "process": "mill", "materials": ["WAX"]}
    answer = await assessed(mill, asked=question("WAX", capable))
    assert isinstance(answer, ValidatePart)
    assert answer.material_mm3 == 25_000


async def test_a_mesh_is_sliced_for_the_smallest_printer_that_can_make_it() -> None:
    knife = Knife()
    large = {**CAPABLE, "max_size": {"x": 300.0, "y": 300.0, "z": 300.0}}
    tiny = {**CAPABLE, "max_size": {"x": 20.0, "y": 20.0, "z": 20.0}}
    answer = await assessed(MESH, asked=question("PLA", large, tiny, CAPABLE), slicer=knife)
    assert isinstance(answer, ValidatePart)
    assert knife.profile is not None
    assert knife.profile.bed_size_mm == (200.0, 200.0, 200.0)
    assert (knife.profile.nozzle_c, knife.profile.bed_c) == (210, 60)
    assert (answer.program.digest, answer.estimated_by) == ("b" * 64, "PrusaSlicer 2.9")
    assert answer.duration_ms == 70_000


@pytest.mark.parametrize(
    ("report", "material", "code"),
    [
        (replace(PRINT, upper_mm=(500.0, 125.0, 10.0)), "PLA", "TOO_LARGE"),
        (PRINT, "GOLD", "NO_MATERIAL"),
        (replace(PRINT, nozzle_c=300), "PLA", "NOZZLE_TOO_HOT"),
        (replace(MESH, watertight=False), "PLA", "NOT_WATERTIGHT"),
        (InvalidInputError("no G-code"), "PLA", "UNREADABLE_FILE"),
        (NotFoundError("no such file"), "PLA", "UNREADABLE_FILE"),
    ],
)
async def test_what_cannot_be_made_is_rejected_with_a_reason_and_a_remedy(
    report: Any, material: str, code: str
) -> None:
    answer = await assessed(report, asked=question(material))
    assert isinstance(answer, RejectPart)
    assert [reason.code for reason in answer.reasons] == [code]
    assert all(reason.remedy for reason in answer.reasons)


async def test_without_a_slicer_the_reason_says_what_to_install() -> None:
    missing = UnavailableError("no slicer is installed here", remedy="Install PrusaSlicer")
    answer = await assessed(MESH, slicer=Knife(missing))
    assert isinstance(answer, RejectPart)
    assert answer.reasons[0].code == "NOT_SLICED"
    assert answer.reasons[0].remedy == "Install PrusaSlicer"


async def test_what_is_away_for_a_moment_is_no_reason() -> None:
    with pytest.raises(UnavailableError):
        await assessed(UnavailableError("the store is away"))
    with pytest.raises(UnavailableError):
        await assessed(MESH, slicer=Knife(UnavailableError("took too long")))


def test_after_the_last_try_the_reason_is_what_was_away() -> None:
    answer = given_up(question(), UnavailableError("the store is away"))
    assert answer.reasons[0].code == "NOT_ASSESSED"
    assert answer.reasons[0].message == "the store is away"


def test_a_part_waits_for_its_question_until_a_node_is_configured() -> None:
    steps = Steps()
    _, part = steps.ordered()
    steps.when(RegisterNode(name="new"), by=PERSON)
    assert questions(steps.processes.fleet) == []
    steps.when(ConfigureNode(node_id=steps.last_id, profile=PROFILE), by=PERSON)
    (asked,) = questions(steps.processes.fleet)
    assert (asked.part_id, asked.material, asked.density_ug_per_mm3) == (part, "PLA", 1240)
    assert asked.capabilities[0]["process"] == "fdm"


def test_the_lots_of_another_organisation_say_nothing_about_ours() -> None:
    steps = Steps()
    steps.ordered()
    steps.when(RegisterNode(name="new"), by=PERSON)
    steps.when(ConfigureNode(node_id=steps.last_id, profile=PROFILE), by=PERSON)
    steps.processes.fleet.lots["0"] = Inventory.open(
        derived("lot", "elsewhere"),
        organisation_id="elsewhere",
        node_id="n",
        material="PLA",
        lot="a",
        density_ug_per_mm3=9000,
    )
    (asked,) = questions(steps.processes.fleet)
    assert asked.density_ug_per_mm3 == 1240

"""Finds out whether a part can be made, by which program, and at what estimate.

Reading files and slicing takes seconds to minutes, so this stands beside the steps: it looks at
the fleet, calls out, and sends one command. A part waits while no node is configured: whether it
can be made is a question about machines, and without any there is no answer yet.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from commands.fleet.fleet import Fleet
from commands.parts.messages import ArtifactField, Reason, RejectPart, ValidatePart
from commands.processes.materials import facts
from domain.node.profile import BY_HAND
from domain.node.states import NodeStatus
from domain.part import feasibility
from domain.part.feasibility import Demand
from domain.ports import (
    ArtifactInspector,
    ArtifactRef,
    GcodeReport,
    GeometryReport,
    SliceProfile,
    Slicer,
)
from domain.shared.errors import InvalidInputError, NotFoundError, UnavailableError
from domain.shared.identifiers import event_id

LAYER_MM: Final = 0.2
INFILL_PERCENT: Final = 20
NOZZLE_MM: Final = 0.4
PRINTING: Final = "fdm"
UNKNOWN_MS: Final = 3_600_000
"""Assumed of work that a person does with a model that nothing slices: an hour."""
READER: Final = "G-code reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A part to assess, and what the fleet of its organisation can do.

    ``causation_id`` is the event that ordered it, ``correlation_id`` its job's story."""

    part_id: str
    organisation_id: str
    job_id: str
    artifact: dict[str, Any]
    material: str
    density_ug_per_mm3: int
    capabilities: Sequence[dict[str, Any]]
    causation_id: str
    correlation_id: str


class InfeasibleError(Exception):
    """It cannot be made; ``reasons`` say why and what would help."""

    def __init__(self, *reasons: feasibility.Reason) -> None:
        super().__init__(", ".join(reason.code for reason in reasons))
        self.reasons = reasons


def questions(fleet: Fleet) -> list[Question]:
    """The parts that can be assessed now, in the order in which they came."""
    if not fleet.unassessed:
        return []
    able: dict[str, list[dict[str, Any]]] = {}
    for node in fleet.nodes.values():
        if node.profile and node.status != NodeStatus.DECOMMISSIONED:
            able.setdefault(node.organisation_id, []).append(node.profile)
    parts = [fleet.parts[part_id] for part_id in fleet.unassessed]
    return [
        Question(
            part_id=str(part.id),
            organisation_id=part.organisation_id,
            job_id=part.job_id,
            artifact=part.artifact,
            material=part.material,
            density_ug_per_mm3=_density(fleet, part.organisation_id, part.material),
            capabilities=able[part.organisation_id],
            causation_id=event_id(part.id, 1),
            correlation_id=fleet.stories.get(part.job_id, part.job_id),
        )
        for part in parts
        if part.organisation_id in able
    ]


class Assessor:
    """Answers questions with the command to send."""

    def __init__(self, *, inspector: ArtifactInspector, slicer: Slicer) -> None:
        self._inspector = inspector
        self._slicer = slicer

    async def assess(self, question: Question) -> ValidatePart | RejectPart:
        """Validate or reject. Raises ``UnavailableError`` when it must be tried again."""
        try:
            return await self._validated(question)
        except InfeasibleError as refusal:
            reasons = refusal.reasons
        except (InvalidInputError, NotFoundError) as refusal:
            reasons = (
                feasibility.Reason(
                    code="UNREADABLE_FILE",
                    message=refusal.message,
                    remedy=refusal.remedy or "Check the file and upload it again.",
                ),
            )
        return RejectPart(
            part_id=question.part_id, reasons=[Reason(**asdict(reason)) for reason in reasons]
        )

    async def _validated(self, question: Question) -> ValidatePart:
        digest, organisation_id = question.artifact["digest"], question.organisation_id
        report = await self._inspector.inspect(digest, organisation_id=organisation_id)
        by_hand = "" if isinstance(report, GcodeReport) else _by_hand(question)
        demand = Demand(report=report, material=question.material, process=by_hand)
        _demand_feasible(demand, question.capabilities)
        program = ArtifactField(**question.artifact)
        if not isinstance(report, GcodeReport) and by_hand:
            return _unsliced(question, demand, report, program)
        if isinstance(report, GcodeReport):
            return _validation(question, demand, report, program, READER, report.duration_ms)
        profile = _slice_profile(question, demand)
        sliced = await self._slice(digest, profile, organisation_id)
        made = await self._inspector.inspect(sliced.gcode.digest, organisation_id=organisation_id)
        if not isinstance(made, GcodeReport):
            raise InvalidInputError("the slicer's output is no program", field="file")
        demand = Demand(report=made, material=question.material, process=PRINTING)
        _demand_feasible(demand, question.capabilities)
        program = _field(sliced.gcode)
        return _validation(question, demand, made, program, sliced.slicer, sliced.duration_ms)

    async def _slice(self, digest: str, profile: SliceProfile, organisation_id: str) -> Any:
        """A slicer that says what a person must do is a reason, not a time-out."""
        try:
            return await self._slicer.slice(digest, profile, organisation_id=organisation_id)
        except UnavailableError as error:
            if not error.remedy:
                raise
            raise InfeasibleError(
                feasibility.Reason(code="NOT_SLICED", message=error.message, remedy=error.remedy)
            ) from error


def given_up(question: Question, error: UnavailableError) -> RejectPart:
    """The answer after the last try."""
    reason = Reason(
        code="NOT_ASSESSED",
        message=error.message,
        remedy=error.remedy or "Submit the job again later.",
    )
    return RejectPart(part_id=question.part_id, reasons=[reason])


def _demand_feasible(demand: Demand, capabilities: Sequence[dict[str, Any]]) -> None:
    if reasons := feasibility.infeasible(demand, capabilities):
        raise InfeasibleError(*reasons)


def _validation(
    question: Question,
    demand: Demand,
    report: GcodeReport,
    program: ArtifactField,
    estimated_by: str,
    duration_ms: int,
) -> ValidatePart:
    volume = _material_mm3(demand, report)
    return ValidatePart(
        part_id=question.part_id,
        process=demand.asked_process,
        program=program,
        size_mm=list(report.size_mm),
        reach_mm=list(demand.reach_mm),
        nozzle_c=report.nozzle_c,
        bed_c=report.bed_c,
        duration_ms=max(1, duration_ms),
        material_mm3=volume,
        material_mg=max(1, round(volume * question.density_ug_per_mm3 / 1000)),
        estimated_by=estimated_by,
    )


def _by_hand(question: Question) -> str:
    """The process of attended machines that a model goes to as it is: that of the first which
    works with its material, where no printer does. Empty: it is sliced."""
    able = [c for c in question.capabilities if question.material in c["materials"]]
    if any(c["process"] == PRINTING for c in able):
        return ""
    return next((str(c["process"]) for c in able if c["process"] in BY_HAND), "")


def _unsliced(
    question: Question, demand: Demand, report: GeometryReport, model: ArtifactField
) -> ValidatePart:
    """The model itself is what the person gets; nobody knows how long they will take."""
    volume = max(1, round(report.volume_mm3))
    return ValidatePart(
        part_id=question.part_id,
        process=demand.asked_process,
        program=model,
        size_mm=list(report.size_mm),
        reach_mm=list(demand.reach_mm),
        nozzle_c=0,
        bed_c=0,
        duration_ms=UNKNOWN_MS,
        material_mm3=volume,
        material_mg=max(1, round(volume * question.density_ug_per_mm3 / 1000)),
        estimated_by="assumed",
    )


def _material_mm3(demand: Demand, report: GcodeReport) -> int:
    """What a printer extrudes; of a mill or a laser the box of stock that the work takes."""
    if demand.asked_process == PRINTING:
        return max(1, report.material_mm3)
    x, y, z = report.size_mm
    return max(1, round(x * y * z))


def _slice_profile(question: Question, demand: Demand) -> SliceProfile:
    """For the smallest printer that can make it: what fits there fits on every larger one."""
    fitting = [c for c in question.capabilities if not feasibility.misfits(demand, c)]
    x, y, z = min(tuple(c["max_size"][axis] for axis in "xyz") for c in fitting)
    heat = facts(question.material)
    return SliceProfile(
        material=question.material,
        layer_height_mm=LAYER_MM,
        infill_percent=INFILL_PERCENT,
        nozzle_mm=NOZZLE_MM,
        nozzle_c=heat.nozzle_c,
        bed_c=heat.bed_c,
        bed_size_mm=(x, y, z),
    )


def _density(fleet: Fleet, organisation_id: str, material: str) -> int:
    """Of an own lot if there is one, else what is generally true."""
    lots = sorted(
        (key, lot.density_ug_per_mm3)
        for key, lot in fleet.lots.items()
        if (lot.organisation_id, lot.material) == (organisation_id, material)
    )
    return lots[0][1] if lots else facts(material).density_ug_per_mm3


def _field(ref: ArtifactRef) -> ArtifactField:
    return ArtifactField(digest=ref.digest, size=ref.size, format=ref.format, name=ref.name)

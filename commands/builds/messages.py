"""Commands about runs of machines."""

from typing import Any

from commands.message import message, value
from commands.parts.messages import ArtifactField


@value
class PieceField:
    """Which piece of which part."""

    part_id: str
    piece: int


@message
class PlanBuild:
    """The processes plan a run; its id follows from dispatch and attempt."""

    job_id: str
    dispatch_id: str
    attempt: int
    node_id: str
    pieces: list[PieceField]
    program: ArtifactField
    material: str
    duration_ms: int
    material_mm3: int
    material_mg: int


@message
class ReserveBuild:
    """The processes hold machine and material for it."""

    build_id: str
    epoch: int
    inventory_id: str


@message
class SendBuild:
    """The processes let the relay put it on the machine's queue."""

    build_id: str


@message
class AcceptBuild:
    """The bridge takes it over. The answer repeats node_id, epoch and the program's digest."""

    build_id: str
    node_id: str
    epoch: int


@message
class StartBuild:
    """The bridge saw the machine acknowledge the first line."""

    build_id: str
    epoch: int


@message
class ReportProgress:
    """The bridge reports acknowledged progress, every 5 %."""

    build_id: str
    percent: int


@message
class ReportPaused:
    """The bridge saw the machine hold."""

    build_id: str


@message
class ReportResumed:
    """The bridge saw the machine go on."""

    build_id: str


@message
class FinishBuild:
    """The bridge saw the end of the program. ms, J, mm³, mg."""

    build_id: str
    duration_ms: int
    energy_j: int
    energy_source: str
    material_mm3: int
    material_mg: int


@message
class FailBuild:
    """The bridge saw a fault, or the processes withdraw a build that no machine had."""

    build_id: str
    reason: str
    native_text: str = ""
    duration_ms: int = 0
    energy_j: int = 0
    energy_source: str = "none"
    material_mm3: int = 0
    material_mg: int = 0


@message
class RequestBuildCancel:
    """The processes ask the machine to stop it."""

    build_id: str


@message
class ConfirmCancelled:
    """The bridge saw the stop, or the processes withdraw a build that no machine had."""

    build_id: str
    duration_ms: int = 0
    energy_j: int = 0
    energy_source: str = "none"
    material_mm3: int = 0
    material_mg: int = 0


@message
class ReportOutcomeUnknown:
    """The bridge cannot tell what the machine did. ``facts``: what it knows."""

    build_id: str
    reason: str
    facts: dict[str, Any]


@message
class InspectBuild:
    """The processes carry the verdict on its piece to it."""

    build_id: str
    passed: bool
    by: str


@message
class CorrectFigures:
    """An operator corrects what a run was reported to have used. J and mg; without
    a figure it stays."""

    build_id: str
    reason: str
    energy_j: int | None = None
    material_mg: int | None = None

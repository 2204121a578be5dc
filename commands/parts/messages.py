"""Commands about order lines and their pieces."""

from dataclasses import field

from commands.message import message, value


@value
class ArtifactField:
    """A stored file: SHA-256 in hex, bytes, format, name."""

    digest: str
    size: int
    format: str
    name: str


@message
class OrderPart:
    """The processes begin an order line; its id follows from job and line."""

    job_id: str
    line: int
    name: str
    artifact: ArtifactField
    material: str
    quantity: int


@value
class Reason:
    """Why something cannot be made, and what to do."""

    code: str
    message: str
    remedy: str


@message
class ValidatePart:
    """The processes found a way to make it. Estimates are for one piece: ms, mm³, mg, mm;
    ``reach_mm``: how far the machine must reach; °C."""

    part_id: str
    process: str
    program: ArtifactField
    size_mm: list[float]
    duration_ms: int
    material_mm3: int
    material_mg: int
    estimated_by: str
    reach_mm: list[float] = field(default_factory=list)
    nozzle_c: int = 0
    bed_c: int = 0


@message
class RejectPart:
    """The processes found that it cannot be made."""

    part_id: str
    reasons: list[Reason]


@message
class SchedulePart:
    """The processes let its pieces wait for machines."""

    part_id: str


@message
class MissMachine:
    """The processes found no machine for a piece. ``reasons``: machines by reason."""

    part_id: str
    reasons: dict[str, int]


@message
class QueuePiece:
    """The processes reserved a machine for a piece."""

    part_id: str
    piece: int
    build_id: str
    node_id: str


@message
class ReturnPiece:
    """The processes gave the reservation up."""

    part_id: str
    piece: int
    build_id: str


@message
class StartPiece:
    """The processes saw its build start or resume."""

    part_id: str
    piece: int
    build_id: str


@message
class PausePiece:
    """The processes saw its build pause."""

    part_id: str
    piece: int
    build_id: str


@message
class MakePiece:
    """The processes saw its build end, or its outcome become unknown."""

    part_id: str
    piece: int
    build_id: str


@message
class PassPiece:
    """A person, or the node's setting, found it as ordered."""

    part_id: str
    piece: int


@message
class ScrapPiece:
    """A person found it lost, or the processes saw its build fail."""

    part_id: str
    piece: int
    reason: str


@message
class CancelPiece:
    """The processes saw the machine confirm the stop."""

    part_id: str
    piece: int


@message
class CancelPart:
    """The processes carry a job's cancellation to its part."""

    part_id: str


@message
class FailPart:
    """The processes give it up."""

    part_id: str
    reason: str

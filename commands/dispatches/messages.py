"""Commands of the saga that brings a piece to a machine; all are sent by the processes."""

from typing import Any

from commands.message import message


@message
class RequestDispatch:
    """A piece wants a machine; the id follows from part and piece."""

    job_id: str
    part_id: str
    piece: int
    work: dict[str, Any]


@message
class ChooseNode:
    """The decision for an attempt, with all that explains it."""

    dispatch_id: str
    attempt: int
    build_id: str
    node_id: str
    inventory_id: str
    decision: dict[str, Any]


@message
class RecordNodeReserved:
    """The node is held under this epoch."""

    dispatch_id: str
    attempt: int
    epoch: int


@message
class RecordMaterialReserved:
    """The material is held."""

    dispatch_id: str
    attempt: int
    quantity_mg: int


@message
class RecordSent:
    """The build is on the queue."""

    dispatch_id: str
    attempt: int


@message
class RecordStarted:
    """The machine began."""

    dispatch_id: str
    attempt: int


@message
class RevertDispatch:
    """The attempt failed; give back what it took."""

    dispatch_id: str
    attempt: int
    reason: str


@message
class FinishRevert:
    """Everything was given back."""

    dispatch_id: str
    attempt: int


@message
class CloseDispatch:
    """Nothing is left to do: made, failed, cancelled or unknown."""

    dispatch_id: str
    outcome: str

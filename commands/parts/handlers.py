"""Decisions about order lines and their pieces."""

from dataclasses import asdict

from commands.handling import handles
from commands.parts.messages import (
    CancelPart,
    CancelPiece,
    FailPart,
    MakePiece,
    MissMachine,
    OrderPart,
    PassPiece,
    PausePiece,
    QueuePiece,
    RejectPart,
    ReturnPiece,
    SchedulePart,
    ScrapPiece,
    StartPiece,
    ValidatePart,
)
from commands.world import World
from domain.part.aggregate import Part
from domain.shared.checks import remark
from domain.shared.identifiers import part_id


@handles(OrderPart)
def order_part(command: OrderPart, world: World) -> Part:
    return Part.order(
        world.fresh(Part, part_id(command.job_id, command.line)),
        organisation_id=world.home(),
        job_id=command.job_id,
        line=command.line,
        name=command.name,
        artifact=asdict(command.artifact),
        material=command.material,
        quantity=command.quantity,
    )


@handles(ValidatePart)
def validate_part(command: ValidatePart, world: World) -> Part:
    part = world.get(Part, command.part_id)
    estimate = asdict(command)
    del estimate["part_id"]
    part.validate(**estimate)
    return part


@handles(RejectPart)
def reject_part(command: RejectPart, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.reject([asdict(reason) for reason in command.reasons])
    return part


@handles(SchedulePart)
def schedule_part(command: SchedulePart, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.schedule()
    return part


@handles(MissMachine)
def miss_machine(command: MissMachine, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.miss_machine(command.reasons)
    return part


@handles(QueuePiece)
def queue_piece(command: QueuePiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.queue_piece(command.piece, build_id=command.build_id, node_id=command.node_id)
    return part


@handles(ReturnPiece)
def return_piece(command: ReturnPiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.return_piece(command.piece, build_id=command.build_id)
    return part


@handles(StartPiece)
def start_piece(command: StartPiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.start_piece(command.piece, build_id=command.build_id)
    return part


@handles(PausePiece)
def pause_piece(command: PausePiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.pause_piece(command.piece, build_id=command.build_id)
    return part


@handles(MakePiece)
def make_piece(command: MakePiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.make_piece(command.piece, build_id=command.build_id)
    return part


@handles(PassPiece)
def pass_piece(command: PassPiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.pass_piece(command.piece, by=world.by)
    return part


@handles(ScrapPiece)
def scrap_piece(command: ScrapPiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    reason = world.in_own_words(remark("reason", command.reason))
    part.scrap_piece(command.piece, reason=reason, by=world.by)
    return part


@handles(CancelPiece)
def cancel_piece(command: CancelPiece, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.cancel_piece(command.piece)
    return part


@handles(CancelPart)
def cancel_part(command: CancelPart, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.cancel()
    return part


@handles(FailPart)
def fail_part(command: FailPart, world: World) -> Part:
    part = world.get(Part, command.part_id)
    part.fail(command.reason)
    return part

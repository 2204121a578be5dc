"""From an order to a machine and back: events in, exactly these commands out."""

from datetime import timedelta

from commands.builds.messages import (
    AcceptBuild,
    FailBuild,
    PieceField,
    PlanBuild,
    ReserveBuild,
    SendBuild,
)
from commands.dispatches.messages import (
    ChooseNode,
    CloseDispatch,
    FinishRevert,
    RecordMaterialReserved,
    RecordNodeReserved,
    RecordSent,
    RequestDispatch,
    RevertDispatch,
)
from commands.inventories.messages import (
    ReleaseMaterial,
    ReserveMaterial,
)
from commands.jobs.messages import FollowPart, PartOrder, SubmitJob
from commands.nodes.messages import (
    PauseNode,
    ReleaseNode,
    ReserveNode,
    ResumeNode,
)
from commands.parts.messages import (
    OrderPart,
    QueuePiece,
    ReturnPiece,
    SchedulePart,
    ScrapPiece,
)
from commands.processes.outputs import ClearTimer, Relay, Send, SetTimer
from commands.processes.watchdog import accept_timer
from domain.dispatch.aggregate import DispatchStatus
from domain.shared.identifiers import build_id, dispatch_id, lot_id
from tests.simulation.shop import BRIDGE, PERSON
from tests.steps import PROGRAM, Steps, commands, others, validation


def test_an_order_becomes_one_part_a_line() -> None:
    steps = Steps()
    parts = [
        PartOrder(name=name, artifact_digest="f" * 64, material="PLA") for name in ("left", "right")
    ]
    orders = commands(steps.when(SubmitJob(name="pair", parts=parts), by=PERSON))
    assert [type(order) for order in orders] == [OrderPart, OrderPart]
    assert [(order.line, order.name) for order in orders] == [(0, "left"), (1, "right")]
    assert {order.job_id for order in orders} == {steps.last_id}


def test_a_validated_part_waits_and_asks_for_a_machine_for_each_piece() -> None:
    steps = Steps()
    job, part = steps.ordered(quantity=2)
    asked = commands(steps.when(validation(part)))
    assert asked == [
        FollowPart(job_id=job, part_id=part, part_status="VALIDATED"),
        SchedulePart(part_id=part),
    ]
    wanted = commands(steps.when(SchedulePart(part_id=part)))
    assert wanted[0] == FollowPart(job_id=job, part_id=part, part_status="SCHEDULED")
    assert [(type(want), want.piece) for want in wanted[1:]] == [
        (RequestDispatch, 0),
        (RequestDispatch, 1),
    ]
    assert wanted[1].work["size_mm"] == [50.0, 50.0, 10.0]
    assert wanted[1].work["nozzle_c"] == 210


def test_a_dispatch_goes_to_its_machine_step_by_step() -> None:
    steps = Steps()
    node = steps.printer()
    _, part = steps.ordered()
    outputs = steps.follow(validation(part), until="ChooseNode")
    dispatch, lot = str(dispatch_id(part, 0)), str(lot_id(node, "PLA", "1"))
    build = str(build_id(dispatch, 1))

    (choice,) = commands(outputs)
    assert (choice.dispatch_id, choice.attempt, choice.build_id) == (dispatch, 1, build)
    assert (choice.node_id, choice.inventory_id) == (node, lot)
    assert choice.decision["fleet_position"] == steps.processes.fleet.position

    plan, reserve = commands(steps.when(choice))
    assert isinstance(plan, PlanBuild)
    assert plan.pieces == [PieceField(part_id=part, piece=0)]
    assert plan.program == PROGRAM
    assert reserve == ReserveNode(node_id=node, build_id=build)
    assert steps.when(plan) == []
    assert commands(steps.when(reserve)) == [
        RecordNodeReserved(dispatch_id=dispatch, attempt=1, epoch=1)
    ]
    material = ReserveMaterial(inventory_id=lot, build_id=build, quantity_mg=1240)
    record = RecordNodeReserved(dispatch_id=dispatch, attempt=1, epoch=1)
    assert commands(steps.when(record)) == [material]
    held = RecordMaterialReserved(dispatch_id=dispatch, attempt=1, quantity_mg=1240)
    assert commands(steps.when(material)) == [held]
    assert commands(steps.when(held)) == [
        ReserveBuild(build_id=build, epoch=1, inventory_id=lot),
        QueuePiece(part_id=part, piece=0, build_id=build, node_id=node),
        SendBuild(build_id=build),
    ]


def test_a_sent_build_is_relayed_once_and_watched() -> None:
    steps = Steps()
    node = steps.printer()
    job, part = steps.ordered()
    outputs = steps.follow(validation(part), until="SendBuild")
    (send,) = commands(outputs)
    sent = steps.when(send)
    build = send.build_id
    dispatch = str(dispatch_id(part, 0))
    assert commands(sent) == [RecordSent(dispatch_id=dispatch, attempt=1)]
    relay, alarm = others(sent)
    assert isinstance(relay, Relay)
    assert relay.message["command"] == "start"
    assert relay.message["epoch"] == 1
    assert relay.message["artifact"] == {"digest": "a" * 64, "size": 10, "format": "gcode"}
    assert relay.message["density_mg_per_mm3"] == 1.24
    assert isinstance(alarm, SetTimer)
    assert alarm.timer_id == accept_timer(build)
    assert alarm.due - steps.log.events[-1].recorded_at == timedelta(seconds=30)
    accept = AcceptBuild(build_id=build, node_id=node, epoch=1)
    assert steps.when(accept, by=BRIDGE) == [ClearTimer(timer_id=accept_timer(build), lane=job)]


def test_every_step_is_named_after_its_cause_so_that_a_second_look_asks_for_the_same() -> None:
    steps, again = Steps(), Steps()
    for each in (steps, again):
        each.printer()
        each.sent()
    for first, second in zip(steps.log.events, again.log.events, strict=True):
        assert first.event_id == second.event_id
        assert first.envelope.command_id == second.envelope.command_id


def test_a_build_refused_before_it_began_gives_everything_back_and_tries_the_next_node() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    dispatch, lot = str(dispatch_id(part, 0)), str(lot_id(node, "PLA", "1"))
    other = steps.printer("two")
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    fail = FailBuild(build_id=build, reason="no such file")
    revert = RevertDispatch(dispatch_id=dispatch, attempt=1, reason="no such file")
    assert commands(steps.when(fail, by=BRIDGE)) == [revert]
    back = commands(steps.when(revert))
    assert back == [
        FailBuild(build_id=build, reason="withdrawn"),
        ReleaseNode(node_id=node, build_id=build),
        ReleaseMaterial(inventory_id=lot, build_id=build),
        ReturnPiece(part_id=part, piece=0, build_id=build),
        FinishRevert(dispatch_id=dispatch, attempt=1),
    ]
    for command in back[:-1]:
        steps.follow(command)
    (choice,) = commands(steps.when(back[-1]))
    assert (choice.attempt, choice.node_id) == (2, other)
    fleet = steps.processes.fleet
    assert (fleet.nodes[node].status, fleet.nodes[node].bed_clear) == ("IDLE", True)
    assert fleet.parts[part].pieces == ["ORDERED"]


def test_a_refused_reservation_reverts_the_attempt() -> None:
    steps = Steps()
    steps.printer()
    _, part = steps.ordered()
    (choice,) = commands(steps.follow(validation(part), until="ChooseNode"))
    _, reserve = (out for out in steps.when(choice) if isinstance(out, Send))
    assert reserve.on_refusal is not None
    assert isinstance(reserve.on_refusal.command, RevertDispatch)


def test_what_was_reserved_for_an_attempt_given_up_is_given_back_at_once() -> None:
    steps = Steps()
    node = steps.printer()
    _, part = steps.ordered()
    (choice,) = commands(steps.follow(validation(part), until="ChooseNode"))
    plan, reserve = commands(steps.when(choice))
    steps.when(plan)
    steps.when(RevertDispatch(dispatch_id=choice.dispatch_id, attempt=1, reason="cancelled"))
    assert commands(steps.when(reserve)) == [ReleaseNode(node_id=node, build_id=choice.build_id)]


def test_two_pieces_never_get_one_node_even_before_the_log_says_that_it_is_taken() -> None:
    steps = Steps()
    steps.printer()
    _, part = steps.ordered(quantity=2)
    outputs = steps.follow(validation(part), until="ChooseNode")
    assert len([c for c in commands(outputs) if isinstance(c, ChooseNode)]) == 1
    assert list(steps.processes.fleet.waiting) == [str(dispatch_id(part, 1))]


def test_a_freed_node_takes_the_most_urgent_piece_that_waits() -> None:
    steps = Steps()
    node = steps.printer()
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    _, late = steps.ordered(priority=5)
    _, urgent = steps.ordered(priority=9)
    for part in (late, urgent):
        steps.follow(validation(part))
    choice, *_ = commands(steps.when(ResumeNode(node_id=node), by=PERSON))
    assert choice.dispatch_id == str(dispatch_id(urgent, 0))


def test_after_ten_attempts_the_part_is_given_up() -> None:
    steps = Steps()
    node = steps.printer()
    steps.sent()
    for epoch in range(1, 11):
        build = next(reversed(steps.processes.fleet.builds))
        steps.when(AcceptBuild(build_id=build, node_id=node, epoch=epoch), by=BRIDGE)
        steps.follow(FailBuild(build_id=build, reason="no such file"), by=BRIDGE)
    topics = [event.topic for event in steps.log.events]
    assert topics.count("imewe.dispatch:NodeChosen") == 10
    assert "imewe.job:Failed" in topics
    dispatch = next(e for e in reversed(steps.log.events) if e.topic == "imewe.dispatch:Closed")
    assert dispatch.event.outcome == "failed"


def test_a_dispatch_is_closed_when_nobody_wants_the_piece_any_more() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    steps.follow(ScrapPiece(part_id=part, piece=0, reason="wrong colour"), by=PERSON)
    dispatch = steps.log.aggregates[dispatch_id(part, 0)]
    assert dispatch.status == DispatchStatus.CLOSED
    assert steps.processes.fleet.nodes[node].build_id != build


def test_material_reserved_for_an_attempt_given_up_is_given_back_at_once() -> None:
    steps = Steps()
    steps.printer()
    _, part = steps.ordered()
    (reserve,) = commands(steps.follow(validation(part), until="ReserveMaterial"))
    dispatch = str(dispatch_id(part, 0))
    steps.when(RevertDispatch(dispatch_id=dispatch, attempt=1, reason="cancelled"))
    assert commands(steps.when(reserve)) == [
        ReleaseMaterial(inventory_id=reserve.inventory_id, build_id=reserve.build_id)
    ]


def test_a_piece_scrapped_while_its_attempt_is_given_up_is_not_tried_again() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    dispatch = str(dispatch_id(part, 0))
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.when(FailBuild(build_id=build, reason="no such file"), by=BRIDGE)
    steps.when(ScrapPiece(part_id=part, piece=0, reason="wrong colour"), by=PERSON)
    revert = RevertDispatch(dispatch_id=dispatch, attempt=1, reason="no such file")
    *back, finish = commands(steps.when(revert))
    for command in back:
        steps.follow(command, until="ChooseNode")
    assert commands(steps.when(finish)) == [
        CloseDispatch(dispatch_id=dispatch, outcome="cancelled")
    ]


def test_a_node_whose_reservation_was_refused_is_offered_to_whoever_else_waits() -> None:
    steps = Steps()
    node = steps.printer()
    _, first = steps.ordered()
    _, second = steps.ordered()
    (choice,) = commands(steps.follow(validation(first), until="ChooseNode"))
    plan, _ = commands(steps.when(choice))
    steps.when(plan)
    steps.follow(validation(second))
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    steps.when(ResumeNode(node_id=node), by=PERSON)
    revert = RevertDispatch(dispatch_id=choice.dispatch_id, attempt=1, reason="it was held")
    offers = [c for c in commands(steps.when(revert)) if isinstance(c, ChooseNode)]
    assert [(offer.dispatch_id, offer.node_id) for offer in offers] == [
        (str(dispatch_id(second, 0)), node)
    ]

"""A wish to stop reaches whatever is under way, and nothing that has ended."""

import pytest

from commands.builds.messages import (
    AcceptBuild,
    ConfirmCancelled,
    FinishBuild,
    RequestBuildCancel,
    StartBuild,
)
from commands.dispatches.messages import CloseDispatch
from commands.inventories.messages import ReleaseMaterial, WasteMaterial
from commands.jobs.messages import CancelJob
from commands.nodes.messages import EndExecution, PauseNode, ReleaseNode, ResumeNode
from commands.parts.messages import CancelPart, CancelPiece, PassPiece, ScrapPiece
from commands.processes.outputs import Ask, SetTimer
from commands.processes.watchdog import cancel_timer
from domain.shared.errors import IllegalTransitionError
from domain.shared.identifiers import dispatch_id, lot_id
from tests.simulation.shop import BRIDGE, PERSON
from tests.steps import FIGURES, Steps, commands, others, validation


def on_machine(steps: Steps) -> tuple[str, str, str, str]:
    """A job whose only build runs: node, job, part, build."""
    node = steps.printer()
    job, part, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    return node, job, part, build


def test_a_cancelled_job_cancels_each_part_that_has_not_ended() -> None:
    steps = Steps()
    job, part = steps.ordered()
    assert commands(steps.when(CancelJob(job_id=job), by=PERSON)) == [CancelPart(part_id=part)]


def test_a_piece_that_waits_for_a_machine_is_let_go() -> None:
    steps = Steps()
    _, part = steps.ordered()
    steps.follow(validation(part))
    asked = commands(steps.when(CancelPart(part_id=part)))
    assert asked[1:] == [CloseDispatch(dispatch_id=str(dispatch_id(part, 0)), outcome="cancelled")]


def test_a_build_that_no_machine_has_is_withdrawn_without_asking_one() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    cancel = RequestBuildCancel(build_id=build)
    assert commands(steps.when(CancelPart(part_id=part))) == [cancel]
    confirm = ConfirmCancelled(build_id=build)
    assert steps.when(cancel)[0].command == confirm
    with pytest.raises(IllegalTransitionError, match="being cancelled"):
        steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    assert commands(steps.when(confirm)) == [
        ReleaseMaterial(inventory_id=str(lot_id(node, "PLA", "1")), build_id=build),
        ReleaseNode(node_id=node, build_id=build),
        CancelPiece(part_id=part, piece=0),
        CloseDispatch(dispatch_id=str(dispatch_id(part, 0)), outcome="cancelled"),
    ]


def test_a_machine_is_asked_to_stop_and_what_it_used_is_waste() -> None:
    steps = Steps()
    node, _, part, build = on_machine(steps)
    steps.when(CancelPart(part_id=part))
    ask, alarm = others(steps.when(RequestBuildCancel(build_id=build)))
    assert ask == Ask(bridge="local", verb="cancel", node_id=node, build_id=build)
    assert isinstance(alarm, SetTimer)
    assert alarm.timer_id == cancel_timer(build)
    confirm = ConfirmCancelled(build_id=build, **FIGURES, material_mg=400)
    asked = commands(steps.when(confirm, by=BRIDGE))
    assert asked == [
        WasteMaterial(
            inventory_id=str(lot_id(node, "PLA", "1")),
            build_id=build,
            quantity_mg=400,
            reason="cancelled at the machine",
        ),
        EndExecution(node_id=node, build_id=build, outcome="cancelled"),
        CancelPiece(part_id=part, piece=0),
        CloseDispatch(dispatch_id=str(dispatch_id(part, 0)), outcome="cancelled"),
    ]


def test_a_piece_scrapped_while_it_is_made_stops_its_machine_and_is_made_again() -> None:
    steps = Steps()
    _, _, part, build = on_machine(steps)
    asked = commands(steps.when(ScrapPiece(part_id=part, piece=0, reason="warped"), by=PERSON))
    assert RequestBuildCancel(build_id=build) in asked
    assert steps.processes.fleet.parts[part].pieces == ["SCRAPPED", "ORDERED"]


def test_a_job_that_ended_is_not_cancelled_any_more() -> None:
    steps = Steps()
    _, job, part, build = on_machine(steps)
    steps.follow(FinishBuild(build_id=build, **FIGURES, material_mg=1100), by=BRIDGE)
    steps.follow(PassPiece(part_id=part, piece=0), by=PERSON)
    with pytest.raises(IllegalTransitionError, match="COMPLETED"):
        steps.when(CancelJob(job_id=job), by=PERSON)


def test_a_hold_pauses_a_running_build_and_its_end_lets_it_go_on() -> None:
    steps = Steps()
    node, _, _, build = on_machine(steps)
    held = steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    ended = steps.when(ResumeNode(node_id=node), by=PERSON)
    asks = [Ask(bridge="local", verb=v, node_id=node, build_id=build) for v in ("pause", "resume")]
    assert [*held, *ended] == asks


def test_a_hold_that_came_before_the_start_still_pauses_the_build() -> None:
    steps = Steps()
    node = steps.printer()
    _, _, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    assert steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON) == []
    started = steps.when(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    assert others(started) == [Ask(bridge="local", verb="pause", node_id=node, build_id=build)]

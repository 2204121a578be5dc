"""What follows from a build on its machine: events in, exactly these commands out."""

from dataclasses import replace

from commands.builds.messages import (
    AcceptBuild,
    FailBuild,
    FinishBuild,
    InspectBuild,
    ReportOutcomeUnknown,
    StartBuild,
)
from commands.dispatches.messages import (
    ChooseNode,
    CloseDispatch,
    RecordStarted,
)
from commands.inventories.messages import (
    ConsumeMaterial,
    WasteMaterial,
)
from commands.nodes.messages import (
    BeginExecution,
    ClearBed,
    EndExecution,
)
from commands.parts.messages import (
    FailPart,
    MakePiece,
    PassPiece,
    ScrapPiece,
    StartPiece,
)
from commands.processes.ordering import HALTS_MACHINES
from domain.build.aggregate import Build
from domain.shared.identifiers import dispatch_id, lot_id
from tests.simulation.shop import BRIDGE, PERSON
from tests.steps import FIGURES, Steps, commands


def started(steps: Steps, **profile: str) -> tuple[str, str, str, str]:
    """A build that its machine works on: node, part, dispatch, build."""
    node = steps.printer(**profile)
    _, part, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    return node, part, str(dispatch_id(part, 0)), build


def test_a_started_build_takes_its_node_its_piece_and_its_dispatch_along() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    assert commands(steps.when(StartBuild(build_id=build, epoch=1), by=BRIDGE)) == [
        RecordStarted(dispatch_id=str(dispatch_id(part, 0)), attempt=1),
        BeginExecution(node_id=node, build_id=build),
        StartPiece(part_id=part, piece=0, build_id=build),
    ]


def test_a_build_of_which_no_acknowledgement_came_takes_bed_and_piece_as_unknown() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.follow(ReportOutcomeUnknown(build_id=build, reason="killed", facts={}), by=BRIDGE)
    fleet = steps.processes.fleet
    assert not fleet.nodes[node].bed_clear
    assert fleet.parts[part].pieces == ["TO_INSPECT"]


def test_a_finished_build_books_what_it_used_and_leaves_its_piece_to_a_person() -> None:
    steps = Steps()
    node, part, dispatch, build = started(steps)
    lot = str(lot_id(node, "PLA", "1"))
    finish = FinishBuild(build_id=build, **FIGURES, material_mg=1100)
    assert commands(steps.when(finish, by=BRIDGE)) == [
        ConsumeMaterial(inventory_id=lot, build_id=build, quantity_mg=1100),
        EndExecution(node_id=node, build_id=build, outcome="finished"),
        MakePiece(part_id=part, piece=0, build_id=build),
        CloseDispatch(dispatch_id=dispatch, outcome="made"),
    ]
    assert steps.processes.fleet.parts[part].pieces == ["RUNNING"]


def test_a_node_that_inspects_by_itself_passes_its_pieces() -> None:
    steps = Steps()
    _, part, _, build = started(steps, inspection="automatic")
    finish = FinishBuild(build_id=build, **FIGURES, material_mg=1100)
    assert PassPiece(part_id=part, piece=0) in commands(steps.when(finish, by=BRIDGE))


def test_a_build_that_fails_on_its_machine_is_waste_and_its_piece_is_made_again_elsewhere() -> None:
    steps = Steps()
    node, part, dispatch, build = started(steps)
    lot = str(lot_id(node, "PLA", "1"))
    fail = FailBuild(build_id=build, reason="thermal", **FIGURES, material_mg=300)
    asked = commands(steps.when(fail, by=BRIDGE))
    scrap = ScrapPiece(part_id=part, piece=0, reason="thermal")
    assert asked == [
        WasteMaterial(inventory_id=lot, build_id=build, quantity_mg=300, reason="thermal"),
        EndExecution(node_id=node, build_id=build, outcome="failed"),
        scrap,
        CloseDispatch(dispatch_id=dispatch, outcome="failed"),
    ]
    other = steps.printer("two")
    for command in asked[:2]:
        steps.follow(command)
    steps.when(ClearBed(node_id=node, by="anna"), by=PERSON)
    outputs = steps.follow(scrap, until="ChooseNode")
    (choice,) = [c for c in commands(outputs) if isinstance(c, ChooseNode)]
    assert choice.node_id == other
    assert choice.decision["rejections"] == {node: "already tried"}


def test_an_unknown_outcome_is_a_question_and_its_material_is_booked_at_the_verdict() -> None:
    steps = Steps()
    node, part, dispatch, build = started(steps)
    lost = ReportOutcomeUnknown(build_id=build, reason="unplugged", facts={"percent": 40})
    asked = commands(steps.when(lost, by=BRIDGE))
    assert asked == [
        MakePiece(part_id=part, piece=0, build_id=build),
        EndExecution(node_id=node, build_id=build, outcome="unknown"),
        CloseDispatch(dispatch_id=dispatch, outcome="unknown"),
    ]
    for command in asked:
        steps.follow(command)
    assert steps.processes.fleet.parts[part].pieces == ["TO_INSPECT"]
    assert not steps.processes.fleet.nodes[node].bed_clear
    scrap = ScrapPiece(part_id=part, piece=0, reason="half a cube")
    verdict = commands(steps.when(scrap, by=PERSON))
    assert InspectBuild(build_id=build, passed=False, by="user/anna") in verdict
    waste = next(command for command in verdict if isinstance(command, WasteMaterial))
    assert waste.quantity_mg == 1240


def halting(steps: Steps) -> tuple[str, FailBuild]:
    """A part whose present build runs; the part, and the report that its machine halted."""
    fleet = steps.processes.fleet
    build = next(reversed(fleet.builds))
    plan = fleet.builds[build]
    steps.when(AcceptBuild(build_id=build, node_id=plan.node_id, epoch=1), by=BRIDGE)
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    fail = FailBuild(build_id=build, reason="MACHINE_HALTED", **FIGURES, material_mg=300)
    return plan.pieces[0]["part_id"], fail


def test_a_program_that_halts_a_second_machine_is_tried_on_no_third() -> None:
    steps = Steps()
    for name in ("one", "two", "three"):
        steps.printer(name)
    steps.sent()
    part, first = halting(steps)
    assert FailPart not in map(type, commands(steps.follow(first, by=BRIDGE, until="FailPart")))
    assert steps.processes.fleet.parts[part].pieces == ["SCRAPPED", "QUEUED"]
    part, second = halting(steps)
    asked = commands(steps.follow(second, by=BRIDGE, until="FailPart"))
    assert asked == [FailPart(part_id=part, reason=HALTS_MACHINES)]
    steps.follow(asked[0])
    assert not steps.processes.fleet.halts
    assert len(steps.log.all(Build)) == 2


def test_a_machine_that_halts_before_a_line_was_done_counts_too() -> None:
    steps = Steps()
    steps.printer("one")
    steps.printer("two")
    steps.sent()
    steps.follow(halting(steps)[1], by=BRIDGE)
    part, second = halting(steps)
    lost = ReportOutcomeUnknown(
        build_id=second.build_id, reason="halted", facts={"reason": "MACHINE_HALTED"}
    )
    asked = commands(steps.follow(lost, by=BRIDGE, until="FailPart"))
    assert asked == [FailPart(part_id=part, reason=HALTS_MACHINES)]


def test_other_failures_do_not_count_as_halts() -> None:
    steps = Steps()
    for name in ("one", "two", "three"):
        steps.printer(name)
    steps.sent()
    for _ in range(2):
        part, fail = halting(steps)
        steps.follow(replace(fail, reason="DEVICE_REFUSED"), by=BRIDGE)
    assert steps.processes.fleet.parts[part].pieces == ["SCRAPPED", "SCRAPPED", "QUEUED"]

"""The fold on which decisions are made: what it keeps, what it forgets, and that it is one."""

import time

import pytest

from commands.builds.messages import AcceptBuild, FinishBuild, StartBuild
from commands.dispatches.messages import ChooseNode
from commands.fleet.fleet import Fleet
from commands.fleet.table import STATES
from commands.inventories.messages import ReceiveMaterial
from commands.nodes.messages import (
    ConditionField,
    DisconnectMachine,
    ObserveNode,
    PauseNode,
    RecordEmergencyStop,
    RegisterNode,
)
from commands.parts.messages import PassPiece
from domain.shared.identifiers import lot_id
from tests.simulation.shop import BRIDGE, PERSON
from tests.steps import FIGURES, Steps, commands, validation


def hindered(steps: Steps, node: str) -> list[str]:
    """What keeps a node from taking work."""
    fleet = steps.processes.fleet
    table = fleet.table.candidates(
        process="fdm",
        material="PLA",
        organisation_id=fleet.nodes[node].organisation_id,
        now=fleet.now,
        only=[node],
    )
    return [name for name in STATES if table.states[name][0]]


def test_a_ready_node_is_hindered_by_nothing() -> None:
    steps = Steps()
    assert hindered(steps, steps.printer()) == []


def test_a_node_tells_why_it_takes_no_work() -> None:
    steps = Steps()
    steps.when(RegisterNode(name="new"), by=PERSON)
    assert hindered(steps, steps.last_id) == ["not configured", "not connected", "bed not clear"]
    node = steps.printer()
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    steps.when(RecordEmergencyStop(node_id=node, stopped_by="anna", latency_ms=2), by=BRIDGE)
    fault = ConditionField(level="FAULT", type="TEMPERATURE", code="E1", text="thermal runaway")
    observed = ObserveNode(
        node_id=node,
        availability="AVAILABLE",
        execution="READY",
        emergency_stop="ARMED",
        conditions=[fault],
    )
    steps.when(observed, by=BRIDGE)
    assert hindered(steps, node) == ["emergency stop", "held", "fault"]
    steps.when(DisconnectMachine(node_id=node, reason="unplugged"), by=BRIDGE)
    assert "not connected" in hindered(steps, node)


def seen(node: str, execution: str) -> ObserveNode:
    """What a bridge says of a machine without trouble."""
    return ObserveNode(
        node_id=node,
        availability="AVAILABLE",
        execution=execution,
        emergency_stop="ARMED",
        conditions=[],
    )


@pytest.mark.parametrize("execution", ["INTERRUPTED", "STOPPED", "FEED_HOLD"])
def test_a_machine_that_waits_for_a_person_is_not_ready(execution: str) -> None:
    steps = Steps()
    node = steps.printer()
    steps.when(seen(node, execution), by=BRIDGE)
    assert hindered(steps, node) == ["not ready"]
    steps.when(seen(node, "PROGRAM_COMPLETED"), by=BRIDGE)
    assert hindered(steps, node) == []


def test_a_machine_that_pauses_its_build_is_busy_and_not_unready() -> None:
    steps = Steps()
    node = steps.printer()
    steps.sent()
    steps.when(seen(node, "FEED_HOLD"), by=BRIDGE)
    assert hindered(steps, node) == ["busy"]


def test_a_machine_that_comes_back_to_ready_gets_the_work_that_waited() -> None:
    steps = Steps()
    node = steps.printer()
    steps.when(seen(node, "STOPPED"), by=BRIDGE)
    _, part = steps.ordered()
    steps.follow(validation(part))
    assert not steps.processes.fleet.builds
    (choice,) = commands(steps.when(seen(node, "READY"), by=BRIDGE))
    assert isinstance(choice, ChooseNode)
    assert choice.node_id == node


def test_a_node_of_another_organisation_is_no_candidate() -> None:
    steps = Steps()
    node = steps.printer()
    table = steps.processes.fleet.table.candidates(
        process="fdm", material="PLA", organisation_id="other", now=steps.processes.fleet.now
    )
    assert table.ids == [node]
    assert table.states["another organisation"].tolist() == [True]


def test_a_choice_takes_the_opened_lot_that_suffices() -> None:
    steps = Steps()
    node = steps.printer()
    small = ReceiveMaterial(node_id=node, material="PLA", lot="rest", quantity_mg=2_000)
    steps.when(small, by=PERSON)
    fleet = steps.processes.fleet
    assert fleet.lot_for(node, "PLA", 1_240) == str(lot_id(node, "PLA", "rest"))
    assert fleet.lot_for(node, "PLA", 3_000) == str(lot_id(node, "PLA", "1"))
    assert fleet.lot_for(node, "PLA", 30_000) == ""


def test_a_job_that_has_ended_is_forgotten_with_all_that_belonged_to_it() -> None:
    steps = Steps()
    node = steps.printer()
    _, part, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    steps.follow(FinishBuild(build_id=build, **FIGURES, material_mg=1_100), by=BRIDGE)
    steps.follow(PassPiece(part_id=part, piece=0), by=PERSON)
    fleet = steps.processes.fleet
    kept = (fleet.jobs, fleet.parts, fleet.builds, fleet.dispatches, fleet.plans, fleet.estimates)
    assert not any(kept)
    assert not (fleet.lot_of_build or fleet.claims or fleet.waiting or fleet.submitted_at)
    assert list(fleet.nodes) == [node]


def test_the_work_done_counts_as_load_and_fades() -> None:
    steps = Steps()
    node = steps.printer()
    fleet = steps.processes.fleet
    fleet.table.worked(node, seconds=43_200, until=fleet.now)
    table = fleet.table.candidates(process="fdm", material="PLA", organisation_id="", now=fleet.now)
    assert table.load.tolist() == [0.5]


def test_the_table_grows_beyond_its_first_rows() -> None:
    steps = Steps()
    for number in range(130):
        steps.when(RegisterNode(name=f"n{number}"), by=PERSON)
    ready = steps.printer()
    assert hindered(steps, ready) == []
    assert len(steps.processes.fleet.table.ids) == 131


def test_a_fold_of_many_events_takes_seconds_not_minutes() -> None:
    """A hundred thousand events an hour of building is far above what a shop makes."""
    steps = Steps()
    steps.printer()
    _, part = steps.ordered(quantity=3)
    steps.follow(validation(part))
    fleet = Fleet()
    begun = time.process_time()
    for recorded in steps.log.events:
        fleet.fold(recorded)
    each = (time.process_time() - begun) / len(steps.log.events)
    assert each < 1e-3
    assert fleet.position == len(steps.log.events)

"""Why a piece waits: said once, and again only when the reasons are others."""

from typing import Any

from commands.fleet.table import STATES
from commands.nodes.messages import PauseNode, RegisterNode, ResumeNode
from commands.parts.messages import MissMachine
from commands.processes.waiting import code
from domain.part.aggregate import Part
from projections.jobs.waiting import why_waiting
from tests.simulation.shop import PERSON
from tests.steps import Steps, commands, validation


def told(steps: Steps) -> list[dict[str, int]]:
    """Every set of reasons that was recorded."""
    return [e.event.reasons for e in steps.log.events if isinstance(e.event, Part.MachineMissing)]


def missing(outputs: list[Any]) -> list[MissMachine]:
    """The messages about waiting among what is asked for."""
    return [command for command in commands(outputs) if isinstance(command, MissMachine)]


def waiting(steps: Steps) -> str:
    """A part that wants a machine."""
    _, part = steps.ordered()
    steps.follow(validation(part))
    return part


def test_a_piece_that_finds_a_machine_at_once_says_nothing() -> None:
    steps = Steps()
    steps.printer()
    steps.sent()
    assert told(steps) == []


def test_without_any_machine_a_piece_says_so() -> None:
    steps = Steps()
    waiting(steps)
    assert told(steps) == [{"NO_MACHINE": 1}]


def test_a_piece_says_how_many_machines_cannot_take_it_and_why() -> None:
    steps = Steps()
    node = steps.printer()
    steps.printer("mill", process="mill")
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    waiting(steps)
    assert told(steps) == [{"HELD": 1, "PROCESS": 1}]


def test_the_same_reasons_again_are_no_news_and_others_are() -> None:
    steps = Steps()
    node = steps.printer()
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    part = waiting(steps)
    assert told(steps) == [{"HELD": 1}]
    steps.follow(MissMachine(part_id=part, reasons={"HELD": 9}))
    assert len(told(steps)) == 1
    assert missing(steps.when(RegisterNode(name="new"), by=PERSON)) == [
        MissMachine(part_id=part, reasons={"PROCESS": 1, "HELD": 1})
    ]


def test_a_piece_that_has_its_machine_misses_none_and_the_next_says_it_again() -> None:
    steps = Steps()
    node = steps.printer()
    steps.when(PauseNode(node_id=node, reason="lunch"), by=PERSON)
    part = waiting(steps)
    steps.follow(ResumeNode(node_id=node), by=PERSON)
    assert steps.processes.fleet.parts[part].missing == []
    other = waiting(steps)
    assert steps.processes.fleet.parts[other].missing == ["BUSY"]


def test_a_part_without_waiting_pieces_does_not_miss_a_machine() -> None:
    steps = Steps()
    steps.printer()
    _, part, _ = steps.sent()
    steps.when(MissMachine(part_id=part, reasons={"BUSY": 1}))
    assert told(steps) == []


def test_one_machine_and_several_are_told_in_words() -> None:
    assert why_waiting("BED_NOT_CLEAR", 1) == {
        "code": "BED_NOT_CLEAR",
        "message": "One machine has something on its bed.",
        "remedy": "Take it off and confirm that the bed is clear.",
    }
    assert why_waiting("BUSY", 3)["message"] == "3 of the machines: each is at work."
    assert why_waiting("NO_MACHINE", 1)["message"] == "The organisation has no machine."
    assert why_waiting("NEW", 1)["code"] == "NEW"


def test_every_reason_of_the_choice_has_its_words() -> None:
    names = [*STATES[1:], "process", "material", "size", "precision", "nozzle temperature"]
    names += ["bed temperature", "material in stock", "already tried"]
    hidden = {"another organisation", "decommissioned"}
    for name in set(names) - hidden:
        assert "cannot:" not in why_waiting(code(name), 1)["message"], name

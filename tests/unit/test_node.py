"""Machines: one build at a time, only on a clear bed, and each reservation under a new epoch."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.node.aggregate import Node
from domain.shared.errors import (
    BedNotClearError,
    IllegalTransitionError,
    InvalidInputError,
    NodeUnavailableError,
)
from tests.scenario import given

PROFILE: dict[str, Any] = {
    "process": "fdm",
    "materials": ["PLA"],
    "max_size": {"x": 250, "y": 210, "z": 210},
}
IDENTITY = {"firmware": "Marlin 2.1"}
SEEN: dict[str, Any] = {
    "availability": "AVAILABLE",
    "execution": "ACTIVE",
    "emergency_stop": "ARMED",
    "conditions": [{"level": "WARNING", "type": "TEMPERATURE", "code": "T1", "text": "warm"}],
}


def registered() -> Node:
    return Node.register(
        UUID(int=4),
        organisation_id="org",
        owner_id="vera",
        name="Prusa 1",
        bridge="local",
        virtual=True,
    )


def configured() -> Node:
    node = registered()
    node.configure(PROFILE)
    return node


def connected() -> Node:
    node = configured()
    node.connect(IDENTITY)
    return node


def idle() -> Node:
    node = connected()
    node.clear_bed("user/otto")
    return node


def reserved() -> Node:
    node = idle()
    node.reserve("b1")
    return node


def executing() -> Node:
    node = reserved()
    node.begin_execution("b1")
    return node


def completed() -> Node:
    node = executing()
    node.end_execution("b1", "finished")
    return node


def held() -> Node:
    node = idle()
    node.hold("lunch")
    return node


def stopped() -> Node:
    node = idle()
    node.stop(by="user/otto", latency_ms=12)
    return node


def offline() -> Node:
    node = idle()
    node.disconnect("unplugged")
    return node


def in_maintenance() -> Node:
    node = idle()
    node.begin_maintenance()
    return node


def gone() -> Node:
    node = idle()
    node.decommission()
    return node


@pytest.mark.parametrize(
    ("node", "status"),
    [
        (registered(), "REGISTERED"),
        (configured(), "CONFIGURED"),
        (connected(), "IDLE"),
        (reserved(), "ASSIGNED"),
        (executing(), "EXECUTING"),
        (completed(), "COMPLETED"),
        (held(), "IDLE"),
        (offline(), "IDLE"),
        (in_maintenance(), "MAINTENANCE"),
        (gone(), "DECOMMISSIONED"),
    ],
    ids=str,
)
def test_a_nodes_life_cycle(node: Node, status: str) -> None:
    assert node.status == status


def test_a_new_profile_is_a_new_version_and_the_same_one_is_no_news() -> None:
    node = configured()
    assert node.profile_version == 1
    given(node).when(lambda node: node.configure(PROFILE)).then_nothing()
    wider = {**PROFILE, "materials": ["petg", "PLA"]}
    node.configure(wider)
    assert (node.profile_version, node.profile["materials"]) == (2, ["PETG", "PLA"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"process": "weave"}, "profile.process"),
        ({"materials": []}, "profile.materials"),
        ({"max_size": {"x": 1, "y": 1}}, "profile.max_size"),
        ({"max_size": {"x": 0, "y": 1, "z": 1}}, "profile.max_size"),
        ({"max_nozzle_c": True}, "profile.temperature"),
        ({"inspection": "never"}, "profile.inspection"),
        ({"location": {"lat": 91, "lon": 0}}, "profile.location"),
        ({"energy_efficiency": 2}, "profile.energy_efficiency"),
        ({"precision_mm": 0}, "profile.precision_mm"),
        ({"colour": "red"}, "profile.colour"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_by_the_field(
    changes: dict[str, Any], field: str
) -> None:
    given(registered()).when(lambda node: node.configure({**PROFILE, **changes})).then_refused(
        InvalidInputError, field=field
    )


@pytest.mark.parametrize("missing", ["process", "materials", "max_size"])
def test_a_profile_needs_what_no_score_can_guess(missing: str) -> None:
    profile = {field: value for field, value in PROFILE.items() if field != missing}
    given(registered()).when(lambda node: node.configure(profile)).then_refused(
        InvalidInputError, field=f"profile.{missing}"
    )


def test_each_reservation_counts_the_fencing_epoch() -> None:
    node = (
        given(idle())
        .when(lambda node: node.reserve("b1"))
        .then((Node.Reserved, {"build_id": "b1", "epoch": 1}))
    )
    node.release("b1")
    given(node).when(lambda node: node.reserve("b2")).then(
        (Node.Reserved, {"build_id": "b2", "epoch": 2})
    )


def test_the_same_reservation_twice_gives_the_same_epoch() -> None:
    node = reserved()
    assert node.reserve("b1") == 1
    given(node).when(lambda node: node.reserve("b1")).then_nothing()


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (reserved(), "ASSIGNED"),
        (executing(), "EXECUTING"),
        (held(), "held"),
        (stopped(), "emergency stop"),
        (offline(), "not connected"),
        (in_maintenance(), "MAINTENANCE"),
        (gone(), "DECOMMISSIONED"),
        (completed(), "COMPLETED"),
        (configured(), "not connected"),
    ],
)
def test_a_node_that_cannot_take_work_says_why(node: Node, why: str) -> None:
    given(node).when(lambda node: node.reserve("b2")).then_refused(NodeUnavailableError, match=why)


def test_nothing_is_reserved_on_an_uncleared_bed() -> None:
    given(connected()).when(lambda node: node.reserve("b1")).then_refused(
        BedNotClearError, match="not clear"
    )


def test_the_bed_is_taken_by_a_build_and_stays_taken_until_somebody_clears_it() -> None:
    node = executing()
    assert not node.bed_clear
    given(node).when(lambda node: node.end_execution("b1", "finished")).then(
        (Node.ExecutionEnded, {"build_id": "b1", "outcome": "finished"})
    )
    assert (node.bed_clear, node.status) == (False, "COMPLETED")
    given(node).when(lambda node: node.clear_bed("user/otto")).then(
        (Node.BedCleared, {"by": "user/otto"})
    )
    assert node.status == "IDLE"


def test_the_bed_of_a_working_machine_cannot_be_clear() -> None:
    given(executing()).when(lambda node: node.clear_bed("user/otto")).then_refused(
        IllegalTransitionError, match="working"
    )


def test_a_build_that_began_is_not_released() -> None:
    given(executing()).when(lambda node: node.release("b1")).then_refused(
        IllegalTransitionError, match="EXECUTING"
    )


def test_a_node_executes_only_the_build_that_holds_it() -> None:
    for node in (reserved(), idle()):
        given(node).when(lambda node: node.begin_execution("b2")).then_refused(
            IllegalTransitionError, match="b2"
        )


def test_a_reservation_that_was_given_back_leaves_the_bed_clear() -> None:
    node = (
        given(reserved())
        .when(lambda node: node.release("b1"))
        .then((Node.Released, {"build_id": "b1"}))
    )
    assert (node.status, node.bed_clear, node.build_id) == ("IDLE", True, "")


@pytest.mark.parametrize(
    ("node", "act"),
    [
        (executing(), lambda node: node.begin_execution("b1")),
        (idle(), lambda node: node.release("b1")),
        (idle(), lambda node: node.end_execution("b1", "finished")),
        (executing(), lambda node: node.end_execution("another", "finished")),
        (idle(), lambda node: node.clear_bed("user/otto")),
        (idle(), lambda node: node.connect(IDENTITY)),
        (offline(), lambda node: node.disconnect("again")),
        (held(), lambda node: node.hold("again")),
        (idle(), Node.end_hold),
        (stopped(), lambda node: node.stop(by="user/vera", latency_ms=1)),
        (idle(), lambda node: node.clear_stop("user/otto")),
        (in_maintenance(), Node.begin_maintenance),
        (idle(), Node.end_maintenance),
        (gone(), Node.decommission),
    ],
)
def test_what_is_so_already_is_no_news(node: Node, act: Callable[[Node], None]) -> None:
    given(node).when(act).then_nothing()


@pytest.mark.parametrize(
    ("node", "act"),
    [
        (reserved(), Node.begin_maintenance),
        (executing(), Node.decommission),
        (gone(), lambda node: node.configure(PROFILE)),
        (gone(), lambda node: node.connect(IDENTITY)),
        (gone(), lambda node: node.clear_bed("user/otto")),
        (gone(), lambda node: node.hold("")),
        (gone(), Node.begin_maintenance),
    ],
)
def test_what_the_life_cycle_does_not_allow_is_refused(
    node: Node, act: Callable[[Node], None]
) -> None:
    given(node).when(act).then_refused(IllegalTransitionError)


def test_an_observation_is_recorded_when_something_became_different() -> None:
    node = given(idle()).when(lambda node: node.observe(**SEEN)).then((Node.Observed, SEEN))
    given(node).when(lambda node: node.observe(**SEEN)).then_nothing()


def test_a_condition_of_another_shape_is_refused() -> None:
    seen = {**SEEN, "conditions": [{"level": "WARNING"}]}
    given(idle()).when(lambda node: node.observe(**seen)).then_refused(
        InvalidInputError, field="conditions"
    )


def test_an_emergency_stop_is_latched_until_a_person_clears_it() -> None:
    node = (
        given(executing())
        .when(lambda node: node.stop(by="user/o", latency_ms=12))
        .then((Node.EmergencyStopped, {"by": "user/o", "latency_ms": 12}))
    )
    assert node.emergency_stop == "TRIGGERED"
    node.connect({"firmware": "after a reset"})
    assert node.stopped
    given(node).when(lambda node: node.clear_stop("user/otto")).then(
        (Node.EmergencyStopCleared, {"by": "user/otto"})
    )
    assert not node.stopped


def test_a_lost_machine_is_unavailable_and_keeps_its_build() -> None:
    node = (
        given(executing())
        .when(lambda node: node.disconnect("unplugged"))
        .then((Node.MachineDisconnected, {"reason": "unplugged"}))
    )
    assert (node.availability, node.execution) == ("UNAVAILABLE", "UNAVAILABLE")
    assert (node.status, node.build_id) == ("EXECUTING", "b1")


def test_a_node_comes_back_from_maintenance_to_where_it_belongs() -> None:
    for begin, status in ((configured, "CONFIGURED"), (idle, "IDLE"), (completed, "COMPLETED")):
        node = begin()
        node.begin_maintenance()
        node.end_maintenance()
        assert node.status == status

"""Stopping and clearing: rights first, then straight to the bridge, then the record."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.shared.errors import ImeweError, NodeUnavailableError, UnavailableError
from projections.nodes.rows import NodeRow
from tests.gateway_tools import ELSEWHERE, ORGANISATION, PERSON, Bench

STOP = """mutation($id: ID!) { emergencyStop(nodeId: $id) {
  nodeId receipt { confirmed nativeText latencyMs roundTripMs }
  problems { __typename remedy } } }"""
CLEAR_STOP = """mutation($id: ID!) { clearEmergencyStop(nodeId: $id, commandId: "c-1") {
  nodeId position commandId problems { __typename remedy } } }"""
CLEAR_FAULT = """mutation($id: ID!) { clearFault(nodeId: $id) {
  nodeId execution problems { __typename remedy } } }"""
NODE = NodeRow(
    id="3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e",
    organisation_id=ORGANISATION,
    owner_id=PERSON,
    name="prusa-1",
    bridge="hall-2",
    virtual=False,
    status="IDLE",
    process="fdm",
    profile={},
    profile_version=1,
    connected=True,
    identity={},
    disconnect_reason="",
    availability="AVAILABLE",
    execution="READY",
    emergency_stop="ARMED",
    conditions=[],
    bed_clear=True,
    held=False,
    holding="",
    stopped=False,
    build_id="",
    epoch=0,
    builds_ended=0,
    registered_at=datetime(2026, 1, 1, tzinfo=UTC),
    connected_since=None,
    executing_since=None,
    connected_ms=0,
    executing_ms=0,
    created=1,
    position=1,
    version=1,
)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.gateway.whereabouts.learn(NODE)
    return made


async def test_a_stop_reaches_the_bridge_while_the_database_is_away(bench: Bench) -> None:
    answer = await bench.ask(STOP, {"id": NODE.id}, token=bench.token("operator"))
    payload = answer["data"]["emergencyStop"]
    assert bench.stops.stopped == [("hall-2", NODE.id, f"user/{PERSON}")]
    assert payload["receipt"]["confirmed"] is True
    assert payload["receipt"]["nativeText"] == "halted"
    assert payload["receipt"]["roundTripMs"] < 1000
    assert bench.commands.sent == []


@pytest.mark.parametrize("role", ["designer", "vendor", "viewer", "auditor"])
async def test_who_may_not_stop_a_machine_does_not(bench: Bench, role: str) -> None:
    answer = await bench.ask(STOP, {"id": NODE.id}, token=bench.token(role))
    (problem,) = answer["data"]["emergencyStop"]["problems"]
    assert problem["__typename"] == "Forbidden"
    assert bench.stops.stopped == []


async def test_another_organisations_machine_is_not_found(bench: Bench) -> None:
    token = bench.token("admin", place=ELSEWHERE)
    answer = await bench.ask(STOP, {"id": NODE.id}, token=token)
    (problem,) = answer["data"]["emergencyStop"]["problems"]
    assert problem["__typename"] == "NotFound"
    assert bench.stops.stopped == []


async def test_a_right_in_one_organisation_is_none_in_another(bench: Bench) -> None:
    foreign = replace(NODE, id="4f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", organisation_id=ELSEWHERE)
    bench.gateway.whereabouts.learn(foreign)
    token = bench.signer.sign(
        account_id=PERSON,
        name="Ada",
        grants=[
            {"role": "operator", "organisation_id": ORGANISATION},
            {"role": "viewer", "organisation_id": ELSEWHERE},
        ],
        token_id="t",
        now=bench.clock.now(),
        ttl_s=60,
    )
    answer = await bench.ask(STOP, {"id": foreign.id}, token=token)
    (problem,) = answer["data"]["emergencyStop"]["problems"]
    assert problem["__typename"] == "Forbidden"


async def test_a_bridge_that_does_not_answer_sends_the_person_to_the_machine(bench: Bench) -> None:
    bench.stops.refusal = UnavailableError("no answer", remedy="press the machine's own stop")
    payload = (await bench.ask(STOP, {"id": NODE.id}))["data"]["emergencyStop"]
    assert payload["receipt"] is None
    (problem,) = payload["problems"]
    assert problem == {"__typename": "Unavailable", "remedy": "press the machine's own stop"}


async def test_an_id_that_would_name_another_subject_reaches_no_bridge(bench: Bench) -> None:
    for wrong in ("*", ">", "a.b", "", NODE.id + ".x"):
        answer = await bench.ask(STOP, {"id": wrong})
        (problem,) = answer["data"]["emergencyStop"]["problems"]
        assert problem["__typename"] == "NotFound"
    assert bench.stops.stopped == []


async def test_a_stop_is_cleared_at_the_bridge_and_then_in_the_log(bench: Bench) -> None:
    answer = await bench.ask(CLEAR_STOP, {"id": NODE.id}, token=bench.token("operator"))
    payload = answer["data"]["clearEmergencyStop"]
    assert (payload["problems"], payload["position"], payload["commandId"]) == ([], "7", "c-1")
    assert bench.faults.cleared == [("hall-2", NODE.id, f"user/{PERSON}", False)]
    ((name, body, more),) = bench.commands.sent
    assert (name, body, more["command_id"]) == ("ClearEmergencyStop", {"node_id": NODE.id}, "c-1")


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (UnavailableError("no answer", remedy="say it again"), "Unavailable"),
        (NodeUnavailableError("the machine is gone", remedy="look"), "NodeUnavailable"),
    ],
)
async def test_what_the_bridge_did_not_clear_is_not_recorded_as_cleared(
    bench: Bench, refusal: ImeweError, kind: str
) -> None:
    bench.faults.refusal = refusal
    payload = (await bench.ask(CLEAR_STOP, {"id": NODE.id}))["data"]["clearEmergencyStop"]
    assert payload["problems"] == [{"__typename": kind, "remedy": refusal.remedy}]
    assert (payload["position"], payload["commandId"]) == (None, "c-1")
    assert bench.commands.sent == []


@pytest.mark.parametrize("role", ["designer", "vendor", "viewer", "auditor"])
async def test_who_may_not_clear_a_stop_reaches_no_bridge(bench: Bench, role: str) -> None:
    payload = (await bench.ask(CLEAR_STOP, {"id": NODE.id}, token=bench.token(role)))["data"]
    assert payload["clearEmergencyStop"]["problems"][0]["__typename"] == "Forbidden"
    assert bench.faults.cleared == []
    assert bench.commands.sent == []


@pytest.mark.parametrize("role", ["admin", "operator", "vendor"])
async def test_a_fault_is_cleared_by_staff_and_by_the_machines_owner(
    bench: Bench, role: str
) -> None:
    answer = await bench.ask(CLEAR_FAULT, {"id": NODE.id}, token=bench.token(role))
    payload = answer["data"]["clearFault"]
    assert payload == {"nodeId": NODE.id, "execution": "READY", "problems": []}
    assert bench.faults.cleared == [("hall-2", NODE.id, f"user/{PERSON}", True)]
    assert bench.commands.sent == []  # the bridge reports what the machine says


async def test_a_vendor_clears_no_fault_of_a_machine_of_somebody_else(bench: Bench) -> None:
    foreign = replace(NODE, id="4f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", owner_id="somebody")
    bench.gateway.whereabouts.learn(foreign)
    answer = await bench.ask(CLEAR_FAULT, {"id": foreign.id}, token=bench.token("vendor"))
    assert answer["data"]["clearFault"]["problems"][0]["__typename"] == "Forbidden"
    for role in ("designer", "viewer", "auditor"):
        answer = await bench.ask(CLEAR_FAULT, {"id": NODE.id}, token=bench.token(role))
        assert answer["data"]["clearFault"]["problems"][0]["__typename"] == "Forbidden"
    assert bench.faults.cleared == []


async def test_a_stop_without_the_right_is_told_to_the_audit_trail() -> None:
    bench = Bench()
    bench.gateway.whereabouts.learn(NODE)
    shown = await bench.ask(STOP, {"id": NODE.id}, token=bench.token("viewer"))
    assert shown["data"]["emergencyStop"]["problems"][0]["__typename"] == "Forbidden"
    await bench.gateway.denials.close()
    ((denial, count),) = bench.trail.denials
    assert (denial.action, denial.resource, count) == ("EmergencyStop", f"node/{NODE.id}", 1)
    assert denial.token


STOP_ALL = """mutation { emergencyStopAll { problems { __typename remedy }
  stops { nodeId bridge outcome nativeText latencyMs roundTripMs } } }"""


async def test_the_whole_fleet_stops_by_one_word_while_the_database_is_away(bench: Bench) -> None:
    second = replace(NODE, id="5f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", bridge="hall-3")
    foreign = replace(NODE, id="4f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", organisation_id=ELSEWHERE)
    bench.gateway.whereabouts.learn(second)
    bench.gateway.whereabouts.learn(foreign)
    answer = await bench.ask(STOP_ALL, token=bench.token("operator"))
    payload = answer["data"]["emergencyStopAll"]
    asked = {(bridge, node) for bridge, node, _ in bench.stops.stopped}
    assert asked == {("hall-2", NODE.id), ("hall-3", second.id)}
    assert [stop["outcome"] for stop in payload["stops"]] == ["CONFIRMED", "CONFIRMED"]
    (problem,) = payload["problems"]  # it cannot know that these were all
    assert problem["remedy"].startswith("say imewe bridge stop --all")


async def test_a_machine_that_nobody_reaches_is_told_as_such_beside_the_others(
    bench: Bench,
) -> None:
    bench.stops.refusal = UnavailableError("bridge hall-2 is not connected")
    (stop,) = (await bench.ask(STOP_ALL))["data"]["emergencyStopAll"]["stops"]
    assert (stop["outcome"], stop["latencyMs"]) == ("UNREACHABLE", None)
    assert "not connected" in stop["nativeText"]


async def test_a_bridge_that_answers_nonsense_hides_no_other_machines_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = replace(NODE, id="5f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", bridge="hall-3")
    bench.gateway.whereabouts.learn(second)
    stop = bench.stops.stop

    async def odd(*, bridge: str, node_id: str, by: str) -> dict[str, Any]:
        answer = await stop(bridge=bridge, node_id=node_id, by=by)
        return {"ok": True} if bridge == "hall-2" else answer

    monkeypatch.setattr(bench.stops, "stop", odd)
    stops = (await bench.ask(STOP_ALL))["data"]["emergencyStopAll"]["stops"]
    assert {each["bridge"]: each["outcome"] for each in stops} == {
        "hall-2": "UNREACHABLE",
        "hall-3": "CONFIRMED",
    }


@pytest.mark.parametrize("role", ["designer", "vendor", "viewer", "auditor"])
async def test_who_may_not_stop_one_machine_stops_no_fleet(bench: Bench, role: str) -> None:
    answer = await bench.ask(STOP_ALL, token=bench.token(role))
    (problem,) = answer["data"]["emergencyStopAll"]["problems"]
    assert problem["__typename"] == "Forbidden"
    assert bench.stops.stopped == []

"""What a person says at a machine without a wire: rights, trail, then the bridge."""

from dataclasses import replace
from typing import Any

import pytest

from domain.shared.errors import IllegalTransitionError, UnavailableError
from gateways.graphql import attending
from projections.nodes.rows import NodeView
from tests.gateway_tools import PERSON, Bench
from tests.unit.test_gateway_stop import NODE

ATTEND = """mutation($id: ID!, $says: Attendance!, $reason: String) {
  attendMachine(nodeId: $id, buildId: "b1", says: $says, reason: $reason) {
    nodeId fresh execution problems { __typename message } } }"""


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.gateway.whereabouts.learn(NODE)
    return made


async def said(bench: Bench, role: str, says: str = "START", **more: Any) -> dict[str, Any]:
    variables = {"id": NODE.id, "says": says, **more}
    answer = await bench.ask(ATTEND, variables, token=bench.token(role))
    return dict(answer["data"]["attendMachine"])


@pytest.mark.parametrize("role", ["admin", "operator", "vendor"])
async def test_staff_and_the_owner_are_believed_and_named(bench: Bench, role: str) -> None:
    payload = await said(bench, role, "SCRAP", reason="warped")
    assert payload == {"nodeId": NODE.id, "fresh": True, "execution": "ACTIVE", "problems": []}
    (word,) = bench.attending.words
    assert (word["bridge"], word["said"], word["reason"]) == ("hall-2", "scrap", "warped")
    assert word["operator"] == f"user/{PERSON}"
    assert [step[:2] for step in bench.trail.steps] == [("begun", "build/b1"), ("done", "build/b1")]
    assert bench.commands.sent == []


@pytest.mark.parametrize("role", ["designer", "viewer", "auditor"])
async def test_nobody_else_is_heard(bench: Bench, role: str) -> None:
    payload = await said(bench, role)
    assert payload["problems"][0]["__typename"] == "Forbidden"
    assert bench.attending.words == bench.trail.steps == []


async def test_a_vendor_says_nothing_of_a_machine_of_somebody_else() -> None:
    bench = Bench()
    bench.gateway.whereabouts.learn(replace(NODE, owner_id="somebody"))
    assert (await said(bench, "vendor"))["problems"][0]["__typename"] == "Forbidden"
    assert bench.attending.words == []


async def test_a_word_that_cannot_be_true_is_a_typed_refusal_in_the_trail(bench: Bench) -> None:
    bench.attending.refusal = IllegalTransitionError("nobody said start")
    payload = await said(bench, "operator", "FINISH")
    assert payload["problems"] == [
        {"__typename": "IllegalTransition", "message": "nobody said start"}
    ]
    assert bench.trail.steps[-1] == ("failed", "build/b1", "nobody said start")


async def test_a_bridge_shows_no_tasks_at_machines_of_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = replace(NODE, id="5f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e", bridge="hall-3")

    async def both(_info: object) -> list[NodeView]:
        return [NodeView(node=NODE, run=None), NodeView(node=second, run=None)]

    monkeypatch.setattr(attending, "_attended", both)
    task: dict[str, Any] = {"node_id": NODE.id, "build_id": "b1", "state": "WAITING", "ask": "go"}
    task |= {"instructions": "", "file": "f", "digest": "d", "waiting_s": 1.0}
    bench.attending.waiting = {"hall-2": [task], "hall-3": [{**task, "ask": "open the door"}]}
    shown = await bench.ask("{ attendedTasks { tasks { nodeId ask } silent } }")
    assert shown["data"]["attendedTasks"] == {
        "tasks": [{"nodeId": NODE.id, "ask": "go"}],
        "silent": [],
    }
    bench.attending.waiting["hall-3"] = [{"node_id": second.id}]  # of another version, perhaps
    shown = await bench.ask("{ attendedTasks { tasks { nodeId } silent } }")
    assert shown["data"]["attendedTasks"] == {"tasks": [{"nodeId": NODE.id}], "silent": ["hall-3"]}


async def test_without_a_trail_no_word_reaches_the_bridge(bench: Bench) -> None:
    bench.trail.refusal = UnavailableError("no trail")
    assert (await said(bench, "operator"))["problems"][0]["__typename"] == "Unavailable"
    assert bench.attending.words == []

"""Rebuilds in a running installation: by command line and subscription, and what they never do."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from nats.aio.msg import Msg

from ops.messaging.connection import connect
from ops.projecting.rebuild import begin
from ops.projecting.wiring import connected
from projections.catalogue import CATALOGUE
from tests.gateway_stack import REGISTER, Stack, home_of, running_stack

NAMES = [each.name for each in CATALOGUE]
PROGRESS = "subscription($name: String!) { projectionProgress(name: $name) { verb state } }"
BUILD = """mutation($name: String!) { buildProjection(name: $name) {
  operation { verb state } problems { code message } } }"""
TRAIL = """{ auditTrail(first: 100) { edges { node { actor action resource outcome } } } }"""
WORK = "$JS.API.STREAM.INFO.IMEWE_WORK"

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        with stack.client() as client:
            client.command(REGISTER, {"name": "Prusa", "bridge": "elsewhere"})
        yield stack


def told(stack: Stack, *words: str) -> Any:
    """The JSON that a command prints; it must succeed."""
    result = stack.run("projections", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def lived(stack: Stack) -> dict[str, str]:
    return {each["name"]: each["schema"] for each in told(stack, "list")}


def test_every_step_from_the_plan_to_the_drop(stack: Stack) -> None:
    first = lived(stack)["jobs"]
    assert told(stack, "plan", "jobs")["live"] == first
    built = told(stack, "build", "jobs")
    assert built["schema"] == f"{first}_r2"
    found = told(stack, "diff", "jobs")
    assert {(t["added"], t["removed"], t["changed"]) for t in found["tables"]} == {(0, 0, 0)}
    assert found["rows"] == []
    assert told(stack, "switch", "jobs") == {
        "name": "jobs",
        "before": first,
        "now": built["schema"],
    }
    assert told(stack, "rollback", "jobs")["now"] == first
    assert told(stack, "drop", "jobs")["dropped"] == built["schema"]
    assert told(stack, "parked") == []
    assert told(stack, "retry", "jobs")["gone_on"] == []
    status = told(stack, "status")
    assert {each["position"] for each in status["projections"]} == {status["logPosition"]}


def test_a_rebuild_of_everything_sends_nothing_but_its_own_steps(stack: Stack) -> None:
    heard: list[str] = []
    ready, done = threading.Event(), threading.Event()
    listening = threading.Thread(target=lambda: asyncio.run(_listen(stack, heard, ready, done)))
    listening.start()
    assert ready.wait(30)
    before = told(stack, "status")["logPosition"]
    rebuilt = told(stack, "rebuild", "--all")
    done.set()
    listening.join(30)
    assert [each["name"] for each in rebuilt] == NAMES
    assert heard == ["work 0"]
    assert told(stack, "status")["logPosition"] == before


async def _listen(
    stack: Stack, heard: list[str], ready: threading.Event, done: threading.Event
) -> None:
    """Everything that could move a machine or become an event, and work in the queue."""

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    writer = await connect(stack.settings, "commands")
    bridge = await connect(stack.settings, "bridge")
    asking = await connect(stack.settings, "supervisor")
    await writer.subscribe("imewe.command.>", cb=hear)
    await writer.flush()
    for subject in ("imewe.stop.local.>", "imewe.bridge.local.>"):
        await bridge.subscribe(subject, cb=hear)
    await bridge.flush()
    ready.set()
    await asyncio.to_thread(done.wait, 60)
    answer = await asking.request(WORK, b"", timeout=30)
    heard.append(f"work {json.loads(answer.data)['state']['messages']}")
    for client in (writer, bridge, asking):
        await client.close()


def test_a_build_that_a_killed_service_left_is_taken_up(stack: Stack) -> None:
    projection = CATALOGUE[1]
    with connected(stack.settings) as connection:
        left = begin(connection, projection, by="user/somebody")
    until = time.monotonic() + 30
    while states(stack, projection.name)[left.schema] != "BUILT":
        assert time.monotonic() < until
        time.sleep(0.2)
    killed = psutil.Process(stack.pid("projections"))
    killed.kill()
    killed.wait(30)
    while (again := stack.run("projections", "drop", projection.name)).exit_code:
        assert "does not run" in again.output or "did not answer" in again.output, again.output
        assert time.monotonic() < until
        time.sleep(0.2)
    assert list(states(stack, projection.name).values()) == ["LIVE"]


def states(stack: Stack, name: str) -> dict[str, str]:
    (found,) = [each for each in told(stack, "list") if each["name"] == name]
    return {each["schema"]: each["state"] for each in found["builds"]}


def test_progress_can_be_watched(stack: Stack) -> None:
    told(stack, "retry", "kpis")  # so that there is something to be told at once
    seen: list[tuple[str, str]] = []
    with stack.client() as client, stack.client() as admin:
        watching = client.subscribe(PROGRESS, {"name": "kpis"})
        next(watching)
        admin.command(BUILD, {"name": "kpis"})
        for message in watching:
            step = message["projectionProgress"]
            seen.append((step["verb"], step["state"]))
            if step == {"verb": "build", "state": "DONE"}:
                break
        watching.close()  # type: ignore[attr-defined]
    assert seen[-1] == ("build", "DONE")
    told(stack, "drop", "kpis")


def test_every_step_is_in_the_audit_trail_with_who_had_it_done(stack: Stack) -> None:
    told(stack, "build", "nodes")
    refused = stack.run("projections", "drop", "nodes", "--schema", lived(stack)["nodes"])
    assert refused.exit_code == 1
    assert "readers look at" in refused.output
    told(stack, "drop", "nodes")
    with stack.client() as client:
        me = client.execute("{ me { accountId } }")["me"]["accountId"]
        edges = client.execute(TRAIL)["auditTrail"]["edges"]
    steps = [
        (each["node"]["action"], each["node"]["outcome"])
        for each in edges
        if each["node"]["resource"] == "projection/nodes" and each["node"]["actor"] == f"user/{me}"
    ]
    assert steps[:6] == [
        ("projections.drop", "done"),
        ("projections.drop", "begun"),
        ("projections.drop", "failed"),
        ("projections.drop", "begun"),
        ("projections.build", "done"),
        ("projections.build", "begun"),
    ]


@pytest.mark.parametrize("role", ["operator", "designer", "viewer", "auditor", "vendor"])
def test_nobody_but_an_admin_may(stack: Stack, role: str) -> None:
    with stack.client() as client:
        place = home_of(client)
    token = stack.token(role, place=place)
    assert _code(_post(stack, token, "{ projections { logPosition } }")) == "FORBIDDEN"
    assert _code(_post(stack, token, BUILD, name="jobs")) == "FORBIDDEN"


def _post(stack: Stack, token: str, query: str, **variables: str) -> Any:
    answer = httpx.post(
        f"{stack.url}/graphql",
        json={"query": query, "variables": variables},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    return answer.json()


def _code(answer: Any) -> str:
    if errors := answer.get("errors"):
        return str(errors[0]["extensions"]["problem"]["code"])
    (payload,) = answer["data"].values()
    return str(payload["problems"][0]["code"])

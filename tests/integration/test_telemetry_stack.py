"""From the bridge's feed to the command line, through a whole installation."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ops.messaging.connection import connect
from ops.messaging.live_feed import NatsTelemetryFeed
from tests.gateway_stack import REGISTER, Stack, running_stack
from tests.telemetry import HOT_END, told

PATIENCE_S = 30.0
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


@pytest.fixture(scope="module")
def machine(stack: Stack) -> str:
    """A machine that measured something nine days ago and now, and once sent nonsense."""
    with stack.client() as client:
        node_id = str(client.command(REGISTER, {"name": "warm", "bridge": "local"})["nodeId"])
    now = time.time_ns() // 1_000_000
    old = [(now - 9 * DAY_MS + n * 1000, HOT_END, 200.0 + n) for n in range(10)]
    new = [(now - 5000 + n * 500, HOT_END, 210.0 + n) for n in range(10)]
    asyncio.run(_publish(stack, node_id, told(old, node_id=node_id), {"node_id": "nonsense"}))
    asyncio.run(_publish(stack, node_id, told(new, node_id=node_id, seq=2)))
    return node_id


async def _publish(stack: Stack, node_id: str, *messages: dict[str, Any]) -> None:
    bridge = await connect(stack.settings, "bridge")
    for message in messages:
        await NatsTelemetryFeed(bridge).publish(node_id, message)
    await bridge.close()


def asked(stack: Stack, *words: str) -> Any:
    result = stack.run("telemetry", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def until_there(stack: Stack, machine: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = asked(stack, "channels", machine)
        if found["channels"] and found["refused"] and found["channels"][0]["last"] == 219.0:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_person_sees_what_a_machine_measures_and_what_could_not_be_read(
    stack: Stack, machine: str
) -> None:
    found = until_there(stack, machine)
    assert found["metrics"]["temperature"] == 219.0
    assert [each["fault"] for each in found["refused"]] == ["WRONG_NODE"]
    shown = asked(stack, "show", "warm", "--channel", HOT_END, "--from", "10m")
    assert shown["series"][0]["average"] == [210.0 + n for n in range(10)]
    table = stack.run("telemetry", "show", "warm", "--from", "10m")
    assert table.exit_code == 0
    assert "219" in table.stdout


def test_a_day_that_was_moved_is_shown_all_the_same(stack: Stack, machine: str) -> None:
    until_there(stack, machine)
    moved = asked(stack, "tier")
    assert [each["readings"] for each in moved] == [10]
    assert [each["fault"] for each in asked(stack, "verify")] == [""]
    words = ("--from", "10d", "--to", "8d", "--resolution", "raw")
    shown = asked(stack, "show", "warm", *words)
    assert shown["series"][0]["average"] == [200.0 + n for n in range(10)]


def test_an_administrator_sees_how_far_the_ingest_is(stack: Stack, machine: str) -> None:
    until_there(stack, machine)
    deadline = time.monotonic() + PATIENCE_S
    while (found := asked(stack, "status"))["behind"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found["behind"] == 0
    assert (found["ingested"] >= 3, found["series"], found["refused"] >= 1) == (True, 1, True)
    assert found["hot_bytes"] > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "nobody"), 1),
        (("show", "warm", "--from", "yesterday"), 1),
        (("show", "warm", "--from", "1h", "--to", "2h"), 1),
        (("show", "warm", "--points", "5000"), 1),
        (("channels", "nobody"), 1),
    ],
)
def test_what_cannot_be_shown_is_one_clear_line(
    stack: Stack, machine: str, words: tuple[str, ...], code: int
) -> None:
    result = stack.run("telemetry", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("imewe: ")


def test_nonsense_on_the_live_subject_disturbs_no_watcher(stack: Stack, machine: str) -> None:
    query = """subscription($id: ID!) { telemetry(nodeId: $id) {
      sequence readings { channel value } } }"""
    heard: list[Any] = []
    with stack.client() as client:
        listening = threading.Thread(
            target=lambda: heard.append(next(client.subscribe(query, {"id": machine}))), daemon=True
        )
        listening.start()
        reading = (time.time_ns() // 1_000_000, HOT_END, 220.0)
        good = told([reading, (reading[0], "power_w", 0.0)], node_id=machine, seq=3)
        odd = {**good, "v": [220.0, None]}
        deadline = time.monotonic() + PATIENCE_S
        while not heard and time.monotonic() < deadline:
            asyncio.run(_publish(stack, machine, {"node_id": machine, "t": "never"}, odd))
            listening.join(0.2)
    assert heard[0]["telemetry"]["readings"] == [
        {"channel": HOT_END, "value": 220.0},
        {"channel": "power_w", "value": None},
    ]

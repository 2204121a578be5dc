"""`--as-of` on the command line, against a running installation."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_stack import GCODE, Stack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


@pytest.fixture(scope="module")
def ordered(stack: Stack) -> dict[str, Any]:
    """An order with another priority since its submission, and all that the log holds of it."""
    made = told(stack, "jobs", "submit", str(GCODE), "--priority", "3")
    changed = told(stack, "jobs", "reprioritize", made["jobId"], "9")
    until_past(stack, changed["position"])
    events = told(stack, "events", "list", "--about", made["jobId"])
    return {"id": made["jobId"], "made": events[0], "changed": changed["position"]}


def told(stack: Stack, *words: str) -> Any:
    """The JSON that a command prints; it must succeed."""
    result = stack.run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def until_past(stack: Stack, position: str) -> None:
    with stack.client() as client:
        query = """query($at: Position) { jobs(first: 1, atLeast: $at) { edges { cursor } }
          eventHistory(first: 1, atLeast: $at) { edges { cursor } } }"""
        client.execute(query, {"at": position})


def test_an_order_is_shown_as_it_was(stack: Stack, ordered: dict[str, Any]) -> None:
    words = ("jobs", "show", ordered["id"])
    then = told(stack, *words, "--as-of", ordered["made"]["position"])
    assert (then["priority"], then["status"], then["parts"]) == (3, "SUBMITTED", [])
    assert then["asOf"]["position"] == ordered["made"]["position"]
    now = told(stack, *words)
    assert (now["priority"], now["asOf"]) == (9, None)
    result = stack.run(*words, "--as-of", ordered["made"]["position"])
    assert result.exit_code == 0
    assert result.stderr.startswith(f"As of position {ordered['made']['position']}, ")
    listed = told(stack, "jobs", "list", "--as-of", ordered["made"]["position"])
    assert [job["priority"] for job in listed if job["id"] == ordered["id"]] == [3]


def test_a_time_and_its_position_show_the_same(stack: Stack, ordered: dict[str, Any]) -> None:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f"{now % 1:.6f}"[1:] + "Z"
    by_time = told(stack, "jobs", "show", ordered["id"], "--as-of", stamp)
    assert by_time["priority"] == 9
    position = by_time["asOf"]["position"]
    assert int(position) >= int(ordered["changed"])
    by_position = told(stack, "jobs", "show", ordered["id"], "--as-of", position)
    by_time.pop("asOf")
    by_position.pop("asOf")
    assert by_position == by_time


def test_an_order_that_was_not_yet_there_is_not_shown(
    stack: Stack, ordered: dict[str, Any]
) -> None:
    before = str(int(ordered["made"]["position"]) - 1)
    result = stack.run("jobs", "show", ordered["id"], "--as-of", before)
    assert result.exit_code == 1
    assert result.stderr == f"imewe: there was no order {ordered['id']}\n"
    assert told(stack, "jobs", "list", "--as-of", "0") == []


def test_machines_material_people_and_figures_are_shown_as_they_were(stack: Stack) -> None:
    node = told(stack, "nodes", "register", "old-1", "--virtual")
    received = told(stack, "inventory", "receive", node["nodeId"], "PLA", "1kg")
    paused = told(stack, "nodes", "pause", "old-1")
    until_past(stack, paused["position"])
    then = ("--as-of", node["position"])
    assert told(stack, "nodes", "show", "old-1", *then)["held"] is False
    assert told(stack, "nodes", "show", "old-1", "--as-of", paused["position"])["held"] is True
    assert [each["held"] for each in told(stack, "nodes", "list", *then)][-1] is False
    assert told(stack, "inventory", "list", *then) == []
    (lot,) = told(stack, "inventory", "list", "--as-of", received["position"])
    assert lot["freeMg"] == 1_000_000
    assert told(stack, "users", "list", "--as-of", "0") == []
    assert len(told(stack, "users", "list", *then)) == 1
    figures = told(stack, "kpis", "show", "--period", "hour", *then)
    assert figures[-1]["asOf"]["position"] == node["position"]
    assert stack.run("kpis", "show").exit_code == 0


@pytest.mark.parametrize("text", ["yesterday", "12-", "2026-13-40", "9" * 25])
def test_what_is_no_moment_is_refused(stack: Stack, text: str) -> None:
    result = stack.run("jobs", "list", "--as-of", text)
    assert result.exit_code == 1
    assert "is no moment" in result.stderr
    assert "Traceback" not in result.output


def test_the_future_is_refused(stack: Stack) -> None:
    result = stack.run("nodes", "list", "--as-of", "2999-01-01T00:00:00Z")
    assert result.exit_code == 1
    assert "not known" in result.stderr

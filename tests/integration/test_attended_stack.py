"""A whole installation with a machine that has no wire: from the order to the finished job."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from ops.cli.main import GROUPS, application
from tests.gateway_stack import GCODE, Stack, running_stack

WITHIN_S = 60.0
MODEL = GCODE.with_name("cable_clip.stl")
ALONE = ("--inspection", "automatic")
T = TypeVar("T")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


def told(stack: Stack, *words: str) -> Any:
    """What a client command says with ``--json``."""
    result = stack.run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def awaited(look: Callable[[], T]) -> T:
    """What ``look`` finds, once it finds something."""
    until = time.monotonic() + WITHIN_S
    while not (found := look()):
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.1)
    return found


def tasks(stack: Stack) -> list[dict[str, Any]]:
    """What waits for a person."""
    return list(told(stack, "attend", "list")["tasks"])


def test_an_order_is_made_by_a_person_and_the_trail_says_who(stack: Stack, tmp_path: Path) -> None:
    node = told(stack, "nodes", "register", "resin-1")["nodeId"]
    size = ("--size", "250x210x200")
    told(stack, "nodes", "configure", node, "--process", "fdm", "--materials", "PLA", *size, *ALONE)
    told(stack, "inventory", "receive", node, "PLA", "1kg", "--lot", "A")
    told(stack, "nodes", "clear-bed", node)
    words = ("add", node, "person://resin-1", "--driver", "attended", "--option")
    added = CliRunner().invoke(
        application(GROUPS),
        ["bridge", *words, f"folder={tmp_path}", "--home", str(stack.home)],
    )
    assert added.exit_code == 0, added.stderr
    job = told(stack, "jobs", "submit", str(GCODE), "--material", "PLA")["jobId"]
    (task,) = awaited(lambda: tasks(stack))
    build = task["buildId"]
    assert (task["nodeName"], task["state"]) == ("resin-1", "WAITING")
    early = stack.run("attend", "finish", build)
    assert early.exit_code == 1
    assert "nobody said start" in early.stderr
    assert told(stack, "attend", "start", build)["fresh"]
    assert not told(stack, "attend", "start", build)["fresh"]
    os.kill(stack.pid("bridge"), signal.SIGKILL)
    (asked,) = awaited(lambda: [task for task in tasks(stack) if "restarted" in task["ask"]])
    assert (asked["buildId"], asked["state"]) == (build, "ACTIVE")
    assert told(stack, "attend", "finish", build, "--material", "3g")["execution"] == "READY"
    awaited(lambda: not tasks(stack))
    assert not told(stack, "attend", "finish", build, "--node", "resin-1")["fresh"]
    assert stack.run("attend", "finish", build).exit_code == 1
    awaited(lambda: status(stack, job) == "COMPLETED")
    trail = told(stack, "users", "trail")
    said = [e for e in trail if e["resource"] == f"build/{build}" and e["outcome"] == "done"]
    assert {e["action"] for e in said} == {"gateway.attend.start", "gateway.attend.finish"}
    assert all(e["actor"].startswith("user/") for e in said)


def test_a_model_goes_unsliced_to_a_machine_of_a_kind_that_no_driver_knows(
    stack: Stack, tmp_path: Path
) -> None:
    node = told(stack, "nodes", "register", "resin-2")["nodeId"]
    size = ("--size", "140x80x160")
    told(stack, "nodes", "configure", node, "--process", "sla", "--materials", "RESIN", *size)
    told(stack, "inventory", "receive", node, "RESIN", "1kg", "--lot", "A")
    told(stack, "nodes", "clear-bed", node)
    words = ("add", node, "person://resin-2", "--driver", "attended", "--option")
    CliRunner().invoke(
        application(GROUPS),
        ["bridge", *words, f"folder={tmp_path}", "--home", str(stack.home)],
    )
    told(stack, "jobs", "submit", str(MODEL), "--material", "RESIN")
    (task,) = awaited(lambda: tasks(stack))
    laid_out = Path(task["file"])
    assert laid_out.name == f"{task['buildId']}.stl"
    assert laid_out.read_bytes() == MODEL.read_bytes()
    assert told(stack, "attend", "start", task["buildId"])["fresh"]
    words = ("attend", "scrap", task["buildId"], "--reason", "stuck to the film")
    assert told(stack, *words)["fresh"]


def status(stack: Stack, job_id: str) -> str:
    """The order's state."""
    query = "query($id: ID!) { job(id: $id) { status } }"
    with stack.client() as client:
        return str(client.execute(query, {"id": job_id})["job"]["status"])

"""From a machine on a port, or a file, to a node of the fleet: on a whole installation."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from device_bridge.machines import read_machines
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from tests.gateway_stack import Stack, running_stack

FLEET = """name,driver,port,process,materials,size,max_nozzle_c,max_spindle_rpm
prusa-1,marlin,tcp://127.0.0.1:1,fdm,PLA;PETG,250x210x210,290,
prusa-2,marlin,tcp://127.0.0.1:2,fdm,PLA;PETG,250x210x210,290,
voron-1,moonraker,http://127.0.0.1:3,fdm,PLA;ABS,300x300x300,300,
mk4-1,prusalink,http://127.0.0.1:4,fdm,PLA,250x210x220,290,
duet-1,reprap,tcp://127.0.0.1:5,fdm,PETG,300x300x400,280,
mill-1,grbl,tcp://127.0.0.1:6,mill,POM;ALU,300x200x80,,12000
mill-2,grblhal,tcp://127.0.0.1:7,mill,POM,9000x400x100,,24000
"""
NAMES = [line.partition(",")[0] for line in FLEET.splitlines()[1:]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


@contextmanager
def mill_on_tcp(folder: Path) -> Iterator[str]:
    """A virtual mill in a thread of its own; its address."""
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    plan = MachinePlan(name="mill", dialect="grbl", link="tcp")

    async def begin() -> VirtualMachine:
        machine = VirtualMachine(plan, folder=folder)
        machine.start()
        return machine

    async def end(machine: VirtualMachine) -> None:
        machine.stop()
        await asyncio.sleep(0.05)

    machine = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    try:
        yield machine.address
    finally:
        asyncio.run_coroutine_threadsafe(end(machine), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        running.join()
        loop.close()


def until(true: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up, f"never: {what}"
        time.sleep(0.1)


def told(stack: Stack, *words: str, code: int = 0) -> Any:
    result = stack.run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout.splitlines()[-1])


def nodes(stack: Stack) -> dict[str, str]:
    return {node["name"]: node["id"] for node in told(stack, "nodes", "list")}


def imported(stack: Stack, tmp_path: Path) -> None:
    """The fleet is there, whichever test ran before."""
    file = tmp_path / "fleet.csv"
    file.write_text(FLEET)
    told(stack, "nodes", "import", str(file))
    until(lambda: set(NAMES) <= set(nodes(stack)), "the fleet is listed")


def test_five_printers_and_two_mills_come_by_one_file_and_only_once(
    stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text(FLEET + "broken,marlin,tcp://127.0.0.1:8,fdm,PLA,huge,,\n")
    tried = told(stack, "nodes", "import", str(file), "--dry-run", code=1)
    assert (tried["taken"], tried["refused"]) == (7, 1)
    assert tried["lines"][7]["line"] == 9
    assert "size" in tried["lines"][7]["problem"]
    assert not set(NAMES) & set(nodes(stack))

    made = told(stack, "nodes", "import", str(file), code=1)
    ids = {each["name"]: each["node"] for each in made["lines"] if not each["problem"]}
    assert list(ids) == NAMES
    until(lambda: set(NAMES) <= set(nodes(stack)), "the seven are listed")
    assert {name: nodes(stack)[name] for name in NAMES} == ids
    file.write_text(FLEET)
    again = told(stack, "nodes", "import", str(file))
    assert {each["name"]: each["node"] for each in again["lines"]} == ids
    assert len(nodes(stack)) == len(set(nodes(stack))) == len(NAMES)
    listed = {each.name: each.node_id for each in read_machines(stack.home / "machines.json")}
    assert listed == ids
    shown = told(stack, "nodes", "show", "mill-1")
    assert shown["capabilities"]["materials"] == ["ALU", "POM"]
    assert shown["profileVersion"] == 1


def test_a_found_machine_is_proposed_approved_and_then_connected(
    stack: Stack, tmp_path: Path
) -> None:
    with mill_on_tcp(tmp_path) as port:
        imported(stack, tmp_path)
        differs = told(stack, "bridge", "probe", port, "--node", "mill-2", code=1)
        assert differs["driver"] == "grbl"
        assert any("max_size x" in each for each in differs["mismatches"])

        (proposal,) = told(stack, "bridge", "propose", port, "--no-network")
        assert proposal["missing"] == ["materials"]
        words = ("bridge", "approve", proposal["id"], "--name", "new-mill", "--hold")
        refused = stack.run(*words)
        assert refused.exit_code != 0
        assert "materials" in refused.stderr
        assert "new-mill" not in nodes(stack)

        made = told(stack, *words, "--materials", "POM")
        assert told(stack, *words, "--materials", "POM")["node_id"] == made["node_id"]
        assert told(stack, "bridge", "propose", port, "--no-network") == []
        scanned = told(stack, "bridge", "scan", port, "--no-network")
        assert [each["machine"] for each in scanned if each["port"] == port] == ["new-mill"]

        until(lambda: node(stack, made["node_id"]).get("connected"), "its bridge has it")
        shown = node(stack, made["node_id"])
        assert shown["held"]
        assert "awaits approval" in shown["holdReason"]
        assert shown["capabilities"]["types"] == ["mill"]


def test_a_name_that_is_taken_is_not_given_twice(stack: Stack, tmp_path: Path) -> None:
    with mill_on_tcp(tmp_path) as port:
        imported(stack, tmp_path)
        (proposal,) = told(stack, "bridge", "propose", port, "--no-network")
        words = ("bridge", "approve", proposal["id"], "--materials", "POM", "--name", "mill-1")
        refused = stack.run(*words)
        assert refused.exit_code != 0
        assert "called mill-1 already" in refused.stderr


def node(stack: Stack, node_id: str) -> dict[str, Any]:
    found = stack.run("nodes", "show", node_id, "--json")
    return dict(json.loads(found.stdout.splitlines()[-1])) if found.exit_code == 0 else {}

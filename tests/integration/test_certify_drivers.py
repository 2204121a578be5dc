"""The conformance suite: good drivers pass it, bad ones fail the checks that they should fail."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_bridge.certify.bench import Bench
from device_bridge.certify.check import State, Verdict
from device_bridge.certify.suite import (
    CHECKS,
    certify,
    certify_machine,
    claims_too_much,
    earned,
)
from device_bridge.drivers.catalogue import driver_named
from device_bridge.drivers.spec import DriverSpec
from device_bridge.machines import MachineConfig
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from tests.integration.bad_drivers import FAULTS, Liar

Running = subprocess.Popen[str]
SERVED = ("marlin", "grbl", "grblhal", "reprap", "moonraker", "prusalink", "octoprint")
SOME = frozenset({
    "identity", "gives-back", "program-once", "pause-holds", "stop-latches", "loss-told-once",
})  # fmt: skip
TIMED = {"stop-while-blocked", "stop-under-flood"}
"""Seven suites run beside each other: a driver that missed its 100 ms then is tried alone."""
PAGE = Path("ops/docs/handbook/drivers.md")


def verdicts(spec: DriverSpec, folder: Path, *only: str) -> dict[str, Verdict]:
    """A run of the suite, in a loop of its own."""

    async def gathered() -> dict[str, Verdict]:
        found = certify(spec, folder, only=frozenset(only))
        return {verdict.name: verdict async for verdict in found}

    return asyncio.run(gathered())


@pytest.fixture(scope="module", autouse=True)
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Every driver of ours through the whole suite, beside the other tests: mostly it waits."""
    home = tmp_path_factory.mktemp("home")
    with contextlib.ExitStack() as stack:
        running: dict[str, Running] = {}
        for name in SERVED:
            process = subprocess.Popen(
                bridge_words(home, "certify", name, "--json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            running[name] = stack.enter_context(process)
            stack.callback(process.kill)
        yield running


def test_a_driver_that_lies_fails_every_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_bridge.certify.bench.PATIENCE_S", 0.2)
    monkeypatch.setattr("device_bridge.certify.bench.SETTLE_S", 0.05)
    spec = replace(driver_named("marlin"), make=lambda _: Liar())
    found = verdicts(spec, tmp_path)
    assert [v.name for v in found.values() if v.state is not State.FAILED] == []
    assert earned(spec, list(found.values())) is None
    reading = verdicts(replace(spec, read_only=True), tmp_path / "reading")
    assert [v.name for v in reading.values() if v.state is not State.FAILED] == []
    assert {*found, *reading} == {check.name for check in CHECKS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_fault_fails_its_own_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr("device_bridge.certify.bench.PATIENCE_S", fault.patience_s)
    spec = replace(driver_named("marlin"), make=fault.of)
    found = verdicts(spec, tmp_path, *fault.fails, "identity")
    assert {v.name for v in found.values() if v.state is State.FAILED} == set(fault.fails)
    assert claims_too_much(spec, earned(spec, list(found.values())))


def test_a_check_that_cannot_be_tried_says_so_and_one_that_cannot_apply_says_why(
    tmp_path: Path,
) -> None:
    spec = replace(driver_named("grbl"), exempt={"heat-off": "it has neither"}, peer=None)
    with pytest.raises(Exception, match="brings no virtual machine"):
        verdicts(spec, tmp_path)
    marlin = driver_named("marlin")
    exempt = replace(marlin, exempt={"heat-off": "it has neither"})
    found = verdicts(exempt, tmp_path, "heat-off")
    assert (found["heat-off"].state, found["heat-off"].text) == (State.EXEMPT, "it has neither")


def test_the_worked_example_of_the_handbook_is_found_and_passes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "thermometer.py").write_text(blocks[0])
    (tmp_path / "drivers" / "broken.py").write_text("import nothing_like_this\n")
    (tmp_path / "drivers" / "marlin.py").write_text(blocks[0])
    listed = cli(tmp_path, "drivers", "--json")
    names = {row["name"]: row for row in json.loads(listed.stdout)}
    assert names["thermometer"]["read_only"] is True
    assert "broken" not in names
    assert "nothing_like_this" in listed.stderr
    assert names["marlin"]["title"] == driver_named("marlin").title
    told = cli(tmp_path, "certify", "thermometer", "--json")
    report = json.loads(told.stdout)
    assert [v for v in report["verdicts"] if v["state"] not in {"passed", "exempt"}] == []
    assert (report["earned"], told.returncode) == ("bronze", 0)
    refused = cli(tmp_path, "certify", "broken")
    assert refused.returncode != 0
    assert "nothing_like_this" in refused.stderr


@pytest.mark.parametrize("moves", [False, True], ids=["standing still", "moving"])
async def test_a_real_machine_moves_only_when_it_may_and_is_left_safe(
    tmp_path: Path, moves: bool
) -> None:
    machine = VirtualMachine(MachinePlan(name="m1", dialect="marlin", speed=4), folder=tmp_path)
    machine.start()
    config = MachineConfig(
        node_id="n1", name="m1", dialect="marlin", port=machine.address, virtual=True
    )
    program = "M104 S60\n" + "".join(f"G1 X{n % 50} F6000\n" for n in range(1, 300))
    found: dict[str, Verdict] = {}
    try:
        async for verdict in certify_machine(
            driver_named("marlin"), config, tmp_path, program=program, moves=moves, only=SOME
        ):
            found[verdict.name] = verdict
    finally:
        machine.stop()
    assert [v for v in found.values() if v.state is State.FAILED] == []
    assert (machine.ledger.counts.starts > 0) is moves
    assert (found["pause-holds"].state is State.PASSED) is moves
    assert (found["stop-latches"].state is State.PASSED) is moves
    assert found["identity"].state is State.PASSED
    assert found["loss-told-once"].state is State.SKIPPED
    assert machine.firmware.body.heaters["hotend0"].target_c == 0


async def test_what_a_check_leaves_running_on_a_real_machine_is_ended(tmp_path: Path) -> None:
    machine = VirtualMachine(MachinePlan(name="m1", dialect="marlin"), folder=tmp_path)
    machine.start()
    config = MachineConfig(
        node_id="n1", name="m1", dialect="marlin", port=machine.address, virtual=True
    )
    program = "M104 S60\n" + "".join(f"G1 X{n % 50} F3600\n" for n in range(1, 9000))
    try:
        found = certify_machine(
            driver_named("marlin"),
            config,
            tmp_path,
            program=program,
            moves=True,
            only=frozenset({"resume-goes-on"}),
        )
        assert [verdict.state async for verdict in found] == [State.PASSED]
        assert machine.firmware.body.heaters["hotend0"].target_c == 0
    finally:
        machine.stop()


async def test_a_machine_that_does_not_answer_is_said_so_once(tmp_path: Path) -> None:
    config = MachineConfig(node_id="n1", name="m1", dialect="marlin", port=str(tmp_path / "no"))
    spec = driver_named("marlin")
    found = [v async for v in certify_machine(spec, config, tmp_path, program="", moves=False)]
    assert [(v.name, v.state) for v in found] == [("identity", State.FAILED)]
    assert "cannot be opened" in found[0].text


def bridge_words(home: Path, *words: str) -> list[str]:
    """`imewe bridge` as a process."""
    return [sys.executable, "-m", "ops.cli.main", "bridge", *words, "--home", str(home)]


def cli(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Its end."""
    return subprocess.run(
        bridge_words(home, *words),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def test_an_exception_that_nobody_awaits_fails_the_check(tmp_path: Path) -> None:
    async def crash(bench: Bench) -> str:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.05)
        return "all is well"

    check = replace(CHECKS[0], run=crash)
    spec = driver_named("marlin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("device_bridge.certify.suite.CHECKS", (check,))
        found = [verdict async for verdict in certify(spec, tmp_path)]
    assert found[0].state is State.FAILED
    assert "ZeroDivisionError" in found[0].text


@pytest.mark.parametrize("name", SERVED)
def test_a_driver_of_ours_earns_what_it_claims(
    certified: dict[str, Running], name: str, tmp_path: Path
) -> None:
    out, _ = certified[name].communicate(timeout=300)
    report, code = json.loads(out), certified[name].returncode
    if TIMED & {v["name"] for v in report["verdicts"] if v["state"] == "failed"}:
        alone = cli(tmp_path, "certify", name, "--json")
        report, code = json.loads(alone.stdout), alone.returncode
    assert [v for v in report["verdicts"] if v["state"] not in {"passed", "exempt"}] == []
    assert (report["earned"], code) == (driver_named(name).quality, 0)

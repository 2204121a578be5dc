"""Stops that outlast the bridge, that need no core, and that need no bridge."""

import asyncio
import json
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.machines import write_machines
from device_bridge.protocols import DeviceIdentity
from device_bridge.safety import desk
from device_bridge.safety.latches import FOLDER, Latches
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from device_bridge.virtual.shop import configs
from ops.cli.main import application
from ops.clock import SystemClock
from tests.integration.bridge_fakes import FileCore
from tests.integration.bridge_rig import milled, printed
from tests.integration.bridge_shop import NODE, bridge, bridge_process, shop

DIALECTS = {"marlin": "printer", "grbl": "mill"}


async def test_a_stop_stays_latched_across_a_restart_until_a_person_clears_it(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path):
        async with bridge(tmp_path) as (agent, core):
            await core.told("ConnectMachine")
            await agent.emergency_stop(NODE, "user/otto")
        async with bridge(tmp_path) as (agent, core):
            await found(lambda: core.commands("ObserveNode")[-1]["emergency_stop"] == "TRIGGERED")
            core.order("b1", NODE, printed(5))
            await asyncio.sleep(0.5)
            assert core.commands("AcceptBuild") == []
            asked = {"node_id": NODE, "operator": "user/otto"}
            assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"
            cleared = await agent.control("clear_fault", asked)
            assert (cleared["ok"], cleared["emergency_stop"]) == (True, "ARMED")
            await core.told("FinishBuild")
        async with bridge(tmp_path) as (agent, core):
            await core.told("ConnectMachine", count=3)
            assert (await agent.control("status", asked))["emergency_stop"] == "ARMED"
        assert len(core.commands("RecordEmergencyStop")) == 1


async def test_a_stop_while_a_person_clears_the_one_before_is_not_cleared_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"node_id": NODE, "operator": "user/otto"}
    clear = MarlinPrinter.clear_fault
    async with shop(tmp_path), bridge(tmp_path) as (agent, core):
        await core.told("ConnectMachine")
        await agent.emergency_stop(NODE, "user/otto")

        async def stopped_again(driver: MarlinPrinter, operator: str) -> DeviceIdentity:
            identity = await clear(driver, operator)
            await agent.emergency_stop(NODE, "user/anna")
            return identity

        with monkeypatch.context() as patch:
            patch.setattr(MarlinPrinter, "clear_fault", stopped_again)
            refused = await agent.control("clear_fault", asked)
        assert refused["error"]["code"] == "EMERGENCY_STOP_LATCHED"
        assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"
        latches = Latches(tmp_path / "bridge" / FOLDER, clock=SystemClock())
        assert latches.find(NODE) is not None
        latches.close()
        cleared = await agent.control("clear_fault", asked)
        assert (cleared["ok"], cleared["emergency_stop"]) == (True, "ARMED")


async def test_a_bridge_that_dies_right_after_a_stop_records_it_when_it_comes_back(
    tmp_path: Path,
) -> None:
    latches = Latches(tmp_path / "bridge" / FOLDER, clock=SystemClock())
    latches.begin(NODE, "user/otto")  # where a bridge is when the bytes have just gone out
    latches.close()
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        record = await core.told("RecordEmergencyStop")
        assert record["stopped_by"] == "user/otto"
        await found(lambda: halted(place.machines[0]))  # nobody had confirmed it: it is done again


async def test_a_stop_answers_while_its_record_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async with shop(tmp_path), bridge(tmp_path) as (agent, core):
        await core.told("ConnectMachine")
        monkeypatch.setattr(Latches, "keep", full)
        receipt = await agent.emergency_stop(NODE, "user/otto")
        assert receipt["confirmed"] is True
        assert (await core.told("RecordEmergencyStop"))["stopped_by"] == "user/otto"
        asked = {"node_id": NODE}
        assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"


async def test_every_machine_of_a_killed_core_is_stopped_by_one_word_on_its_own_computer(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as machines, bridge_process(tmp_path):
        core = FileCore(tmp_path / "core")
        for number, plan in enumerate(machines):
            program = printed(3000) if plan.plan.dialect == "marlin" else milled(3000)
            core.order(f"b{number}", plan.plan.node_id, program)
        await core.told("StartBuild", count=2)
        (core.folder / "down").touch()
        code, stops = await said(tmp_path, "--all")
        assert code == 0
        assert [(stop["confirmed"], "by_hand" in stop) for stop in stops] == [(True, False)] * 2
        assert all(halted(machine) for machine in machines)
        again, _ = await said(tmp_path, "mill")
        assert again == 0
        (core.folder / "down").unlink()
        await core.told("RecordEmergencyStop", count=2)


async def test_machines_are_stopped_by_their_ports_when_the_bridge_is_dead(tmp_path: Path) -> None:
    async with fleet(tmp_path) as machines:
        async with bridge_process(tmp_path) as process:
            core = FileCore(tmp_path / "core")
            core.order("b1", machines[0].plan.node_id, printed(3000))
            await core.told("StartBuild")
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        code, stops = await said(tmp_path, "--all")
        assert code == 0
        assert all(stop["confirmed"] and stop["by_hand"] for stop in stops)
        assert machines[0].firmware.halted  # type: ignore[union-attr]
        async with bridge(tmp_path) as (agent, core):
            record = await core.told("RecordEmergencyStop", count=2)
            assert record["stopped_by"].startswith("local/")
            for machine in machines:
                asked = {"node_id": machine.plan.node_id}
                assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"


async def test_a_printer_without_an_emergency_parser_is_stopped_by_dropping_its_port(
    tmp_path: Path,
) -> None:
    deaf = [{"kind": "deaf", "at_line": 0}]
    async with (
        shop(tmp_path, speed=1.0, faults=deaf) as place,
        bridge(tmp_path) as (agent, core),
    ):
        core.order("b1", NODE, "M104 S200\nG28\nG1 X50 F600\n")
        await core.told("StartBuild")
        (machine,) = place.machines
        await found(lambda: machine.firmware.body.heaters["hotend0"].target_c > 0)
        receipt = await agent.emergency_stop(NODE, "user/otto")
        assert receipt["confirmed"] is True
        assert machine.firmware.body.heaters["hotend0"].target_c == 0
        assert (await core.told("FailBuild"))["reason"] == "EMERGENCY_STOP"
        asked = {"node_id": NODE, "operator": "user/otto"}
        assert (await agent.control("clear_fault", asked))["ok"]


async def test_a_machine_that_nobody_reaches_is_not_called_stopped(tmp_path: Path) -> None:
    async with fleet(tmp_path) as machines:
        machines[1].stop()
        code, stops = await said(tmp_path, "--all")
        assert code == 3
        assert [stop["confirmed"] for stop in stops] == [True, False]


async def test_only_the_bridges_own_account_may_ring(tmp_path: Path) -> None:
    async with shop(tmp_path), bridge(tmp_path) as (_, core):
        await core.told("ConnectMachine")
        mode = (tmp_path / "bridge" / desk.NAME).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    assert desk.ring(tmp_path / "bridge", desk.ALL, by="x") is None


def test_a_damaged_latch_is_a_latch(tmp_path: Path) -> None:
    latches = Latches(tmp_path, clock=SystemClock())
    latches.begin("n/1", "user/otto")
    (path,) = tmp_path.glob("*.json")
    path.write_text("{")
    assert latches.find("n/1") is not None
    latches.lift("n/1")
    assert latches.find("n/1") is None
    latches.close()


@asynccontextmanager
async def fleet(home: Path) -> AsyncIterator[list[VirtualMachine]]:
    """A printer and a mill, plugged in and written down."""
    plans = [
        MachinePlan(name=name, dialect=dialect, node_id=f"node-{name}", speed=40.0)
        for dialect, name in DIALECTS.items()
    ]
    machines = [VirtualMachine(plan, folder=home / "run") for plan in plans]
    for machine in machines:
        machine.start()
    write_machines(home / "machines.json", configs(plans, folder=home / "run"))
    try:
        yield machines
    finally:
        for machine in machines:
            machine.stop()


def halted(machine: VirtualMachine) -> bool:
    """Whether it does nothing any more."""
    if machine.plan.dialect == "marlin":
        return bool(machine.firmware.halted)  # type: ignore[union-attr]
    firmware = machine.firmware
    return firmware.body.spindle_w == 0 and firmware.body.planner.idle(firmware.body.clock())


async def said(home: Path, what: str) -> tuple[int, list[dict[str, Any]]]:
    """``imewe bridge stop`` on the computer of the bridge."""
    words = ["bridge", "stop", what, "--home", str(home), "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, application(["bridge"]), words)
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout)


async def found(check: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait for a fact."""
    async with asyncio.timeout(within_s):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

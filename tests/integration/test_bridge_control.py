"""What people tell a whole bridge: hold, go on, stop, clear; and what they hear of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from device_bridge.agent import Agent
from tests.integration.bridge_fakes import FileCore
from tests.integration.bridge_rig import PROMPT_MS, printed, until
from tests.integration.bridge_shop import NODE, bridge, shop


async def test_pause_resume_and_cancel_are_confirmed_after_the_machine_obeyed(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, printed(3000, feed=2400))
        await core.told("ReportProgress")
        request = {"node_id": NODE, "build_id": "b1"}
        assert (await agent.control("pause", request))["ok"]
        await core.told("ReportPaused")
        assert (await agent.control("status", request))["execution"] == "INTERRUPTED"
        assert (await agent.control("resume", request))["ok"]
        await core.told("ReportResumed")
        assert (await agent.control("cancel", request))["ok"]
        cancelled = await core.told("ConfirmCancelled")
        assert cancelled["material_mm3"] > 0
        refused = await agent.control("pause", {"node_id": "elsewhere", "build_id": "b1"})
        assert refused["error"]["code"] == "NOT_FOUND"


async def test_an_emergency_stop_is_done_first_and_recorded_after(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, printed(3000, feed=2400))
        await core.told("ReportProgress")
        (core.folder / "down").touch()
        receipt = await agent.emergency_stop(NODE, "operator-1")
        assert receipt["confirmed"]
        assert receipt["latency_ms"] < PROMPT_MS
        (core.folder / "down").unlink()
        record = await core.told("RecordEmergencyStop")
        assert record["stopped_by"] == "operator-1"
        failed = await core.told("FailBuild")
        assert failed["reason"] == "EMERGENCY_STOP"
        core.order("b2", NODE, printed(10), epoch=2)
        await asyncio.sleep(0.3)
        assert len(core.commands("StartBuild")) == 1
        cleared = await agent.control("clear_fault", {"node_id": NODE, "operator": "operator-1"})
        assert cleared["ok"], cleared
        await core.told("FinishBuild")


async def test_a_machine_is_calibrated_only_while_nothing_is_on_it(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        await core.told("ConnectMachine")
        wish = {"node_id": NODE, "routine": "home"}
        await until(lambda: core.commands("ObserveNode") != [])
        assert (await agent.control("calibrate", wish))["ok"]
        unknown = await agent.control("calibrate", {**wish, "routine": "dance"})
        assert unknown["error"]["code"] == "BAD_PROGRAM"
        core.order("b1", NODE, printed(3000, feed=2400))
        await core.told("ReportProgress")
        refused = await agent.control("calibrate", wish)
        assert refused["error"]["code"] == "MACHINE_BUSY"


async def test_a_machine_added_to_the_file_is_taken_up_while_the_bridge_runs(
    tmp_path: Path,
) -> None:
    async with bridge(tmp_path) as (_, core):
        await until(lambda: bool(core.beats))
        assert core.beats[0]["nodes"] == []
        async with shop(tmp_path):
            await core.told("ConnectMachine", within_s=10)


async def test_a_fault_of_the_machines_own_is_cleared_by_a_person_and_work_goes_on(
    tmp_path: Path,
) -> None:
    faults = [{"kind": "thermal", "at_line": 60}]
    async with shop(tmp_path, faults=faults), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, printed(200))
        assert "Thermal" in (await core.told("FailBuild"))["native_text"]
        core.order("b2", NODE, printed(10), epoch=2)
        await asyncio.sleep(0.3)
        assert len(core.commands("StartBuild")) == 1
        asked = {"node_id": NODE, "operator": "user/otto", "keep_stop": True}
        cleared = await agent.control("clear_fault", asked)
        assert (cleared["ok"], cleared["execution"]) == (True, "READY")
        await core.told("FinishBuild")
        assert core.commands("ObserveNode")[-1]["conditions"] == []


async def test_clearing_a_fault_leaves_an_emergency_stop_latched(tmp_path: Path) -> None:
    async with shop(tmp_path), bridge(tmp_path) as (agent, core):
        await core.told("ConnectMachine")
        await agent.emergency_stop(NODE, "user/otto")
        asked = {"node_id": NODE, "operator": "user/vera", "keep_stop": True}
        refused = await agent.control("clear_fault", asked)
        assert refused["error"]["code"] == "EMERGENCY_STOP_LATCHED"
        assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"


async def test_clearing_a_sound_machine_does_not_disturb_its_build(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=40.0) as place, bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, printed(600))
        await core.told("ReportProgress")
        for _ in range(2):
            asked = {"node_id": NODE, "operator": "user/otto"}
            assert (await agent.control("clear_fault", asked))["ok"]
        await core.told("FinishBuild")
        assert [m.ledger.counts.starts for m in place.machines] == [1]
        assert len(core.commands("ConnectMachine")) == 1


async def test_a_machine_that_does_not_come_back_stays_latched_and_says_why(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (agent, core):
        await core.told("ConnectMachine")
        await agent.emergency_stop(NODE, "user/otto")
        place.stop()
        asked = {"node_id": NODE, "operator": "user/otto"}
        refused = await agent.control("clear_fault", asked)
        assert refused["ok"] is False
        assert refused["error"]["message"]
        assert (await agent.control("status", asked))["emergency_stop"] == "TRIGGERED"


async def test_a_machine_that_does_not_hold_is_seen_by_its_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_bridge.drivers.marlin.HOLD_S", 0.3)
    slow = "G1 X100 F60\nG1 X0 F60\n" * 10  # each takes 2.5 s
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, slow)
        await core.told("StartBuild")
        request = {"node_id": NODE, "build_id": "b1"}
        await execution(agent, "ACTIVE")
        assert (await agent.control("pause", request))["ok"]
        (warning,) = await conditions(core)
        assert (warning["level"], warning["code"]) == ("WARNING", "NOT_HELD")
        assert "still moves" in warning["text"]
        assert core.commands("ReportPaused") == []
        assert (await agent.control("resume", request))["ok"]
        await core.told("ReportResumed")
        assert await conditions(core, wanted=0) == []
        assert (await agent.control("cancel", request))["ok"]
        await core.told("ConfirmCancelled")


async def test_a_warning_about_a_hold_ends_with_its_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_bridge.drivers.marlin.HOLD_S", 0.3)
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X100 F60\nG1 X0 F60\n" * 10)
        await core.told("StartBuild")
        await execution(agent, "ACTIVE")
        request = {"node_id": NODE, "build_id": "b1"}
        await agent.control("pause", request)
        assert len(await conditions(core)) == 1
        await agent.control("cancel", request)
        await core.told("ConfirmCancelled")
        assert await conditions(core, wanted=0) == []


async def execution(agent: Agent, wanted: str) -> None:
    """Wait for what the machine is doing."""
    async with asyncio.timeout(60):
        while (await agent.control("status", {"node_id": NODE}))["execution"] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def conditions(core: FileCore, *, wanted: int = 1) -> list[dict[str, Any]]:
    """The conditions that the core was told last, once there are so many."""
    async with asyncio.timeout(60):
        while True:
            told = core.commands("ObserveNode")
            found: list[dict[str, Any]] = told[-1]["conditions"] if told else []
            if len(found) == wanted:
                return found
            await asyncio.sleep(0.02)

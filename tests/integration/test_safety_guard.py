"""The watcher inside the bridge, against machines whose heat or motion breaks."""

from pathlib import Path

import pytest

from device_bridge.safety.policy import FILE, Policies, SafetyPolicy, write_policies
from tests.integration.bridge_rig import milled, printed
from tests.integration.bridge_shop import NODE, bridge, shop
from tests.integration.test_safety_stops import found, halted
from tests.integration.test_safety_watchman import codes, hot

LONG = "M104 S200\n" + printed(4000, feed=1200)


def policy(home: Path, **values: float | str) -> None:
    write_policies(home / FILE, Policies(SafetyPolicy(**values)))  # type: ignore[arg-type]


async def test_a_heater_without_effect_fails_the_build_and_is_switched_off(tmp_path: Path) -> None:
    policy(tmp_path, effect_s=2.0)
    faults = [{"kind": "cold", "at_line": 3}]
    async with shop(tmp_path, speed=2.0, faults=faults) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, LONG)
        failed = await core.told("FailBuild", within_s=60)
        assert failed["reason"] == "HEAT_NO_EFFECT"
        assert "hotend0 is told to reach 200" in failed["native_text"]
        await found(lambda: not hot(place.machines[0]))
        assert "HEAT_NO_EFFECT" in {
            each["code"] for told in core.commands("ObserveNode") for each in told["conditions"]
        }


async def test_a_heater_that_runs_away_halts_the_machine(tmp_path: Path) -> None:
    faults = [{"kind": "runaway", "at_line": 5}]
    async with shop(tmp_path, speed=20.0, faults=faults) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, "M104 S60\n" + "G1 X50 F600\nG1 X0\n" * 900)
        record = await core.told("RecordEmergencyStop", within_s=60)
        assert record["stopped_by"] == "watcher/HEAT_RUNAWAY"
        assert halted(place.machines[0])


async def test_heat_that_nobody_measures_any_more_is_warned_of_and_then_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_bridge.safety.heat_checks.GRACE_S", 0.0)
    monkeypatch.setattr("device_bridge.safety.heat_checks.BLIND_S", 2.0)
    monkeypatch.setattr("device_bridge.safety.heat_checks.RESTING_S", 0.5)
    monkeypatch.setattr("device_bridge.safety.heat_checks.LEAST_STALE_S", 1.5)
    faults = [{"kind": "blind", "at_line": 9}]
    async with shop(tmp_path, speed=10.0, faults=faults) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, "M104 S50\nG4 S20\n" + "G1 X50 F600\nG1 X0\n" * 900)
        await found(lambda: "SENSOR_STALE" in codes(core), within_s=60)
        failed = await core.told("FailBuild", within_s=60)
        assert failed["reason"] == "HEAT_BLIND"
        assert not hot(place.machines[0])


async def test_a_build_that_stalls_is_ended_and_its_spindle_stopped(tmp_path: Path) -> None:
    policy(tmp_path, stall_s=2.0)
    faults = [{"kind": "stall", "at_line": 20}]
    async with (
        shop(tmp_path, dialect="grbl", speed=40.0, faults=faults) as place,
        bridge(tmp_path) as (_, core),
    ):
        core.order("b1", NODE, milled(400))
        failed = await core.told("FailBuild", within_s=60)
        assert failed["reason"] == "BUILD_STALLED"
        assert place.machines[0].firmware.body.spindle_w == 0


async def test_a_long_command_is_no_stall(tmp_path: Path) -> None:
    policy(tmp_path, stall_s=4.0)
    async with shop(tmp_path, speed=2.6), bridge(tmp_path) as (_, core):
        core.order("b1", NODE, "G28\nG1 X10 F6000\n")  # 7 s with nothing but keep-alives
        await core.told("FinishBuild", within_s=60)
        assert core.commands("FailBuild") == []


async def test_a_person_pausing_is_no_stall(tmp_path: Path) -> None:
    policy(tmp_path, stall_s=2.0)
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X50 F3000\nG1 X0\n" * 60)
        await core.told("ReportProgress")
        request = {"node_id": NODE, "build_id": "b1"}
        await agent.control("pause", request)
        await core.told("ReportPaused")
        await found(lambda: len(core.samples) > 0)
        before = len(core.samples)
        await found(lambda: len(core.samples) > before + 3)  # three seconds pass
        await agent.control("resume", request)
        await core.told("FinishBuild", within_s=60)

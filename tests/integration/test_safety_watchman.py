"""Who looks after a machine when its bridge dies: the watcher, on real ptys, after real kills."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from device_bridge.machines import write_machines
from device_bridge.safety.policy import FILE, Policies, SafetyPolicy, write_policies
from device_bridge.safety.warden import AtWork, NoWarden, ProcessWarden
from device_bridge.virtual.machine import VirtualMachine
from tests.integration.bridge_fakes import FileCore
from tests.integration.bridge_rig import milled, printed
from tests.integration.bridge_shop import NODE, bridge, guarded_process, shop
from tests.integration.test_safety_stops import found

HOT = "M104 S200\nM109 S180\n" + printed(4000, feed=1200)


def hot(machine: VirtualMachine) -> bool:
    return any(heater.target_c > 0 for heater in machine.firmware.body.heaters.values())


async def test_a_printer_whose_bridge_is_killed_stops_and_cools_and_the_next_bridge_says_so(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, speed=20.0) as place:
        core = FileCore(tmp_path / "core")
        (machine,) = place.machines
        async with guarded_process(tmp_path) as process:
            core.order("b1", NODE, HOT)
            await core.told("StartBuild")
            await found(lambda: hot(machine))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await found(lambda: not hot(machine))
            assert machine.firmware.body.planner.idle(machine.firmware.body.clock())
        deed = tmp_path / "bridge" / "safed" / f"{NODE}.json"
        await found(deed.exists)
        async with bridge(tmp_path, warden=ProcessWarden(tmp_path / "bridge")):
            question = await core.told("ReportOutcomeUnknown")
            assert question["facts"]["made_safe"]["done"] == "cooled"
            assert question["facts"]["made_safe"]["confirmed"] is True
            await found(lambda: "MADE_SAFE" in codes(core))
        assert machine.ledger.counts.starts <= 1


async def test_a_mill_whose_bridge_is_killed_holds_and_loses_its_spindle(tmp_path: Path) -> None:
    async with shop(tmp_path, dialect="grbl", speed=2.0) as place:
        core = FileCore(tmp_path / "core")
        (machine,) = place.machines
        async with guarded_process(tmp_path) as process:
            core.order("b1", NODE, milled(4000))
            await core.told("StartBuild")
            await found(lambda: machine.firmware.body.spindle_w > 0)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await found(lambda: machine.firmware.body.spindle_w == 0)
            assert machine.firmware.body.planner.idle(machine.firmware.body.clock())


async def test_a_paused_printer_keeps_its_heat_for_a_while_and_no_longer(tmp_path: Path) -> None:
    write_policies(tmp_path / FILE, Policies(SafetyPolicy(on_loss="pause", idle_heat_s=4.0)))
    async with shop(tmp_path, speed=20.0) as place:
        core = FileCore(tmp_path / "core")
        (machine,) = place.machines
        async with guarded_process(tmp_path) as process:
            core.order("b1", NODE, HOT)
            await core.told("StartBuild")
            await found(lambda: hot(machine))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            deed = tmp_path / "bridge" / "safed" / f"{NODE}.json"
            await found(deed.exists)
            assert '"held"' in deed.read_text()
            assert hot(machine)
            await found(lambda: not hot(machine))


async def test_a_bridge_that_hangs_while_a_machine_is_at_work_is_ended(tmp_path: Path) -> None:
    write_policies(tmp_path / FILE, Policies(SafetyPolicy(hung_s=2.0)))
    async with shop(tmp_path, speed=20.0) as place:
        core = FileCore(tmp_path / "core")
        (machine,) = place.machines
        async with guarded_process(tmp_path) as process:
            core.order("b1", NODE, HOT)
            await core.told("StartBuild")
            await found(lambda: hot(machine))
            os.kill(process.pid, signal.SIGSTOP)
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
            await found(lambda: not hot(machine))


async def test_a_link_that_hangs_keeps_no_sign_of_life_from_the_watcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs: list[int] = []

    class Listening(NoWarden):
        async def tell(self, at_work: Sequence[AtWork]) -> None:
            signs.append(len(at_work))

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(FileCore, "beat", hangs)
    monkeypatch.setattr("device_bridge.agent.BEAT_S", 0.05)
    monkeypatch.setattr("device_bridge.agent.LOOK_S", 0.05)
    async with bridge(tmp_path, warden=Listening()):
        await found(lambda: len(signs) > 2)


async def test_a_bridge_that_is_told_to_end_leaves_no_machine_heating(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=20.0) as place:
        core = FileCore(tmp_path / "core")
        (machine,) = place.machines
        async with guarded_process(tmp_path) as process:
            core.order("b1", NODE, HOT)
            await core.told("StartBuild")
            await found(lambda: hot(machine))
            process.terminate()
            await process.wait()
            await found(lambda: not hot(machine))


async def test_a_machine_at_rest_is_not_touched_when_its_bridge_dies(tmp_path: Path) -> None:
    async with shop(tmp_path) as place:
        core = FileCore(tmp_path / "core")
        async with guarded_process(tmp_path) as process:
            await core.told("ConnectMachine")
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        async with bridge(tmp_path, warden=ProcessWarden(tmp_path / "bridge")):
            await core.told("ConnectMachine", count=2)
        assert not list((tmp_path / "bridge" / "safed").glob("*.json"))
        assert not place.machines[0].firmware.halted  # type: ignore[union-attr]


async def test_a_machine_taken_out_of_the_file_is_kept_until_it_rests(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=40.0), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G1 X50 F600\nG1 X0\n" * 16)
        await core.told("ReportProgress")
        write_machines(tmp_path / "machines.json", [])
        await core.told("FinishBuild", within_s=60)
        gone = {"node_id": NODE}
        async with asyncio.timeout(30):
            while (await agent.control("status", gone))["ok"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def codes(core: FileCore) -> set[str]:
    """The conditions that the core was told last."""
    told = core.commands("ObserveNode")
    return {each["code"] for each in told[-1]["conditions"]} if told else set()

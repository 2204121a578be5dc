"""grblHAL and lasers: what differs from a mill with GRBL 1.1."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_bridge.drivers.catalogue import driver_for
from device_bridge.errors import DeviceRefusedError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver, DeviceIdentity
from device_bridge.virtual.grbl import VirtualGrbl
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from domain.node.states import Execution
from tests.integration.bridge_rig import job, milled, until

CUT = "G21 G90\nM4 S500\n" + "".join(f"G1 X{n % 50} F1200\n" for n in range(1, 200)) + "M5\nM30\n"


@asynccontextmanager
async def mill(
    folder: Path, kind: str, *, driver: str = "grbl", laser: str = "no", speed: float = 1.0
) -> AsyncIterator[tuple[VirtualGrbl, DeviceDriver, DeviceIdentity]]:
    """A virtual machine of this kind, and a connected driver."""
    machine = VirtualMachine(MachinePlan(name="m1", dialect=kind, speed=speed), folder=folder)
    machine.start()
    config = MachineConfig(
        node_id="n1",
        name="m1",
        dialect=driver,
        port=machine.address,
        virtual=True,
        options={"laser": laser},
    )
    found = driver_for(config)
    try:
        identity = await found.connect()
        assert isinstance(machine.firmware, VirtualGrbl)
        yield machine.firmware, found, identity
    finally:
        await found.disconnect()
        machine.stop()


async def test_grblhal_is_known_by_its_own_words_and_its_larger_buffer_is_filled(
    tmp_path: Path,
) -> None:
    async with mill(tmp_path, "grblhal", driver="grblhal", speed=400) as (firmware, driver, who):
        assert who.firmware == "grblHAL 1.1f.20230917:"
        assert (who.capabilities["RX"], who.capabilities["AXS"]) == (1024, "3:XYZ")
        handle = await driver.execute_job(job(tmp_path, milled(600)))
        result = await asyncio.wait_for(handle.result, 60)
        assert (result.outcome, firmware.lost_bytes) == ("finished", 0)


async def test_grbl_itself_refuses_the_longer_question_and_is_none_the_worse(
    tmp_path: Path,
) -> None:
    async with mill(tmp_path, "grbl") as (_, driver, who):
        assert who.firmware.startswith("Grbl 1.1h")
        assert driver.get_status().execution is Execution.READY


async def test_a_laser_that_is_held_has_no_beam_and_gets_it_back(tmp_path: Path) -> None:
    async with mill(tmp_path, "laser", laser="yes") as (firmware, driver, who):
        assert who.capabilities["LASER_MODE"] is True
        await driver.execute_job(job(tmp_path, CUT))
        await until(lambda: firmware.body.spindle_w > 0, within_s=30)
        await driver.pause()
        assert driver.get_status().execution is Execution.FEED_HOLD
        assert firmware.body.spindle_w == 0
        await driver.resume()
        await until(lambda: firmware.body.spindle_w > 0, within_s=30)
        await driver.cancel()
        assert firmware.body.spindle_w == 0


async def test_a_laser_that_is_not_in_laser_mode_runs_nothing(tmp_path: Path) -> None:
    async with mill(tmp_path, "grbl", laser="yes") as (firmware, driver, _):
        with pytest.raises(DeviceRefusedError, match=r"\$32=1"):
            await driver.execute_job(job(tmp_path, CUT))
        assert firmware.body.spindle_w == 0


async def test_an_alarm_after_a_reset_in_motion_is_cleared_by_a_person_only(
    tmp_path: Path,
) -> None:
    async with mill(tmp_path, "grblhal", driver="grblhal") as (_, driver, _):
        handle = await driver.execute_job(job(tmp_path, CUT))
        await until(lambda: driver.get_telemetry().metrics.get("feedrate_mm_s", 0) > 0, within_s=30)
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert "ALARM:3" in receipt.native_text
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "failed"
        await driver.clear_fault("operator")
        assert driver.get_status().execution is Execution.READY

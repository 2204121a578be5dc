"""Firmware of the RepRap family over serial lines and TCP, and errors that end a program."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from device_bridge.drivers.catalogue import driver_for
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver, RunHandle
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from domain.node.states import Execution
from tests.integration.bridge_rig import FAST, job, printed, until

LONG = "M104 S60\n" + "".join(f"G1 X{n % 50} Y{n % 2} F1200\n" for n in range(1, 3000))


@asynccontextmanager
async def printer(
    folder: Path,
    dialect: str = "reprap",
    *,
    link: str = "tcp",
    speed: float = FAST,
    faults: list[dict[str, Any]] | None = None,
) -> AsyncIterator[tuple[VirtualMachine, DeviceDriver]]:
    """A virtual printer and a connected driver."""
    plan = MachinePlan(name="m1", dialect=dialect, speed=speed, link=link, faults=faults or [])
    device = VirtualMachine(plan, folder=folder)
    device.start()
    driver = driver_for(
        MachineConfig(node_id="n1", name="m1", dialect=dialect, port=device.address, virtual=True)
    )
    try:
        await driver.connect()
        yield device, driver
    finally:
        await driver.disconnect()
        device.stop()


async def begun(device: VirtualMachine, driver: DeviceDriver, folder: Path) -> RunHandle:
    """A long program that has begun to move."""
    handle = await driver.execute_job(job(folder, LONG))
    await until(lambda: device.ledger.counts.starts == 1, within_s=30)
    return handle


async def test_over_tcp_lines_bear_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = bytearray()
    async with printer(tmp_path) as (device, driver):
        receive = device.firmware.received

        def note(data: bytes) -> None:
            heard.extend(data)
            receive(data)

        monkeypatch.setattr(device.firmware, "received", note)
        handle = await driver.execute_job(job(tmp_path, printed(120)))
        result = await asyncio.wait_for(handle.result, 60)
        assert (result.outcome, result.lines_done) == ("finished", handle.lines_total)
        assert device.ledger.counts.starts == 1
    assert b"\nG1 X1 Y1 E0.0500 F6000\n" in heard
    assert b"*" not in heard


async def test_over_a_serial_line_they_do_and_lines_asked_for_are_sent_again(
    tmp_path: Path,
) -> None:
    faults = [{"kind": "checksum", "at_line": 30, "every": 25, "times": 4}]
    async with printer(tmp_path, link="pty", faults=faults) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, printed(150)))
        result = await asyncio.wait_for(handle.result, 60)
        assert (result.outcome, device.ledger.counts.starts) == ("finished", 1)
        assert driver.get_telemetry().metrics["comm.resends"] >= 4


async def test_a_stopped_board_comes_back_by_m999_when_a_person_says_so(tmp_path: Path) -> None:
    async with printer(tmp_path, speed=1.0) as (device, driver):
        handle = await begun(device, driver, tmp_path)
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert "Emergency Stop" in receipt.native_text
        assert (await asyncio.wait_for(handle.result, 30)).reason == "EMERGENCY_STOP"
        identity = await driver.clear_fault("operator")
        assert identity.firmware.startswith("RepRapFirmware")
        assert driver.get_status().execution is Execution.READY


@pytest.mark.parametrize(("dialect", "link"), [("reprap", "tcp"), ("marlin", "pty")])
async def test_an_error_of_the_firmware_ends_the_program_and_the_heat(
    tmp_path: Path, dialect: str, link: str
) -> None:
    async with printer(tmp_path, dialect, link=link, speed=1.0) as (device, driver):
        handle = await begun(device, driver, tmp_path)
        assert device.firmware.body.heaters["hotend0"].target_c == 60
        device.say(b"Error:volume.init failed\n")
        await asyncio.sleep(0.6)
        assert not handle.result.done()
        device.say(b"Error:Probing failed\n")
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("failed", "DEVICE_REFUSED")
        assert result.native_text == "Probing failed"
        status = driver.get_status()
        assert (status.execution, status.conditions[0].code) == (Execution.READY, "DEVICE_REFUSED")
        assert device.firmware.body.heaters["hotend0"].target_c == 0
        again = await driver.execute_job(job(tmp_path, "G1 X1 F6000\n"))
        assert (await asyncio.wait_for(again.result, 30)).outcome == "finished"

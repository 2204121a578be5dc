"""Drivers on real ptys against virtual machines that speak the recorded dialects."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from device_bridge.errors import (
    BadProgramError,
    EmergencyLatchedError,
    MachineBusyError,
    MachineHaltedError,
    PortError,
)
from device_bridge.protocols import (
    Progressed,
    Sampled,
)
from device_bridge.transports.serial import SerialTransport
from device_bridge.virtual.marlin import VirtualMarlin
from device_bridge.virtual.marlin_commands import CAPABILITIES
from domain.node.states import Availability, EmergencyStop, Execution
from tests.integration.bridge_rig import (
    PROMPT_MS,
    driver_on,
    job,
    machine,
    milled,
    printed,
    until,
)


async def test_a_print_survives_damaged_lines_and_lost_answers(tmp_path: Path) -> None:
    faults = [
        {"kind": "checksum", "at_line": 30, "every": 25, "times": 8},
        {"kind": "lost_ok", "at_line": 40, "every": 60, "times": 3},
    ]
    async with machine(tmp_path, faults=faults) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, printed(300)))
        result = await asyncio.wait_for(handle.result, 30)
        assert result.outcome == "finished"
        assert result.lines_done == handle.lines_total
        assert device.ledger.counts.starts == 1
        assert device.ledger.counts.filament_mm == pytest.approx(15.0)
        assert result.material_mm3 == 36  # 15 mm of 1.75 mm filament
        assert driver.get_telemetry().metrics["comm.resends"] >= 8


async def test_what_was_detected_is_said_and_nothing_else(tmp_path: Path) -> None:
    async with machine(tmp_path) as (_, driver):
        identity = await driver.clear_fault("operator")
    assert identity.dialect == "marlin"
    assert "virtual" in identity.firmware
    assert identity.capabilities["EMERGENCY_PARSER"] is True
    assert identity.capabilities["SDCARD"] is False


async def test_a_second_driver_cannot_open_the_same_port(tmp_path: Path) -> None:
    async with machine(tmp_path) as (device, _):
        with pytest.raises(PortError):
            await driver_on(device).connect()


async def test_a_missing_port_is_a_typed_error(tmp_path: Path) -> None:
    transport = SerialTransport(str(tmp_path / "nowhere"))
    with pytest.raises(PortError, match="nowhere"):
        transport.open(lambda _: None, lambda _: None)


@pytest.mark.parametrize("blocking", ["G28", "M109 S250"])
async def test_an_emergency_stop_does_not_wait_for_a_blocking_command(
    tmp_path: Path, blocking: str
) -> None:
    async with machine(tmp_path, speed=1.0) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, f"{blocking}\nG1 X10\n"))
        await asyncio.sleep(0.3)
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert receipt.latency_ms < PROMPT_MS
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("failed", "EMERGENCY_STOP")
        assert device.firmware.halted
        status = driver.get_status()
        assert status.emergency_stop is EmergencyStop.TRIGGERED
        assert status.execution is Execution.STOPPED
        assert await driver.emergency_stop() == receipt  # idempotent


async def test_a_latched_stop_refuses_work_until_a_person_clears_it(tmp_path: Path) -> None:
    async with machine(tmp_path) as (_, driver):
        await driver.emergency_stop()
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, printed(5)))
        await driver.clear_fault("operator")
        assert driver.get_status().emergency_stop is EmergencyStop.ARMED
        handle = await driver.execute_job(job(tmp_path, printed(5)))
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "finished"


async def test_a_thermal_fault_fails_the_build_with_the_firmwares_own_words(
    tmp_path: Path,
) -> None:
    faults = [{"kind": "thermal", "at_line": 60}]
    async with machine(tmp_path, faults=faults) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, printed(200)))
        result = await asyncio.wait_for(handle.result, 30)
        assert result.outcome == "failed"
        assert "Thermal Runaway" in result.native_text
        assert driver.get_status().conditions[0].type == "TEMPERATURE"
        with pytest.raises(MachineHaltedError):
            await driver.execute_job(job(tmp_path, printed(5)))


@pytest.mark.parametrize("dialect", ["marlin", "grbl"])
async def test_an_unplugged_cable_leaves_the_outcome_unknown(tmp_path: Path, dialect: str) -> None:
    faults = [{"kind": "unplug", "at_line": 40, "for_s": 0.3}]
    gcode = printed(300) if dialect == "marlin" else milled(300)
    async with machine(tmp_path, dialect, faults=faults) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, gcode))
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("unknown", "LINK_LOST")
        assert driver.get_status().availability is Availability.UNAVAILABLE
        await driver.disconnect()
        await until(device.path.exists)
        await driver.connect()
        assert driver.get_status().availability is Availability.AVAILABLE
        await asyncio.sleep(0.3)
        assert device.ledger.counts.starts == 1  # nothing went on by itself


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every chunk of bytes that virtual printers were sent."""
    said: list[bytes] = []
    take = VirtualMarlin.received

    def received(firmware: VirtualMarlin, data: bytes) -> None:
        said.append(data)
        take(firmware, data)

    monkeypatch.setattr(VirtualMarlin, "received", received)
    return said


@pytest.mark.parametrize("able", [False, True], ids=["must be asked", "reports by itself"])
async def test_heat_is_asked_for_between_lines_where_the_firmware_does_not_report_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[bytes], able: bool
) -> None:
    if not able:
        kept = tuple(name for name in CAPABILITIES if name != "AUTOREPORT_TEMP:1")
        monkeypatch.setattr("device_bridge.virtual.marlin_commands.CAPABILITIES", kept)
    gcode = "M104 S60\n" + "G1 X100 F1200\nG1 X0 F1200\n" * 20  # 5 s at this speed
    async with machine(tmp_path, speed=40.0) as (device, driver):
        said.clear()
        read: list[float] = []
        driver.listen(lambda e: read.append(monotonic()) if isinstance(e, Sampled) else None)
        begun = monotonic()
        handle = await driver.execute_job(job(tmp_path, gcode))
        result = await asyncio.wait_for(handle.result, 30)
        took = monotonic() - begun
        assert (result.outcome, result.lines_done) == ("finished", handle.lines_total)
        assert device.ledger.counts.starts == 1
        asked = sum(line.count(b"M105") for line in said)
        assert (2 <= asked <= took + 1) is not able
        assert asked == 0 or not able
        assert (any(b"M155" in line for line in said)) is able
        assert len(read) >= took / 2
        assert driver.get_telemetry().metrics["temperature.hotend0.target_c"] == 60.0


async def test_nobody_asks_for_heat_any_more_when_the_port_was_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[bytes]
) -> None:
    monkeypatch.setattr("device_bridge.virtual.marlin_commands.CAPABILITIES", ())
    monkeypatch.setattr("device_bridge.drivers.marlin_heat.RUNNING_S", 0.05)
    monkeypatch.setattr("device_bridge.drivers.marlin_heat.RESTING_S", 0.05)
    async with machine(tmp_path) as (_, driver):
        said.clear()
        await driver.clear_fault("operator")
        await asyncio.sleep(0.5)
        questions = sum(line.count(b"M105") for line in said)
        assert 3 <= questions <= 12  # one task, not one for each connection
        await driver.disconnect()
        said.clear()
        await asyncio.sleep(0.2)
        assert said == []


async def test_a_printer_is_paused_when_its_steppers_stand_still(tmp_path: Path) -> None:
    async with machine(tmp_path, speed=40.0) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, printed(600)))
        seen: list[int] = []
        driver.listen(lambda e: seen.append(e.lines_done) if isinstance(e, Progressed) else None)
        await until(lambda: len(seen) > 60)
        await driver.pause()
        assert driver.get_status().execution is Execution.INTERRUPTED
        planner = device.firmware.body.planner
        assert planner.idle(asyncio.get_running_loop().time())
        held = (len(seen), planner.destination)
        await asyncio.sleep(0.3)
        assert (len(seen), planner.destination) == held
        await driver.resume()
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "finished"
        assert device.ledger.counts.starts == 1


async def test_a_mill_is_resumed_only_after_its_hold_is_complete(tmp_path: Path) -> None:
    async with machine(tmp_path, "grbl", speed=40.0) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, milled(120)))
        await until(lambda: device.ledger.counts.starts == 1)
        await driver.pause()
        assert driver.get_status().execution is Execution.FEED_HOLD
        await driver.resume()
        result = await asyncio.wait_for(handle.result, 30)
        assert result.outcome == "finished"
        assert device.firmware.lost_bytes == 0
        assert device.ledger.counts.starts == 1


async def test_a_resume_during_the_slowing_down_is_not_lost(tmp_path: Path) -> None:
    async with machine(tmp_path, "grbl", speed=40.0) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, milled(120)))
        await until(lambda: device.ledger.counts.starts == 1)
        device.firmware.received(b"!")  # somebody pressed the machine's own hold
        await driver.resume()
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "finished"


async def test_a_refused_line_stops_a_mill_and_says_which(tmp_path: Path) -> None:
    faults = [{"kind": "error", "at_line": 30}]
    async with machine(tmp_path, "grbl", speed=40.0, faults=faults) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, milled(200)))
        result = await asyncio.wait_for(handle.result, 30)
        assert result.outcome == "failed"
        assert "error:33" in result.native_text
        assert "G1" in result.native_text
        assert result.lines_done < 60
        assert device.firmware.body.spindle_w == 0


async def test_an_alarm_locks_a_mill_until_a_person_clears_it(tmp_path: Path) -> None:
    faults = [{"kind": "alarm", "at_line": 30}]
    async with machine(tmp_path, "grbl", faults=faults) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, milled(200)))
        result = await asyncio.wait_for(handle.result, 30)
        assert "ALARM:1" in result.native_text
        assert driver.get_status().execution is Execution.STOPPED
        await driver.clear_fault("operator")
        assert driver.get_status().execution is Execution.READY


async def test_a_stopped_mill_stays_latched_although_its_firmware_forgets(tmp_path: Path) -> None:
    async with machine(tmp_path, "grbl") as (_, driver):
        receipt = await driver.emergency_stop()  # idle: the firmware raises no alarm
        assert receipt.confirmed
        assert receipt.latency_ms < PROMPT_MS
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, milled(5)))
        await driver.clear_fault("operator")
        handle = await driver.execute_job(job(tmp_path, milled(5)))
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "finished"


async def test_a_lost_answer_of_a_mill_ends_the_build_and_not_in_a_guess(tmp_path: Path) -> None:
    faults = [{"kind": "lost_ok", "at_line": 20}]
    async with machine(tmp_path, "grbl", faults=faults) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, milled(40)))
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("failed", "STREAM_BROKEN")


@pytest.mark.parametrize("dialect", ["marlin", "grbl"])
async def test_a_build_cancelled_while_it_is_being_paused_leaves_a_free_machine(
    tmp_path: Path, dialect: str
) -> None:
    program = printed(3000) if dialect == "marlin" else milled(3000)
    async with machine(tmp_path, dialect, speed=20.0) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, program))
        lines: list[Progressed] = []
        driver.listen(lambda event: lines.append(event) if isinstance(event, Progressed) else None)
        await until(lambda: len(lines) > 20)
        pausing = asyncio.create_task(driver.pause())
        await asyncio.sleep(0)
        await driver.cancel()
        assert (await handle.result).outcome == "cancelled"
        (paused,) = await asyncio.gather(pausing, return_exceptions=True)
        assert paused is None or isinstance(paused, MachineBusyError)  # a mill held in time
        assert driver.get_status().execution is Execution.READY
        again = await driver.execute_job(job(tmp_path, "G28\n" if dialect == "marlin" else "M5\n"))
        await driver.cancel()
        await again.result


@pytest.mark.parametrize("dialect", ["marlin", "grbl"])
async def test_a_cancelled_build_switches_the_machine_off(tmp_path: Path, dialect: str) -> None:
    gcode = printed(500, feed=600) if dialect == "marlin" else milled(500)
    async with machine(tmp_path, dialect, speed=60.0) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, gcode))
        await until(lambda: device.ledger.counts.starts == 1)
        result = await driver.cancel()
        assert result.outcome == "cancelled"
        assert handle.result.done()
        assert device.firmware.body.power_w() < 10
        again = await driver.execute_job(job(tmp_path, gcode.replace("F600", "F60000")))
        assert not again.result.done()
        await driver.emergency_stop()


async def test_a_runout_waits_for_a_person_and_goes_on(tmp_path: Path) -> None:
    faults = [{"kind": "runout", "at_line": 40}]
    async with machine(tmp_path, faults=faults) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, printed(100)))
        await until(lambda: driver.get_status().execution is Execution.INTERRUPTED)
        assert driver.get_status().conditions[0].code == "RUNOUT"
        await driver.resume()
        assert (await asyncio.wait_for(handle.result, 30)).outcome == "finished"


async def test_a_machine_that_falls_silent_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    faults = [{"kind": "mute", "at_line": 40}]
    async with machine(tmp_path, faults=faults) as (_, driver):
        handle = await driver.execute_job(job(tmp_path, printed(100)))
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("unknown", "DEVICE_SILENT")


@pytest.mark.parametrize("gcode", ["", "; nothing\n", "M112\n", "G1 X" + "1" * 200 + "\n"])
async def test_a_program_that_must_not_be_sent_is_refused_before_anything_moves(
    tmp_path: Path, gcode: str
) -> None:
    async with machine(tmp_path) as (device, driver):
        with pytest.raises(BadProgramError):
            await driver.execute_job(job(tmp_path, gcode))
        assert device.ledger.counts.starts == 0

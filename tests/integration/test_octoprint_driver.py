"""The driver for OctoPrint over real sockets, on a virtual one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from device_bridge.drivers.octoprint import OctoPrintPrinter
from device_bridge.errors import (
    DeviceRefusedError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
    MachineHaltedError,
    NotAuthorizedError,
    SilentDeviceError,
    UnsupportedError,
)
from device_bridge.protocols import StatusChanged
from device_bridge.virtual.octoprint import VirtualOctoPrint
from device_bridge.virtual.peers_http import is_hot
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from tests.integration.bridge_rig import until
from tests.integration.remote_rig import LONG, SHORT, Heard, back, ended, job, moves

FAST = 50.0


@asynccontextmanager
async def octoprint(
    folder: Path, *, given: str = "", **plan: Any
) -> AsyncIterator[tuple[VirtualOctoPrint, OctoPrintPrinter]]:
    """An OctoPrint that is switched on, and an unconnected driver."""
    machine = VirtualOctoPrint(folder, **plan)
    await machine.start()
    driver = OctoPrintPrinter(machine.web.url, api_key=given, start_s=3.0)
    try:
        yield machine, driver
    finally:
        await driver.disconnect()
        await machine.stop()


async def test_a_program_is_stored_under_the_builds_name_and_run_once(tmp_path: Path) -> None:
    async with octoprint(tmp_path, api_key="k", given="k", speed=FAST) as (machine, driver):
        assert (await driver.connect()).firmware == "OctoPrint 1.11.8"
        moments: list[list[str]] = []

        async def beginning() -> None:
            moments.append(list(machine.orders))

        handle = await driver.execute_job(job(tmp_path, moves(SHORT)), beginning=beginning)
        result = await ended(handle.result)
        assert result.outcome == "finished"
        assert result.lines_done == result.lines_total == SHORT + 3
        assert moments == [["upload"]]
        assert machine.orders == ["upload", "start"]
        assert list(machine.printer.files) == ["b1.gcode"]
        with pytest.raises(MachineBusyError, match="already been started"):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        await driver.disconnect()
        later = OctoPrintPrinter(machine.web.url, api_key="k")
        await later.connect()
        found = await later.follow("b1")
        assert found is not None
        assert (await ended(found.result)).outcome == "finished"
        await later.disconnect()


async def test_a_wrong_key_is_told_with_what_to_check(tmp_path: Path) -> None:
    async with octoprint(tmp_path, api_key="k", given="x") as (_, driver):
        with pytest.raises(NotAuthorizedError) as refused:
            await driver.connect()
        assert "key" in refused.value.remedy


async def test_a_pause_is_held_when_octoprint_says_paused_and_not_at_its_204(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        seen: list[tuple[str, Execution]] = []
        driver.listen(
            lambda event: (
                seen.append((machine.state, event.status.execution))
                if isinstance(event, StatusChanged)
                else None
            )
        )
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG, feed=3000)))
        await until(lambda: machine.printer.moving)
        await driver.pause()
        assert (machine.state, machine.printer.moving) == ("Paused", False)
        assert driver.get_status().execution is Execution.INTERRUPTED
        assert ("Pausing", Execution.INTERRUPTED) not in seen
        await driver.resume()
        assert driver.get_status().execution is Execution.ACTIVE
        assert (await driver.cancel()).outcome == (await ended(handle.result)).outcome
        assert handle.result.result().outcome == "cancelled"
        assert not is_hot(machine.printer)
        assert machine.orders == ["upload", "start", "pause", "pause", "cancel", "target", "target"]
        assert machine.printer.starts == 1


async def test_what_is_pushed_again_and_again_is_told_once(tmp_path: Path) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        machine.flood(0.3)
        await asyncio.sleep(0.5)
        assert sum(isinstance(event, StatusChanged) for event in heard.events) == 1


async def test_a_fatal_error_is_cleared_by_a_person_who_has_octoprint_connect_again(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        machine.printer.fail_next()
        result = await ended(handle.result)
        assert result.outcome == "failed"
        assert "Unable to obey" in result.native_text
        await until(lambda: driver.get_status().execution is Execution.STOPPED)
        fault = driver.get_status().conditions[0]
        assert fault.level is ConditionLevel.FAULT
        assert "Unable to obey" in fault.text
        assert driver.get_status().emergency_stop is EmergencyStop.ARMED
        with pytest.raises(MachineHaltedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.connect()
        assert driver.get_status().execution is Execution.STOPPED
        assert "connect" not in machine.orders
        await driver.clear_fault("Ada")
        assert driver.get_status().execution is Execution.READY
        assert machine.orders.count("connect") == 1


async def test_an_emergency_stop_is_confirmed_by_octoprints_word_with_and_without_the_socket(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: is_hot(machine.printer))
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert not is_hot(machine.printer)
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("failed", "EMERGENCY_STOP")
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.clear_fault("Ada")
        assert driver.get_status().emergency_stop is EmergencyStop.ARMED
        await driver.disconnect()
        assert (await driver.emergency_stop()).confirmed
        assert machine.state == "Offline after error"


async def test_a_stop_of_a_printer_that_is_not_connected_is_not_confirmed(tmp_path: Path) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        machine.lose_printer()
        receipt = await driver.emergency_stop()
        assert not receipt.confirmed
        assert "not operational" in receipt.native_text


async def test_octoprint_without_its_printer_is_unavailable_until_somebody_connects_it(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        machine.lose_printer()
        await until(lambda: heard.losses == 1)
        assert driver.get_status().availability is Availability.UNAVAILABLE
        with pytest.raises(SilentDeviceError):
            await driver.connect()
        assert "connect" not in machine.orders
        await driver.clear_fault("Ada")
        assert driver.get_status().execution is Execution.READY


async def test_what_somebody_else_prints_is_not_paused_and_not_cancelled(tmp_path: Path) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        machine.printer.files["benchy.gcode"] = moves(LONG).encode()
        await driver.connect()
        machine.printer.start("benchy.gcode")
        await until(lambda: driver.get_status().execution is Execution.ACTIVE)
        for verb in (driver.pause, driver.resume, driver.cancel):
            with pytest.raises(MachineBusyError):
                await verb()
        with pytest.raises(MachineBusyError):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert machine.orders == []


async def test_a_start_whose_answer_was_lost_is_followed_and_not_repeated(tmp_path: Path) -> None:
    async with octoprint(tmp_path, speed=FAST) as (machine, driver):
        machine.swallow_starts = 1
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        assert (await ended(handle.result)).outcome == "finished"
        assert machine.orders == ["upload", "start"]


async def test_an_end_that_nobody_pushed_is_read_in_octoprints_history(tmp_path: Path) -> None:
    async with octoprint(tmp_path, speed=FAST) as (machine, driver):
        machine.deaf_pushes = True
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        assert (await ended(handle.result)).outcome == "finished"


async def test_a_print_goes_on_through_a_lost_link_and_is_followed_to_its_end(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path, speed=20.0) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        await machine.web.cut()
        await until(lambda: heard.losses == 1)
        await driver.disconnect()
        await machine.web.mend()
        await back(driver)
        assert (await ended(handle.result)).outcome == "finished"
        assert (machine.printer.starts, heard.losses) == (1, 1)


async def test_a_program_of_which_octoprint_knows_nothing_any_more_is_a_question(
    tmp_path: Path,
) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        await driver.disconnect()
        machine.lose_printer()
        machine.printer.files.clear()
        await driver.clear_fault("Ada")
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("unknown", "NOT_ON_THE_MACHINE")


async def test_what_cannot_be_done_is_refused_as_such(tmp_path: Path) -> None:
    async with octoprint(tmp_path) as (machine, driver):
        with pytest.raises(LinkLostError):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        await driver.connect()
        with pytest.raises(UnsupportedError):
            await driver.calibrate("home")
        machine.state = "Transferring file to SD"
        await until(lambda: driver.get_status().execution is Execution.ACTIVE)
        with pytest.raises((MachineBusyError, DeviceRefusedError)):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert machine.orders == []

"""The driver for Prusa printers over real sockets, on a virtual PrusaLink."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from device_bridge.errors import (
    DeviceError,
    EmergencyLatchedError,
    MachineBusyError,
    MachineHaltedError,
    NotAuthorizedError,
    UnsupportedError,
)
from device_bridge.virtual.file_printer import Printing
from device_bridge.virtual.peers_http import is_hot
from domain.node.states import Availability, EmergencyStop, Execution
from tests.integration.bridge_rig import until
from tests.integration.remote_rig import (
    LONG,
    SHORT,
    Heard,
    back,
    ended,
    hurry,
    job,
    moves,
    prusa,
)

FAST = 50.0


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({}, {}),
        ({"api_key": "k"}, {"api_key": "k"}),
        ({"password": "p"}, {"user": "maker", "password": "p"}),
    ],
)
async def test_a_program_is_stored_under_the_builds_name_and_run_once(
    tmp_path: Path, asked: dict[str, str], given: dict[str, str]
) -> None:
    async with prusa(tmp_path, speed=FAST, given=given, **asked) as (machine, driver):
        identity = await driver.connect()
        assert identity.firmware == "PrusaLink 6.0.0-virtual"
        assert identity.capabilities["STORAGE"] == "usb"
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


@pytest.mark.parametrize("given", [{}, {"user": "maker", "password": "wrong"}, {"api_key": "x"}])
async def test_a_wrong_password_is_told_with_what_to_check(
    tmp_path: Path, given: dict[str, str]
) -> None:
    async with prusa(tmp_path, password="p", given=given) as (_, driver):
        with pytest.raises(NotAuthorizedError) as refused:
            await driver.connect()
        assert "password" in refused.value.remedy


async def test_a_pause_is_held_when_the_printer_says_so(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG, feed=3000)))
        await until(lambda: machine.printer.moving)
        with pytest.raises(MachineBusyError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.pause()
        assert not machine.printer.moving
        assert driver.get_status().execution is Execution.INTERRUPTED
        await driver.resume()
        assert driver.get_status().execution is Execution.ACTIVE
        assert (await driver.cancel()).outcome == (await ended(handle.result)).outcome
        assert not is_hot(machine.printer)
        assert driver.get_status().execution is Execution.READY
        assert machine.orders == ["upload", "start", "PUT/pause", "PUT/resume", "DELETE"]


async def test_what_somebody_else_prints_is_not_paused_and_not_cancelled(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        await driver.connect()
        await driver.execute_job(job(tmp_path, moves(LONG)))
        machine.printer.cancel()  # at the printer, and at once another one
        machine.printer.files["benchy.gcode"] = moves(LONG).encode()
        machine.printer.start("benchy.gcode")
        with pytest.raises(DeviceError):
            await driver.cancel()
        assert machine.printer.state is Printing.PRINTING


async def test_an_error_is_cleared_at_the_printer(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        machine.printer.fail_next()
        result = await ended(handle.result)
        assert result.outcome == "failed"
        assert "Unable to obey" in result.native_text
        with pytest.raises(MachineHaltedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        with pytest.raises(MachineHaltedError):
            await driver.clear_fault("Ada")
        machine.confirm()
        await driver.clear_fault("Ada")
        assert driver.get_status().execution is Execution.READY


async def test_an_emergency_stop_ends_the_job_and_confirms_nothing(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: is_hot(machine.printer))
        receipt = await driver.emergency_stop()
        assert not receipt.confirmed
        assert "no emergency stop" in receipt.native_text
        assert machine.orders[-1] == "DELETE"
        assert not is_hot(machine.printer)
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("unknown", "EMERGENCY_STOP")
        assert driver.get_status().emergency_stop is EmergencyStop.TRIGGERED
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.clear_fault("Ada")
        assert driver.get_status().emergency_stop is EmergencyStop.ARMED


async def test_a_start_whose_answer_was_lost_is_followed_and_not_repeated(tmp_path: Path) -> None:
    async with prusa(tmp_path, speed=FAST) as (machine, driver):
        machine.swallow_starts = 1
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        assert (await ended(handle.result)).outcome == "finished"
        assert machine.orders == ["upload", "start"]


async def test_a_print_goes_on_through_a_lost_link_and_is_followed_to_its_end(
    tmp_path: Path,
) -> None:
    async with prusa(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        await machine.web.cut()
        await until(lambda: heard.losses == 1)
        assert driver.get_status().availability is Availability.UNAVAILABLE
        await driver.disconnect()
        await machine.web.mend()
        await back(driver)
        hurry(machine.printer)
        assert (await ended(handle.result)).outcome == "finished"
        assert (machine.printer.starts, heard.losses) == (1, 1)


async def test_one_missed_answer_is_no_lost_link(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        machine.babble(b"<html>busy</html>")
        requests = machine.web.requests
        await until(lambda: machine.web.requests > requests + 4)
        assert heard.losses == 0
        assert driver.get_status().availability is Availability.AVAILABLE


async def test_a_job_that_the_printer_forgot_ended_as_its_state_says(tmp_path: Path) -> None:
    async with prusa(tmp_path, speed=FAST) as (machine, driver):
        machine.forgets_ended_jobs = True
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        assert (await ended(handle.result)).outcome == "finished"


async def test_a_job_that_vanished_out_of_sight_is_a_question(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        await driver.disconnect()
        machine.printer.cancel()
        machine.confirm()
        await driver.connect()
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("unknown", "NOT_ON_THE_MACHINE")


async def test_what_the_api_cannot_do_is_refused_as_such(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (_, driver):
        await driver.connect()
        with pytest.raises(UnsupportedError):
            await driver.heat_off()
        with pytest.raises(UnsupportedError):
            await driver.calibrate("home")


async def test_a_printer_at_rest_is_asked_at_a_sensible_pace(tmp_path: Path) -> None:
    async with prusa(tmp_path) as (machine, driver):
        await driver.connect()
        before, since = machine.web.requests, monotonic()
        await asyncio.sleep(0.5)
        seconds = monotonic() - since
        # Two questions each time; at rest three times the pause of a running print, 0.03 s here.
        assert machine.web.requests - before <= 2 * (seconds / 0.09 + 1)

"""The driver for OctoPrint on the real OctoPrint with its own virtual printer."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_bridge.drivers.octoprint import OctoPrintPrinter
from device_bridge.errors import EmergencyLatchedError, MachineBusyError, MachineHaltedError
from domain.node.states import ConditionLevel, EmergencyStop, Execution
from tests.integration.bridge_rig import until
from tests.integration.remote_rig import LONG, SHORT, Heard, ended, job, moves
from tests.peers.octoprint import KEY, RealOctoPrint, running
from tests.peers.octoprint_environment import is_made

pytestmark = pytest.mark.skipif(
    not is_made(), reason="`make octoprint` installs the real OctoPrint that this speaks to"
)
RUNAWAY = "Thermal Runaway"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOctoPrint]:
    """One server for all: it takes seconds to start."""
    with running(tmp_path_factory.mktemp("octoprint")) as octoprint:
        yield octoprint


@asynccontextmanager
async def driven(real: RealOctoPrint) -> AsyncIterator[OctoPrintPrinter]:
    """A connected driver."""
    driver = OctoPrintPrinter(real.url, api_key=KEY)
    try:
        await driver.connect()
        yield driver
    finally:
        await driver.disconnect()


async def test_a_program_runs_once_and_is_remembered(real: RealOctoPrint, tmp_path: Path) -> None:
    async with driven(real) as driver:
        handle = await driver.execute_job(job(tmp_path, moves(SHORT), build_id="once"))
        result = await ended(handle.result)
        assert (result.outcome, result.lines_done) == ("finished", SHORT + 3)
        await until(lambda: driver.get_status().execution is Execution.READY)
        with pytest.raises(MachineBusyError, match="already been started"):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="once"))
        await until(lambda: driver.get_telemetry().metrics.get("temperature.bed.actual_c", 0) > 0)
    assert (real.prints("once.gcode")["success"], real.prints("once.gcode")["failure"]) == (1, 0)
    async with driven(real) as another:
        found = await another.follow("once")
        assert found is not None
        assert (await ended(found.result)).outcome == "finished"


async def test_a_pause_holds_a_damaged_line_is_sent_again_and_a_cancel_ends(
    real: RealOctoPrint, tmp_path: Path
) -> None:
    async with driven(real) as driver:
        heard = Heard(driver)
        handle = await driver.execute_job(job(tmp_path, moves(LONG), build_id="held"))
        await until(lambda: len(heard.lines) > 1)
        await driver.pause()
        assert driver.get_status().execution is Execution.INTERRUPTED
        assert real.state() == "Paused"
        await driver.resume()
        assert driver.get_status().execution is Execution.ACTIVE
        before = driver.get_telemetry().metrics.get("comm.resends", 0.0)
        lines = heard.lines[-1]
        real.command("!!DEBUG:trigger_resend_checksum")
        await until(lambda: driver.get_telemetry().metrics.get("comm.resends", 0.0) > before)
        await until(lambda: heard.lines[-1] > lines)
        assert (await driver.cancel()).outcome == (await ended(handle.result)).outcome
        assert handle.result.result().outcome == "cancelled"
        await until(lambda: driver.get_status().execution is Execution.READY)
        await until(lambda: driver.get_telemetry().metrics["temperature.hotend0.target_c"] == 0)


async def test_a_fatal_error_is_a_fault_in_the_firmwares_words_until_a_person_clears_it(
    real: RealOctoPrint, tmp_path: Path
) -> None:
    async with driven(real) as driver:
        heard = Heard(driver)
        handle = await driver.execute_job(job(tmp_path, moves(LONG), build_id="failing"))
        await until(lambda: bool(heard.lines))
        real.command("!!DEBUG:trigger_fatal_error_marlin")
        result = await ended(handle.result)
        assert result.outcome == "failed"
        assert RUNAWAY in result.native_text
        await until(lambda: driver.get_status().execution is Execution.STOPPED)
        await until(lambda: RUNAWAY in driver.get_status().conditions[0].text)
        status = driver.get_status()
        assert status.conditions[0].level is ConditionLevel.FAULT
        assert status.emergency_stop is EmergencyStop.ARMED
        with pytest.raises(MachineHaltedError, match=RUNAWAY):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="refused"))
        assert real.state() == "Closed"
        await driver.clear_fault("Ada")
        assert (real.state(), driver.get_status().execution) == ("Operational", Execution.READY)


async def test_an_emergency_stop_does_not_wait_for_heating(
    real: RealOctoPrint, tmp_path: Path
) -> None:
    async with driven(real) as driver:
        heard = Heard(driver)
        program = f"G28\nM109 S250\n{moves(LONG)}"
        handle = await driver.execute_job(job(tmp_path, program, build_id="stopped"))
        await until(lambda: bool(heard.lines))
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("failed", "EMERGENCY_STOP")
        assert driver.get_status().emergency_stop is EmergencyStop.TRIGGERED
        assert (await driver.emergency_stop()).confirmed
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="refused"))
        await driver.clear_fault("Ada")
        status = driver.get_status()
        assert (status.emergency_stop, status.execution) == (EmergencyStop.ARMED, Execution.READY)
        again = await driver.execute_job(job(tmp_path, moves(SHORT), build_id="after"))
        assert (await ended(again.result)).outcome == "finished"

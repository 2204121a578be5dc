"""The driver for Klipper over real sockets, on a virtual printer behind a virtual Moonraker."""

import asyncio
from pathlib import Path

import pytest

from device_bridge.errors import (
    BadProgramError,
    DeviceRefusedError,
    EmergencyLatchedError,
    LinkLostError,
    MachineBusyError,
    MachineHaltedError,
    NotAuthorizedError,
    NotHeldError,
    SilentDeviceError,
)
from device_bridge.virtual.file_printer import Printing
from device_bridge.virtual.peers_http import is_hot
from device_bridge.virtual.web import Answer
from domain.node.states import Availability, EmergencyStop, Execution
from tests.integration.bridge_rig import until
from tests.integration.remote_rig import (
    LONG,
    PATIENCE_S,
    SHORT,
    Heard,
    back,
    ended,
    hurry,
    job,
    klipper,
    moves,
)

FAST = 50.0
STOP_MS = 500.0
"""The upload is parsed in this same process; the 100 ms of the promise are the benchmark's."""
WARM = "M302\nM109 S180\nG92 E0\nG1 X10 E5 F600\nG1 X0 E10 F600\nM104 S0\n"


async def test_a_program_is_stored_under_the_builds_name_and_run_once(tmp_path: Path) -> None:
    async with klipper(tmp_path, speed=FAST) as (machine, driver):
        heard = Heard(driver)
        identity = await driver.connect()
        assert identity.firmware == "Klipper v0.13.0-virtual"
        assert identity.capabilities["HISTORY"] is True
        moments: list[tuple[int, list[str]]] = []

        async def beginning() -> None:
            moments.append((machine.klipper.printer.starts, list(machine.orders)))

        handle = await driver.execute_job(job(tmp_path, WARM), beginning=beginning)
        result = await ended(handle.result)
        assert moments == [(0, ["upload"])]  # stored before the journal's moment, started after
        assert result.outcome == "finished"
        assert result.lines_done == result.lines_total == 6
        assert result.material_mm3 == 24
        assert machine.klipper.printer.starts == 1
        assert list(machine.klipper.printer.files) == ["b1.gcode"]
        assert heard.lines == sorted(heard.lines)
        assert driver.get_status().execution is Execution.PROGRAM_COMPLETED


async def test_a_second_start_is_refused_while_it_prints_and_after_it_has(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        first = await driver.execute_job(job(tmp_path, moves(LONG)))
        with pytest.raises(MachineBusyError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        hurry(machine.klipper.printer)
        assert (await ended(first.result)).outcome == "finished"
        with pytest.raises(MachineBusyError, match="already been started"):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        second = await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        assert (await ended(second.result)).outcome == "finished"
        with pytest.raises(MachineBusyError, match="already been started"):  # by the history
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert machine.klipper.printer.starts == 2
        assert list(machine.klipper.printer.files) == ["b2.gcode"]  # the card never fills


@pytest.mark.parametrize("word", ["SAVE_CONFIG", "run_shell_command CMD=x", "FORCE_MOVE X=1"])
async def test_what_klipper_must_not_be_told_is_refused_before_anything_is_sent(
    tmp_path: Path, word: str
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        with pytest.raises(BadProgramError, match=word.split()[0].upper()):
            await driver.execute_job(job(tmp_path, f"G90\n{word}\nG1 X1\n"))
        assert not machine.orders


async def test_a_second_stop_is_sent_again_to_a_klipper_that_was_restarted_meanwhile(
    tmp_path: Path,
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        assert (await driver.emergency_stop()).confirmed
        machine.klipper.host = "ready"  # somebody restarted it at the machine
        assert (await driver.emergency_stop()).confirmed
        assert machine.klipper.host == "shutdown"
        machine.klipper.host = "disconnected"
        assert not (await driver.emergency_stop()).confirmed


async def test_what_somebody_else_prints_is_left_alone(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        machine.klipper.printer.files["benchy.gcode"] = moves(LONG).encode()
        await driver.connect()
        machine.klipper.start("benchy.gcode")
        await until(lambda: driver.get_status().execution is Execution.ACTIVE)
        with pytest.raises(MachineBusyError):
            await driver.execute_job(job(tmp_path, moves(SHORT)))
        with pytest.raises(MachineBusyError):
            await driver.cancel()
        assert machine.klipper.printer.state is Printing.PRINTING


async def test_a_pause_holds_when_klipper_says_so_and_the_tool_stands_still(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        printer = machine.klipper.printer
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG, feed=3000)))
        await until(lambda: printer.moving, within_s=PATIENCE_S)
        await driver.pause()
        assert printer.state is Printing.PAUSED
        assert not printer.moving
        assert driver.get_status().execution is Execution.INTERRUPTED
        await driver.resume()
        assert driver.get_status().execution is Execution.ACTIVE
        result = await driver.cancel()
        assert result.outcome == (await ended(handle.result)).outcome == "cancelled"
        assert not is_hot(printer)
        assert driver.get_status().execution is Execution.READY
        with pytest.raises(MachineBusyError):
            await driver.pause()


async def test_an_error_in_the_program_fails_it_in_klippers_words(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        machine.klipper.printer.fail_next()
        result = await ended(handle.result)
        assert result.outcome == "failed"
        assert "Unable to obey" in result.native_text
        assert driver.get_status().execution is Execution.STOPPED
        with pytest.raises(MachineHaltedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.clear_fault("Ada")
        assert driver.get_status().execution is Execution.READY


async def test_an_emergency_stop_is_answered_in_time_under_uploads_and_a_flood(
    tmp_path: Path,
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        times: list[float] = []
        for number in range(4):  # a loaded computer may spoil one measurement, not four
            build = f"b{number}"
            handle = await driver.execute_job(job(tmp_path, moves(LONG), build_id=build))
            machine.flood(PATIENCE_S)
            large = job(tmp_path, moves(40_000), build_id=f"large{number}").program
            upload = asyncio.create_task(driver._wire.upload(f"large{number}.gcode", large))
            await asyncio.sleep(0.2)
            receipt = await driver.emergency_stop()
            times.append(receipt.latency_ms)
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
            assert receipt.confirmed
            assert "shutdown" in receipt.native_text.lower()
            result = await ended(handle.result)
            assert (result.outcome, result.reason) == ("failed", "EMERGENCY_STOP")
            assert driver.get_status().emergency_stop is EmergencyStop.TRIGGERED
            assert not is_hot(machine.klipper.printer)
            if receipt.latency_ms <= STOP_MS:
                break
            await driver.clear_fault("Ada")
        assert min(times) <= STOP_MS, times


async def test_after_a_stop_klipper_says_paused_and_refuses_until_a_person_clears_it(
    tmp_path: Path,
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        await driver.execute_job(job(tmp_path, moves(LONG)))
        await driver.emergency_stop()
        await until(lambda: driver.get_status().execution is Execution.STOPPED)
        assert machine.klipper.objects()["print_stats"]["state"] == "paused"
        with pytest.raises(DeviceRefusedError, match="Shutdown due to webhooks request"):
            await driver.heat_off()
        with pytest.raises(EmergencyLatchedError):
            await driver.execute_job(job(tmp_path, moves(SHORT), build_id="b2"))
        await driver.disconnect()
        with pytest.raises(EmergencyLatchedError):
            await driver.connect()
        await driver.clear_fault("Ada")
        assert driver.get_status().emergency_stop is EmergencyStop.ARMED
        assert driver.get_status().execution is Execution.READY
        assert machine.klipper.printer.starts == 1


async def test_a_stop_needs_no_open_connection(tmp_path: Path) -> None:
    async with klipper(tmp_path, key="k") as (machine, driver):
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert machine.klipper.host == "shutdown"
        await machine.web.cut()
    async with klipper(tmp_path) as (machine, driver):
        await machine.web.cut()
        receipt = await driver.emergency_stop()
        assert not receipt.confirmed
        assert driver.get_status().emergency_stop is EmergencyStop.TRIGGERED


async def test_a_print_goes_on_through_a_lost_link_and_is_followed_to_its_end(
    tmp_path: Path,
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        await machine.web.cut()
        await until(lambda: heard.losses == 1)
        assert driver.get_status().availability is Availability.UNAVAILABLE
        assert not handle.result.done()
        position = machine.klipper.printer.position
        await until(lambda: machine.klipper.printer.position > position)
        await driver.disconnect()
        await machine.web.mend()
        await back(driver)
        assert driver.get_status().execution is Execution.ACTIVE
        hurry(machine.klipper.printer)
        assert (await ended(handle.result)).outcome == "finished"
        assert (machine.klipper.printer.starts, heard.losses) == (1, 1)


@pytest.mark.parametrize("another", [False, True])
async def test_a_print_that_ended_out_of_sight_is_reported_as_the_machine_remembers_it(
    tmp_path: Path, another: bool
) -> None:
    async with klipper(tmp_path, speed=FAST) as (machine, driver):
        printer = machine.klipper.printer
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(300)))
        await machine.web.cut()
        await driver.disconnect()
        await until(lambda: printer.state is Printing.COMPLETE, within_s=PATIENCE_S)
        if another:
            printer.files["benchy.gcode"] = moves(LONG).encode()
            machine.klipper.start("benchy.gcode")
        await machine.web.mend()
        await back(driver)
        assert (await ended(handle.result)).outcome == "finished"


@pytest.mark.parametrize(
    ("remembered", "outcome"), [("klippy_disconnect", "failed"), ("in_progress", "unknown")]
)
async def test_klipper_that_died_in_mid_print_leaves_what_its_history_says(
    tmp_path: Path, remembered: str, outcome: str
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        heard = Heard(driver)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(LONG)))
        await until(lambda: bool(heard.lines))
        machine.klipper.vanish(remembered)
        await until(lambda: heard.losses == 1)
        await driver.disconnect()
        with pytest.raises(SilentDeviceError):
            await driver.connect()
        machine.klipper.come_back()
        await driver.connect()
        result = await ended(handle.result)
        assert result.outcome == outcome
        assert machine.klipper.printer.starts == 1


async def test_a_start_whose_answer_was_lost_is_followed_and_not_repeated(tmp_path: Path) -> None:
    async with klipper(tmp_path, speed=FAST) as (machine, driver):
        machine.lose_replies.add("printer.print.start")
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert (await ended(handle.result)).outcome == "finished"
        assert machine.orders.count("printer.print.start") == 1


async def test_an_ok_without_a_print_is_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with klipper(tmp_path) as (machine, driver):
        monkeypatch.setattr(machine.klipper, "start", lambda name: None)
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(SHORT)))
        result = await ended(handle.result)
        assert (result.outcome, result.reason) == ("unknown", "NOT_ON_THE_MACHINE")
        assert result.lines_done == 0


async def test_a_refused_start_leaves_the_machine_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with klipper(tmp_path, speed=FAST) as (machine, driver):
        await driver.connect()
        with monkeypatch.context() as patch:
            patch.setattr(machine, "_upload", lambda request: Answer(status=201))
            with pytest.raises(DeviceRefusedError, match="Unable to open file"):
                await driver.execute_job(job(tmp_path, moves(SHORT)))
        handle = await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert (await ended(handle.result)).outcome == "finished"


async def test_a_key_is_asked_for_and_given(tmp_path: Path) -> None:
    async with klipper(tmp_path, key="secret", speed=FAST) as (_, driver):
        await driver.connect()
        handle = await driver.execute_job(job(tmp_path, moves(SHORT)))
        assert (await ended(handle.result)).outcome == "finished"
    for given in ("", "wrong"):
        async with klipper(tmp_path, key="secret", given=given) as (_, driver):
            with pytest.raises(NotAuthorizedError) as refused:
                await driver.connect()
            assert "secret" not in refused.value.message


async def test_nobody_at_the_address_is_a_lost_link(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await machine.web.cut()
        with pytest.raises(LinkLostError):
            await driver.connect()


async def test_a_pause_that_klipper_refuses_is_not_held(tmp_path: Path) -> None:
    async with klipper(tmp_path) as (machine, driver):
        await driver.connect()
        await driver.execute_job(job(tmp_path, moves(LONG)))
        machine.klipper.host = "startup"
        with pytest.raises(NotHeldError):
            await driver.pause()


async def test_klippers_own_routines_run(tmp_path: Path) -> None:
    async with klipper(tmp_path, speed=400.0) as (_, driver):
        await driver.connect()
        assert (await driver.calibrate("home")).routine == "home"
        assert (await driver.calibrate("level")).routine == "level"
        with pytest.raises(BadProgramError):
            await driver.calibrate("dance")

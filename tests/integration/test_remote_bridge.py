"""A whole bridge beside machines that run alone: lost links, restarts, and one start each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_bridge.virtual.file_printer import FilePrinter, Printing
from device_bridge.virtual.moonraker import VirtualMoonraker
from device_bridge.virtual.octoprint import VirtualOctoPrint
from device_bridge.virtual.prusalink import VirtualPrusaLink
from device_bridge.virtual.web import WebServer
from tests.integration.bridge_rig import until
from tests.integration.bridge_shop import NODE, bridge
from tests.integration.remote_rig import LONG, PATIENCE_S, RESTART_S, SHORT, hurry, moves, told_of

ALL = pytest.mark.parametrize("dialect", ["moonraker", "prusalink", "octoprint"])


@asynccontextmanager
async def place(
    home: Path, dialect: str, *, speed: float = 1.0
) -> AsyncIterator[tuple[FilePrinter, WebServer]]:
    """One printer, written down for a bridge."""
    if dialect == "moonraker":
        klipper = VirtualMoonraker(home / "run", speed=speed, restart_s=RESTART_S)
        machine: VirtualMoonraker | VirtualPrusaLink | VirtualOctoPrint = klipper
        printer, options = klipper.klipper.printer, {}
    elif dialect == "octoprint":
        machine = octoprint = VirtualOctoPrint(home / "run", speed=speed)
        printer, options = octoprint.printer, {}
    else:
        prusa = VirtualPrusaLink(home / "run", speed=speed)
        machine, printer, options = prusa, prusa.printer, {"poll_s": "0.05"}
    await machine.start()
    told_of(home, dialect, machine.web.url, **options)
    try:
        yield printer, machine.web
    finally:
        await machine.stop()


@ALL
async def test_a_build_is_stored_started_and_reported(tmp_path: Path, dialect: str) -> None:
    async with place(tmp_path, dialect) as (printer, _), bridge(tmp_path) as (_, core):
        core.order("b1", NODE, moves(LONG))
        await core.told("ReportProgress", within_s=PATIENCE_S)
        hurry(printer)
        await core.told("FinishBuild", within_s=PATIENCE_S)
        assert list(printer.files) == ["b1.gcode"]
        assert printer.starts == 1
        names = [line["name"] for line in core.commands()]
        assert names.index("AcceptBuild") < names.index("StartBuild") < names.index("FinishBuild")


@ALL
async def test_a_bridge_that_restarts_follows_its_print_and_starts_nothing(
    tmp_path: Path, dialect: str
) -> None:
    async with place(tmp_path, dialect) as (printer, _):
        async with bridge(tmp_path) as (_, core):
            core.order("b1", NODE, moves(LONG))
            await core.told("ReportProgress", within_s=PATIENCE_S)
        assert printer.state is Printing.PRINTING
        async with bridge(tmp_path) as (agent, core):
            await until(lambda: _at_work(agent, core), within_s=PATIENCE_S)
            hurry(printer)
            finished = await core.told("FinishBuild", within_s=PATIENCE_S)
        assert finished["energy_source"] == "none"  # nobody read a meter meanwhile
        assert printer.starts == 1
        assert not core.commands("ReportOutcomeUnknown")


@ALL
async def test_a_print_that_ended_while_no_bridge_lived_is_reported(
    tmp_path: Path, dialect: str
) -> None:
    async with place(tmp_path, dialect) as (printer, _):
        async with bridge(tmp_path) as (_, core):
            core.order("b1", NODE, moves(LONG))
            await core.told("StartBuild", within_s=PATIENCE_S)
        hurry(printer)
        await until(lambda: printer.state is Printing.COMPLETE, within_s=PATIENCE_S)
        async with bridge(tmp_path) as (_, core):
            await core.told("FinishBuild", within_s=PATIENCE_S)
            told = [line["name"] for line in core.commands() if line.get("build_id") == "b1"]
            # the first bridge's word may never have left it: an end alone leaves the bed clear
            assert told.count("StartBuild") == 2
            assert told[-1] == "FinishBuild"
            core.order("b2", NODE, moves(SHORT))
            await core.told("FinishBuild", within_s=PATIENCE_S, count=2)
        assert printer.starts == 2


async def test_a_print_that_its_machine_forgot_is_a_question(tmp_path: Path) -> None:
    async with place(tmp_path, "prusalink") as (printer, _):
        async with bridge(tmp_path) as (_, core):
            core.order("b1", NODE, moves(LONG))
            await core.told("StartBuild", within_s=PATIENCE_S)
        printer.halt()
        printer.forget()  # somebody switched it off and on
        async with bridge(tmp_path) as (_, core):
            question = await core.told("ReportOutcomeUnknown", within_s=PATIENCE_S)
            assert question["facts"]["observed"]["execution"] == "READY"
        assert printer.starts == 1


@ALL
async def test_a_cable_pulled_in_mid_print_ends_nothing(tmp_path: Path, dialect: str) -> None:
    async with place(tmp_path, dialect) as (printer, web), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, moves(LONG))
        await core.told("ReportProgress", within_s=PATIENCE_S)
        await web.cut()
        await core.told("DisconnectMachine", within_s=PATIENCE_S)
        await web.mend()
        await core.told("ConnectMachine", within_s=PATIENCE_S, count=2)
        await until(lambda: _at_work(agent, core), within_s=PATIENCE_S)
        hurry(printer)
        await core.told("FinishBuild", within_s=PATIENCE_S)
        assert printer.starts == 1
        assert not core.commands("ReportOutcomeUnknown")


async def test_a_followed_print_obeys_pause_resume_and_cancel(tmp_path: Path) -> None:
    async with place(tmp_path, "moonraker") as (printer, _):
        async with bridge(tmp_path) as (_, core):
            core.order("b1", NODE, moves(LONG))
            await core.told("StartBuild", within_s=PATIENCE_S)
        async with bridge(tmp_path) as (agent, core):
            await until(lambda: _at_work(agent, core), within_s=PATIENCE_S)
            request = {"node_id": NODE, "build_id": "b1"}
            for verb, report in (
                ("pause", "ReportPaused"),
                ("resume", "ReportResumed"),
                ("cancel", "ConfirmCancelled"),
            ):
                assert (await agent.control(verb, request))["ok"]
                await core.told(report, within_s=PATIENCE_S)
        assert printer.state is Printing.CANCELLED
        assert printer.starts == 1


async def test_a_bridge_that_died_while_storing_starts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, "moonraker", speed=50.0) as (printer, _):
        reached = asyncio.Event()

        async def stuck(*_: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr("device_bridge.drivers.moonraker.MoonrakerPrinter._start", stuck)
            patch.setattr("device_bridge.drivers.moonraker.MoonrakerPrinter._store", stuck)
            async with bridge(tmp_path) as (_, core):
                core.order("b1", NODE, moves(SHORT))
                await asyncio.wait_for(reached.wait(), PATIENCE_S)
        async with bridge(tmp_path) as (_, core):
            await core.told("FinishBuild", within_s=PATIENCE_S)
        assert printer.starts == 1


def _at_work(agent: object, core: object) -> bool:
    """The bridge says that the build is on the machine, and that it runs."""
    places = vars(agent)["_places"].values()
    return any(p.session.build_id == "b1" and p.session.state == "STREAMING" for p in places)

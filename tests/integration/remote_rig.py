"""Virtual printers on HTTP, their drivers, and programs for both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from device_bridge.drivers.moonraker import MoonrakerPrinter
from device_bridge.drivers.prusalink import PrusaLinkPrinter
from device_bridge.drivers.remote import RemoteDriver
from device_bridge.errors import DeviceError
from device_bridge.machines import MachineConfig, write_machines
from device_bridge.protocols import DeviceEvent, JobSpec, LinkLost, Progressed, RunResult
from device_bridge.virtual.file_printer import FilePrinter
from device_bridge.virtual.moonraker import VirtualMoonraker
from device_bridge.virtual.prusalink import VirtualPrusaLink
from tests.integration.bridge_shop import NODE

SHORT = 40
LONG = 2000
PATIENCE_S = 30.0
RESTART_S = 0.3
HURRY = 1000.0


def moves(lines: int, *, feed: int = 6000) -> str:
    """A program that heats a little and extrudes nothing before it is warm."""
    steps = "".join(f"G1 X{n % 50} Y{n % 3} F{feed} ; move {n}\n" for n in range(1, lines + 1))
    return f"G90\nM104 S60\n{steps}M104 S0\n"


def job(folder: Path, program: str, *, build_id: str = "b1") -> JobSpec:
    """A program in a file."""
    path = folder / f"{build_id}.program"
    path.write_text(program)
    return JobSpec(build_id=build_id, program=path)


def hurry(printer: FilePrinter) -> None:
    """From now on it moves so fast that only this computer slows it down.

    Until then a program of ``LONG`` takes most of a minute: nothing ends by accident.
    """
    printer.body.planner._speed = HURRY


class Heard:
    """Everything that a driver told."""

    def __init__(self, driver: RemoteDriver[Any]) -> None:
        self.events: list[DeviceEvent] = []
        driver.listen(self.events.append)

    @property
    def losses(self) -> int:
        """Lost links."""
        return sum(isinstance(event, LinkLost) for event in self.events)

    @property
    def lines(self) -> list[int]:
        """Progress."""
        return [event.lines_done for event in self.events if isinstance(event, Progressed)]


@asynccontextmanager
async def klipper(
    folder: Path, *, key: str = "", given: str | None = None, **plan: Any
) -> AsyncIterator[tuple[VirtualMoonraker, MoonrakerPrinter]]:
    """A printer that is switched on, and an unconnected driver with its key, or another."""
    machine = VirtualMoonraker(folder, api_key=key, restart_s=RESTART_S, **plan)
    await machine.start()
    driver = MoonrakerPrinter(machine.web.url, api_key=key if given is None else given, start_s=1.0)
    try:
        yield machine, driver
    finally:
        await driver.disconnect()
        await machine.stop()


@asynccontextmanager
async def prusa(
    folder: Path, *, given: dict[str, str] | None = None, **plan: Any
) -> AsyncIterator[tuple[VirtualPrusaLink, PrusaLinkPrinter]]:
    """The same for a Prusa printer, asked often."""
    machine = VirtualPrusaLink(folder, **plan)
    await machine.start()
    driver = PrusaLinkPrinter(machine.web.url, poll_s=0.03, start_s=1.0, **(given or {}))
    try:
        yield machine, driver
    finally:
        await driver.disconnect()
        await machine.stop()


async def ended(result: "asyncio.Future[RunResult]") -> RunResult:
    """The end of a run."""
    return await asyncio.wait_for(asyncio.shield(result), PATIENCE_S)


async def back(driver: RemoteDriver[Any]) -> None:
    """Connect again, as a session does: again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await driver.connect()
            except DeviceError:
                await asyncio.sleep(0.1)
                continue
            return


def told_of(home: Path, dialect: str, url: str, **options: str) -> None:
    """Write the machine down for a bridge."""
    machine = MachineConfig(
        node_id=NODE, name="r1", dialect=dialect, port=url, virtual=True, options=options
    )
    write_machines(home / "machines.json", [machine])

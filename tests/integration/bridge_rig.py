"""A virtual machine, a driver on its pty, and programs for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from device_bridge.drivers.grbl import GrblMachine
from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.protocols import DeviceDriver, JobSpec
from device_bridge.transports.serial import SerialTransport
from device_bridge.virtual.machine import MachinePlan, VirtualMachine

FAST = 400.0


def printed(lines: int, *, feed: int = 6000) -> str:
    """A small print: heat, home, ``lines`` moves, cool."""
    moves = "".join(
        f"G1 X{number % 100} Y{number % 37} E{number * 0.05:.4f} F{feed} ; move {number}\n"
        for number in range(1, lines + 1)
    )
    return f"M140 S60\nM104 S200\nG28\nM190 S60\nM109 S200\nG92 E0\n{moves}M104 S0\nM140 S0\nM84\n"


def milled(lines: int, *, feed: int = 600) -> str:
    """A small milling program."""
    moves = "".join(f"G1 X{number % 90} Y{number % 31} F{feed}\n" for number in range(1, lines + 1))
    return f"%\nG21 G90\nM3 S800\n{moves}M5\nM30\n"


def job(folder: Path, gcode: str) -> JobSpec:
    """A program in a file."""
    path = folder / "program.gcode"
    path.write_text(gcode)
    return JobSpec(build_id="build-1", program=path)


@asynccontextmanager
async def machine(
    folder: Path,
    dialect: str = "marlin",
    *,
    speed: float = FAST,
    faults: list[dict[str, Any]] | None = None,
) -> AsyncIterator[tuple[VirtualMachine, Any]]:
    """A plugged-in virtual machine and a connected driver."""
    plan = MachinePlan(name="m1", dialect=dialect, speed=speed, faults=faults or [])
    device = VirtualMachine(plan, folder=folder)
    device.start()
    driver = driver_on(device)
    try:
        await driver.connect()
        yield device, driver
    finally:
        await driver.disconnect()
        device.stop()


def driver_on(device: VirtualMachine) -> DeviceDriver:
    """An unconnected driver for a machine."""
    transport = SerialTransport(str(device.path))
    if device.plan.dialect == "grbl":
        return GrblMachine(transport, boot_s=0.1)
    return MarlinPrinter(transport, boot_s=0.1, reply_s=1.0)


PROMPT_MS = 1000
"""A stop that waited for what the machine does would come later. The promise is 100 ms, which a
busy computer misses now and then."""


async def until(check: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait for a fact."""
    async with asyncio.timeout(within_s):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

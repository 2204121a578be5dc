"""A virtual shop and a bridge beside it, for tests of a whole bridge."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from device_bridge.agent import Agent
from device_bridge.machines import write_machines
from device_bridge.safety.warden import Warden
from device_bridge.virtual.machine import MachinePlan
from device_bridge.virtual.shop import VirtualAttendant, VirtualShop, configs
from ops.clock import SystemClock
from tests.integration.bridge_fakes import FileCore

NODE = "node-1"
CHECKOUT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def shop(
    home: Path,
    *,
    dialect: str = "marlin",
    speed: float = 400.0,
    faults: list[dict[str, Any]] | None = None,
) -> AsyncIterator[VirtualShop]:
    """One virtual machine with meter and attendant, written down for a bridge."""
    core = FileCore(home / "core")
    plan = MachinePlan(name="m1", dialect=dialect, node_id=NODE, speed=speed, faults=faults or [])
    attendant = VirtualAttendant(core, pause_s=0.05)
    place = VirtualShop([plan], folder=home / "run", attendant=attendant)
    place.start()
    write_machines(home / "machines.json", configs([plan], folder=home / "run"))
    try:
        yield place
    finally:
        place.stop()
        await attendant.stop()


@asynccontextmanager
async def bridge(
    home: Path, *, warden: Warden | None = None
) -> AsyncIterator[tuple[Agent, FileCore]]:
    """A bridge in this process."""
    core = FileCore(home / "core")
    agent = Agent(
        "local",
        home,
        queue=core,
        commands=core,
        artifacts=core,
        feed=core,
        clock=SystemClock(),
        heartbeat=core.beat,
        warden=warden,
    )
    running = asyncio.create_task(agent.run())
    try:
        yield agent, core
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def guarded_process(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bridge in a process of its own, with its watcher."""
    async with bridge_process(home, "guarded") as process:
        yield process


@asynccontextmanager
async def bridge_process(home: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bridge in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.bridge_process",
        str(home),
        str(home / "core"),
        *words,
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

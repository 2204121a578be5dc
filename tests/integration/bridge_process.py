"""A bridge in a process of its own, to be killed: ``bridge_process.py HOME CORE [guarded]``."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from device_bridge.agent import Agent
from device_bridge.safety.warden import ProcessWarden
from ops.clock import SystemClock
from tests.integration.bridge_fakes import FileCore


async def main(home: Path, folder: Path, *, guarded: bool) -> None:
    core = FileCore(folder)
    agent = Agent(
        "local",
        home,
        queue=core,
        commands=core,
        artifacts=core,
        feed=core,
        clock=SystemClock(),
        heartbeat=core.beat,
        warden=ProcessWarden(home / "bridge") if guarded else None,
    )
    running = asyncio.create_task(agent.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), guarded="guarded" in sys.argv))

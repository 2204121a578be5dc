"""A bridge in a process of its own, to be killed: ``python bridge_process.py HOME CORE``."""

import asyncio
import sys
from pathlib import Path

from device_bridge.agent import Agent
from ops.clock import SystemClock
from tests.integration.bridge_fakes import FileCore


async def main(home: Path, folder: Path) -> None:
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
    )
    await agent.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

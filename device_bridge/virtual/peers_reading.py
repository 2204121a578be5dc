"""Virtual machines that are only read, made ready for the certifier."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device_bridge.drivers.spec import Peer
from device_bridge.machines import MachineConfig
from device_bridge.virtual.mtconnect import VirtualAgent
from device_bridge.virtual.peers_http import NOTICED_S, Cable


@asynccontextmanager
async def agent_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual MTConnect agent; its network cable is what is unplugged."""
    agent = VirtualAgent()
    await agent.web.mend()
    cable = Cable(agent.web)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="machine",
                dialect="mtconnect",
                port=agent.web.url,
                virtual=True,
                options={"poll_s": "0.05"},
            ),
            unplug=lambda for_s: cable.pull(max(for_s, NOTICED_S)),
            babble=agent.babble,
        )
    finally:
        await cable.stop()
        await agent.web.stop()

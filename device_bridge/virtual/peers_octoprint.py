"""A virtual OctoPrint, made ready for the certifier."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device_bridge.drivers.spec import Peer
from device_bridge.machines import MachineConfig
from device_bridge.virtual.octoprint import VirtualOctoPrint
from device_bridge.virtual.peers_http import (
    BLOCKING_PROGRAM,
    LONG_PROGRAM,
    PROGRAM,
    REFUSED_PROGRAM,
    Cable,
    is_hot,
)


@asynccontextmanager
async def octoprint_peer(folder: Path) -> AsyncIterator[Peer]:
    """One OctoPrint with its printer; OctoPrint's network cable is what is unplugged."""
    machine = VirtualOctoPrint(folder)
    await machine.start()
    cable = Cable(machine.web)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="printer",
                dialect="octoprint",
                port=machine.web.url,
                virtual=True,
            ),
            program=PROGRAM,
            long_program=LONG_PROGRAM,
            blocking_program=BLOCKING_PROGRAM,
            refused_program=REFUSED_PROGRAM,
            starts=lambda: machine.printer.starts,
            received=lambda: len(machine.orders),
            hot=lambda: is_hot(machine.printer),
            unplug=cable.pull,
            fail=machine.printer.fail_next,
            babble=lambda data: machine.babble(data.decode(errors="replace")),
            flood=machine.flood,
        )
    finally:
        await cable.stop()
        await machine.stop()

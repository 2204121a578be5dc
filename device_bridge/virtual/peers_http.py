"""Virtual printers on HTTP and websockets, made ready for the certifier."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device_bridge.drivers.spec import Peer
from device_bridge.machines import MachineConfig
from device_bridge.virtual.file_printer import FilePrinter
from device_bridge.virtual.moonraker import VirtualMoonraker
from device_bridge.virtual.prusalink import VirtualPrusaLink
from device_bridge.virtual.web import WebServer

RESTART_S = 0.3
NOTICED_S = 1.5
"""A driver that only asks must be given the time to miss several answers."""


def _steps(count: int, *, feed: int) -> str:
    return "".join(f"G1 X{number % 50} Y{number % 2} F{feed}\n" for number in range(1, count + 1))


PROGRAM = f"G90\nM104 S60\n{_steps(60, feed=6000)}"
LONG_PROGRAM = f"G90\nM104 S60\n{_steps(4000, feed=3600)}"
BLOCKING_PROGRAM = "G28\nM109 S250\nG1 X10 F600\n"
REFUSED_PROGRAM = "G1 X1 F600\nM112\nG1 X2\n"


@asynccontextmanager
async def klipper_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual Klipper printer behind Moonraker; its network cable is what is unplugged."""
    machine = VirtualMoonraker(folder, restart_s=RESTART_S)
    await machine.start()
    cable = Cable(machine.web)
    printer = machine.klipper.printer
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="printer",
                dialect="moonraker",
                port=machine.web.url,
                virtual=True,
            ),
            program=PROGRAM,
            long_program=LONG_PROGRAM,
            blocking_program=BLOCKING_PROGRAM,
            refused_program=REFUSED_PROGRAM,
            starts=lambda: printer.starts,
            received=lambda: len(machine.orders),
            hot=lambda: is_hot(printer),
            unplug=cable.pull,
            fail=printer.fail_next,
            babble=lambda data: machine.babble(data.decode(errors="replace")),
            flood=machine.flood,
        )
    finally:
        await cable.stop()
        await machine.stop()


@asynccontextmanager
async def prusa_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual Prusa printer behind PrusaLink, asked often so that nobody waits."""
    machine = VirtualPrusaLink(folder)
    await machine.start()
    cable = Cable(machine.web)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="printer",
                dialect="prusalink",
                port=machine.web.url,
                virtual=True,
                options={"poll_s": "0.05"},
            ),
            program=PROGRAM,
            long_program=LONG_PROGRAM,
            blocking_program=BLOCKING_PROGRAM,
            refused_program=REFUSED_PROGRAM,
            starts=lambda: machine.printer.starts,
            received=lambda: len(machine.orders),
            hot=lambda: is_hot(machine.printer),
            unplug=lambda for_s: cable.pull(max(for_s, NOTICED_S)),
            fail=machine.printer.fail_next,
            babble=machine.babble,
        )
    finally:
        await cable.stop()
        await machine.stop()


class Cable:
    """The network cable of a virtual machine, pulled without waiting for it."""

    def __init__(self, web: WebServer) -> None:
        self._web = web
        self._pulls: list[asyncio.Task[None]] = []

    def pull(self, for_s: float) -> None:
        """Out now, in again after so many seconds."""
        self._pulls.append(asyncio.get_running_loop().create_task(self._out(for_s)))

    async def stop(self) -> None:
        """Leave it as it is."""
        for pull in self._pulls:
            pull.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)

    async def _out(self, for_s: float) -> None:
        await self._web.cut()
        await asyncio.sleep(for_s)
        await self._web.mend()


def is_hot(printer: FilePrinter) -> bool:
    """Whether a heater has a set-point."""
    return any(heater.target_c > 0 for heater in printer.body.heaters.values())

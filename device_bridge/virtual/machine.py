"""One virtual machine: firmware, port, meter and ledger."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_bridge.errors import DeviceError
from device_bridge.virtual.faults import FaultPlan
from device_bridge.virtual.grbl import VirtualGrbl
from device_bridge.virtual.grbl_kinds import VirtualGrblHal, VirtualLaser
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.marlin import VirtualMarlin
from device_bridge.virtual.pty_port import PtyPort
from device_bridge.virtual.reprap import VirtualRepRap
from device_bridge.virtual.tcp_port import TcpPort

FIRMWARES: dict[str, type[VirtualMarlin] | type[VirtualGrbl]] = {
    "marlin": VirtualMarlin,
    "grbl": VirtualGrbl,
    "grblhal": VirtualGrblHal,
    "laser": VirtualLaser,
    "reprap": VirtualRepRap,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePlan:
    """How one virtual machine is made. ``speed``: motion and heat run so many times faster.

    ``link``: ``pty`` or ``tcp``, which listens on 127.0.0.1.
    """

    name: str
    dialect: str
    node_id: str = ""
    speed: float = 1.0
    link: str = "pty"
    faults: list[dict[str, Any]] = field(default_factory=list)


class VirtualMachine:
    """A machine on a pty at ``folder/dev/<name>`` or on TCP; counts in ``folder/<name>.json``."""

    def __init__(
        self, plan: MachinePlan, *, folder: Path, ended: Callable[[], None] = lambda: None
    ) -> None:
        self.plan = plan
        self.faults = FaultPlan(plan.faults)
        self.received_bytes = 0
        self.received_questions = 0
        self.path = folder / "dev" / plan.name
        self._replug: asyncio.TimerHandle | None = None
        self.ledger = Ledger(folder / f"{plan.name}.json", ended=ended)
        if plan.dialect not in FIRMWARES:
            raise DeviceError(f"unknown dialect {plan.dialect}", field="dialect")
        self.firmware = FIRMWARES[plan.dialect](
            write=self._write,
            ledger=self.ledger,
            faults=self.faults,
            speed=plan.speed,
            unplugged=self.unplug,
        )
        self._port: PtyPort | TcpPort = self._made_port()

    @property
    def address(self) -> str:
        """What a host opens; a TCP port has its number once it is plugged in."""
        if isinstance(self._port, TcpPort):
            return f"tcp://127.0.0.1:{self._port.number}"
        return str(self.path)

    def start(self) -> None:
        """Plug the cable in."""
        self._port.plug()

    def stop(self) -> None:
        """Switch off and take the port away."""
        if self._replug is not None:
            self._replug.cancel()
        self.firmware.stop()
        self._port.unplug()

    def unplug(self, for_s: float) -> None:
        """Pull the cable and put it back later."""
        self._port.unplug()
        self._replug = asyncio.get_running_loop().call_later(for_s, self._port.plug)

    def say(self, data: bytes) -> None:
        """Put bytes on the wire that the firmware never meant."""
        self._port.write(data)

    def _made_port(self) -> PtyPort | TcpPort:
        if self.plan.link == "tcp":
            return TcpPort(received=self._received, opened=self.firmware.opened)
        return PtyPort(self.path, received=self._received, opened=self.firmware.opened)

    def _received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.received_questions += data.count(b"?")
        self.firmware.received(data)

    def _write(self, data: bytes) -> None:
        self._port.write(data)

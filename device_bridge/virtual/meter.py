"""A virtual smart meter: tells a virtual machine's power and energy on a pty of its own."""

from pathlib import Path

from device_bridge.virtual.body import Body
from device_bridge.virtual.pty_port import PtyPort


class VirtualMeter:
    """Answers each ``READ`` line; says nothing by itself.

    Joules of heaters, motors and spindle run in the machine's own (sped-up) time, so a part's
    energy is that of the real process; watts are those of this moment.
    """

    def __init__(self, path: Path, body: Body) -> None:
        self.path = path
        self._body = body
        self._rest = b""
        self._port = PtyPort(path, received=self._received, opened=self._forget)

    def start(self) -> None:
        """Plug in."""
        self._port.plug()

    def stop(self) -> None:
        """Take the port away."""
        self._port.unplug()

    def _received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip() == b"READ":
                power, energy = self._body.power_w(), self._body.energy_j()
                self._port.write(f"VIRTUAL-METER W={power:.1f} J={energy:.1f}\n".encode())

    def _forget(self) -> None:
        self._rest = b""

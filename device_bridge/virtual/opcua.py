"""A virtual machine with an OPC UA server of asyncua's. Needs the extra ``industrial``."""

import logging

from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.status_codes import StatusCodes

from device_bridge.virtual.relay import Relay

SPACE = "urn:imewe:virtual"
MAP = (
    f"temperature.spindle.actual_c=nsu={SPACE};s=Spindle.Temperature,"
    f"feedrate_mm_s=nsu={SPACE};s=Feed|0.016666666666666666,execution=nsu={SPACE};s=State,"
    f"emergency_stop=nsu={SPACE};s=Stop,fault=nsu={SPACE};s=Alarm"
)
"""Its variables; the feed is in mm/min."""
STATES = "0:READY,1:ACTIVE,2:INTERRUPTED"
FIRST: dict[str, bool | int | float | str] = {
    "Spindle.Temperature": 41.5,
    "Feed": 600.0,
    "State": 0,
    "Stop": False,
    "Alarm": "",
}
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)


class VirtualOpcUa:
    """The server behind a cable; ``port`` is the cable's end."""

    def __init__(self, *, users: UserManager | None = None) -> None:
        self.server = Server(user_manager=users)
        self.relay = Relay(0)
        self.nodes: dict[str, Node] = {}

    async def start(self) -> None:
        """Serve."""
        await self.server.init()
        self.server.set_endpoint("opc.tcp://127.0.0.1:0/imewe/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = await self.server.register_namespace(SPACE)
        machine = await self.server.nodes.objects.add_object(space, "Machine")
        for name, value in FIRST.items():
            id = ua.NodeId(ua.String(name), ua.Int16(space))
            self.nodes[name] = await machine.add_variable(id, name, value)
        await self.server.start()
        listening = self.server.bserver
        assert listening is not None  # noqa: S101
        self.relay = Relay(listening.port)
        await self.relay.plug()

    async def say(self, name: str, value: bool | int | float | str) -> None:
        """The machine changes."""
        await self.nodes[name].write_value(value)

    async def spoil(self, name: str) -> None:
        """The server calls a variable bad."""
        bad = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadSensorFailure)))
        await self.nodes[name].write_value(bad)

    async def stop(self) -> None:
        """Switch off."""
        await self.relay.stop()
        await self.server.stop()

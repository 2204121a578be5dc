"""Virtual machines that are only read, made ready for the certifier."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from device_bridge.drivers.spec import Peer
from device_bridge.extras import extra
from device_bridge.machines import MachineConfig
from device_bridge.virtual.modbus import HOST, VirtualUnit
from device_bridge.virtual.mqtt import VirtualBroker
from device_bridge.virtual.mtconnect import VirtualAgent
from device_bridge.virtual.peers_http import NOTICED_S, Cable
from device_bridge.virtual.shdr import VirtualAdapter


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


@asynccontextmanager
async def modbus_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual one-phase meter of the SDM120's kind."""
    unit = VirtualUnit({})
    for address, value in ((0x00, 230.1), (0x06, 0.5), (0x0C, 115.0), (0x46, 50.0), (0x48, 12.5)):
        unit.set_float(address, value)
    await unit.plug()
    plug = Plug(unit.unplug, unit.plug)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="meter",
                dialect="modbus_meter",
                port=f"tcp://{HOST}:{unit.port}",
                virtual=True,
                options={"map": "sdm120", "poll_s": "0.05"},
            ),
            unplug=plug.pull,
            babble=unit.babble,
        )
    finally:
        await plug.stop()
        await unit.stop()


class Plug:
    """A virtual machine's plug, pulled at once and put back later."""

    def __init__(self, out: Callable[[], None], back: Callable[[], Awaitable[None]]) -> None:
        self._out = out
        self._back = back
        self._pulls: list[asyncio.Task[None]] = []

    def pull(self, for_s: float) -> None:
        """Out now, in again after so many seconds."""
        self._out()
        self._pulls.append(asyncio.get_running_loop().create_task(self._in_again(for_s)))

    async def stop(self) -> None:
        """Leave it as it is."""
        for pull in self._pulls:
            pull.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)

    async def _in_again(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._back()


@asynccontextmanager
async def opcua_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual machine behind an OPC UA server. Raises ``ExtraMissingError`` without asyncua."""
    with extra("industrial"):
        from device_bridge.virtual.opcua import MAP, STATES, VirtualOpcUa
    machine = VirtualOpcUa()
    await machine.start()
    plug = Plug(machine.relay.unplug, machine.relay.plug)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="machine",
                dialect="opcua",
                port=f"opc.tcp://{HOST}:{machine.relay.port}/imewe/",
                virtual=True,
                options={"map": MAP, "states": STATES},
            ),
            unplug=plug.pull,
            babble=machine.relay.babble,
        )
    finally:
        await plug.stop()
        await machine.stop()


@asynccontextmanager
async def mqtt_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual broker with a press on it."""
    broker = VirtualBroker()
    broker.publish("press/state", b'{"state": "idle", "temperatures": [41.5]}')
    broker.publish("press/watts", b"115")
    await broker.plug()
    plug = Plug(broker.unplug, broker.plug)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="press",
                dialect="mqtt",
                port=f"mqtt://{HOST}:{broker.port}",
                virtual=True,
                options={
                    "map": "temperature.plate.actual_c=press/state#/temperatures/0,"
                    "execution=press/state#/state,power_w=press/watts",
                    "states": "idle:READY,run:ACTIVE",
                },
            ),
            unplug=plug.pull,
            babble=broker.babble,
        )
    finally:
        await plug.stop()
        await broker.stop()


@asynccontextmanager
async def shdr_peer(folder: Path) -> AsyncIterator[Peer]:
    """A virtual MTConnect adapter."""
    adapter = VirtualAdapter()
    adapter.plug()

    async def back() -> None:
        adapter.plug()

    plug = Plug(adapter.unplug, back)
    try:
        yield Peer(
            machine=MachineConfig(
                node_id="certify",
                name="mill",
                dialect="shdr",
                port=f"shdr://{HOST}:{adapter.number}",
                virtual=True,
                options={
                    "map": "availability=avail,execution=exec,emergency_stop=estop,"
                    "position.x_mm=Xpos,spindle.load_pct=load",
                    "conditions": "system",
                },
            ),
            unplug=plug.pull,
            babble=adapter.babble,
        )
    finally:
        await plug.stop()
        adapter.unplug()

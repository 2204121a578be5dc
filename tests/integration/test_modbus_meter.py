"""Modbus meters on pymodbus's own server: as a driver, and as the meter of a machine."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from device_bridge.certify.bench import until
from device_bridge.drivers.modbus_meter import DRIVER
from device_bridge.energy import EnergyCount
from device_bridge.errors import DeviceRefusedError, PortError, SilentDeviceError
from device_bridge.machines import MachineConfig
from device_bridge.modbus_meter import ModbusMeter
from device_bridge.protocols import TelemetrySample
from domain.node.states import Availability

MAP = "sdm120"
VALUES = {0x00: 230.5, 0x06: 0.5, 0x0C: 115.25, 0x46: 50.0, 0x48: 12.5}
UNIT = 7


def unit() -> SimDevice:
    """What an SDM120 holds, and no register more."""
    return SimDevice(
        id=UNIT,
        simdata=[
            SimData(address, values=value, datatype=DataType.FLOAT32)
            for address, value in VALUES.items()
        ],
    )


@asynccontextmanager
async def served(framer: FramerType = FramerType.SOCKET) -> AsyncIterator[int]:
    server = ModbusTcpServer(unit(), framer=framer, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


@dataclass(frozen=True)
class Line:
    """Two ptys that stand for the two ends of one RS-485 line; bytes are carried across."""

    ends: tuple[str, str]
    masters: tuple[int, int]

    def join(self) -> None:
        one, other = self.masters
        asyncio.get_running_loop().add_reader(one, lambda: os.write(other, os.read(one, 4096)))
        asyncio.get_running_loop().add_reader(other, lambda: os.write(one, os.read(other, 4096)))

    def part(self) -> None:
        for master in self.masters:
            asyncio.get_running_loop().remove_reader(master)


@pytest.fixture
def line() -> Iterator[Line]:
    pairs = [os.openpty() for _ in range(2)]
    for _, slave in pairs:
        tty.setraw(slave)
    yield Line(
        ends=(os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])),
        masters=(pairs[0][0], pairs[1][0]),
    )
    for end in (*pairs[0], *pairs[1]):
        os.close(end)


def machine(port: str, **options: str) -> MachineConfig:
    return MachineConfig(
        node_id="n",
        name="meter",
        dialect="modbus_meter",
        port=port,
        options={"map": MAP, "unit": str(UNIT), "poll_s": "0.02", **options},
    )


@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "serial frames over tcp"])
async def test_every_channel_of_the_map_is_read(rtu: bool) -> None:
    async with served(FramerType.RTU if rtu else FramerType.SOCKET) as port:
        driver = DRIVER.make(machine(f"tcp://127.0.0.1:{port}", rtu="yes" if rtu else ""))
        await driver.connect()
        assert driver.get_telemetry().metrics == {
            "voltage_v": 230.5,
            "current_a": 0.5,
            "power_w": 115.25,
            "mains_hz": 50.0,
            "energy_j": 45_000_000.0,
        }
        await driver.disconnect()
        assert driver.get_telemetry().metrics == {}


async def test_a_register_that_the_meter_has_not_is_named_when_connecting() -> None:
    async with served() as port:
        driver = DRIVER.make(
            machine(f"tcp://127.0.0.1:{port}", map="power_w=input:0x0C:float32,x_w=input:900:int16")
        )
        with pytest.raises(DeviceRefusedError, match="x_w at input 900: exception 2"):
            await driver.connect()
        assert driver.get_status().availability is Availability.UNAVAILABLE


async def test_a_meter_is_read_as_the_meter_of_a_machine_and_comes_back_when_it_went() -> None:
    samples: list[TelemetrySample] = []
    async with served() as port:
        url = f"modbus://127.0.0.1:{port}?unit={UNIT}&map={MAP}"
        energy = EnergyCount(ModbusMeter(url), samples.append)
        await energy.begin()
        figures = await energy.figures()
        assert (figures["energy_j"], figures["energy_source"]) == (0, "meter")
        assert samples[-1].metrics == {"power_w": 115.25, "energy_j": 45_000_000.0}
    gone = await energy.figures()
    assert gone["energy_source"] == "none"
    energy.close()
    nobody = ModbusMeter(url)
    with pytest.raises(PortError):
        await nobody.read()
    nobody.close()


async def test_a_unit_that_is_not_there_is_silence_and_ends_no_bridge() -> None:
    async with served() as port:
        meter = ModbusMeter(f"modbus://127.0.0.1:{port}?unit=99&map={MAP}")
        with pytest.raises((SilentDeviceError, DeviceRefusedError)):
            await meter.read()
        meter.close()


async def test_a_serial_line_is_read_in_its_own_frames(line: Line) -> None:
    here, there = line.ends
    line.join()
    server = ModbusSerialServer(unit(), framer=FramerType.RTU, port=there, baudrate=9600)
    await server.serve_forever(background=True)
    driver = DRIVER.make(machine(here))
    try:
        await driver.connect()
        await until(lambda: driver.get_telemetry().metrics.get("power_w") == 115.25, "power")
    finally:
        await driver.disconnect()
        await server.shutdown()
        line.part()

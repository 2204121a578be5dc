"""Drivers over TCP, against virtual machines that listen on 127.0.0.1."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_bridge.drivers.catalogue import checked, driver_for, driver_named
from device_bridge.errors import DeviceError, LinkLostError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver
from device_bridge.transports.tcp import TcpTransport
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from device_bridge.virtual.marlin import VirtualMarlin
from domain.node.states import Availability
from domain.shared.errors import InvalidInputError
from tests.integration.bridge_rig import FAST, job, milled, printed, until


@asynccontextmanager
async def over_tcp(
    folder: Path, dialect: str
) -> AsyncIterator[tuple[VirtualMachine, DeviceDriver]]:
    """A virtual machine that listens, and a connected driver."""
    plan = MachinePlan(name="m1", dialect=dialect, speed=FAST, link="tcp")
    device = VirtualMachine(plan, folder=folder)
    device.start()
    driver = driver_for(config(dialect, device.address))
    try:
        await driver.connect()
        yield device, driver
    finally:
        await driver.disconnect()
        device.stop()


def config(dialect: str, port: str) -> MachineConfig:
    """A machine at an address."""
    return MachineConfig(node_id="n1", name="m1", dialect=dialect, port=port, virtual=True)


@pytest.mark.parametrize(("dialect", "program"), [("marlin", printed), ("grbl", milled)])
async def test_a_program_runs_over_tcp(tmp_path: Path, dialect: str, program) -> None:  # type: ignore[no-untyped-def]
    async with over_tcp(tmp_path, dialect) as (device, driver):
        handle = await driver.execute_job(job(tmp_path, program(200)))
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.lines_done) == ("finished", handle.lines_total)
        assert device.ledger.counts.starts == 1


async def test_an_emergency_stop_goes_past_everything_over_tcp(tmp_path: Path) -> None:
    async with over_tcp(tmp_path, "marlin") as (device, driver):
        await driver.execute_job(job(tmp_path, "G4 S100000\nG1 X10\n"))
        receipt = await driver.emergency_stop()
        assert receipt.confirmed
        assert isinstance(device.firmware, VirtualMarlin)
        assert device.firmware.halted


async def test_a_lost_connection_leaves_the_outcome_unknown_and_can_come_back(
    tmp_path: Path,
) -> None:
    async with over_tcp(tmp_path, "grbl") as (device, driver):
        handle = await driver.execute_job(job(tmp_path, milled(3000, feed=6)))
        device.unplug(0.2)
        result = await asyncio.wait_for(handle.result, 30)
        assert (result.outcome, result.reason) == ("unknown", "LINK_LOST")
        await driver.disconnect()
        await asyncio.sleep(0.3)
        await driver.connect()
        assert driver.get_status().availability is Availability.AVAILABLE


async def test_nobody_at_the_address_is_told_with_the_reason() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = driver_for(config("marlin", f"tcp://127.0.0.1:{port}"))
    with pytest.raises(LinkLostError, match=r"[Rr]efused"):
        await driver.connect()
    await driver.disconnect()


async def test_what_the_network_does_not_take_waits_in_order() -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        lost: list[DeviceError] = []
        wire = TcpTransport(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        wire.open(lambda _: None, lost.append)
        much = b"".join(b"%07d\n" % number for number in range(1_000_000))
        wire.write(much[:8])
        wire.write(much[8:])
        server.setblocking(False)
        peer, _ = await asyncio.get_running_loop().sock_accept(server)
        with peer:
            peer.setblocking(False)
            while len(heard) < len(much):
                heard += await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
            assert bytes(heard) == much
        await until(lambda: bool(lost))
        wire.close()
        with pytest.raises(LinkLostError):
            wire.write(b"late")


@pytest.mark.parametrize("port", ["tcp://", "tcp://mill", "tcp://mill:0", "tcp://mill:99999"])
def test_an_address_without_host_or_port_is_refused(port: str) -> None:
    with pytest.raises(InvalidInputError):
        checked(config("marlin", port), driver_named("marlin"))

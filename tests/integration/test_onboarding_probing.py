"""Machines are found without being opened, and told apart by what they answer, on real ptys."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from device_bridge.discovery import announced, marked, named_ports
from device_bridge.drivers.catalogue import driver_named
from device_bridge.errors import MachineBusyError, PortError, SilentDeviceError
from device_bridge.machines import MachineConfig
from device_bridge.probing import Probed, candidates, probe
from device_bridge.proposals import proposed
from device_bridge.protocols import JobSpec
from device_bridge.transports.serial import SerialTransport
from device_bridge.virtual.machine import MachinePlan, VirtualMachine


def unknown(port: str) -> MachineConfig:
    return MachineConfig(node_id="probe", name="probe", dialect="", port=port, virtual=True)


@asynccontextmanager
async def plugged(
    dialect: str, folder: Path, *, link: str = "pty"
) -> AsyncIterator[VirtualMachine]:
    machine = VirtualMachine(MachinePlan(name=dialect, dialect=dialect, link=link), folder=folder)
    machine.start()
    try:
        yield machine
    finally:
        machine.stop()


async def asked(port: str) -> Probed:
    return await probe(unknown(port), candidates(port))


@pytest.mark.parametrize(
    ("firmware", "driver", "process"),
    [
        ("marlin", "marlin", "fdm"),
        ("reprap", "reprap", "fdm"),
        ("grbl", "grbl", "mill"),
        ("grblhal", "grblhal", "mill"),
        ("laser", "grbl", "laser"),
    ],
)
def test_the_handshake_decides_which_driver_a_machine_has(
    firmware: str, driver: str, process: str, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with plugged(firmware, tmp_path) as machine:
            found = await asked(machine.address)
            assert found.machine.dialect == driver
            proposal = proposed(found)
            assert proposal.profile["process"] == process
            assert machine.ledger.counts.starts == 0
            assert "materials" in proposal.missing
            if process != "fdm":
                assert set(proposal.profile["max_size"]) == {"x", "y", "z"}
            assert found.machine.options == ({"laser": "yes"} if process == "laser" else {})

    asyncio.run(scene())


def test_klipper_tells_its_size_and_its_hottest_temperatures(tmp_path: Path) -> None:
    async def scene() -> None:
        peer = driver_named("moonraker").peer
        assert peer is not None
        async with peer(tmp_path) as printer:
            found = await asked(printer.machine.port)
            assert found.machine.dialect == "moonraker"
            assert proposed(found).profile == {
                "process": "fdm",
                "max_size": {"x": 250.0, "y": 210.0, "z": 220.0},
                "max_nozzle_c": 300.0,
                "max_bed_c": 120.0,
            }
            assert printer.starts is not None
            assert printer.starts() == 0

    asyncio.run(scene())


def test_a_printer_that_prints_is_refused_and_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        spec = driver_named("moonraker")
        assert spec.peer is not None
        async with spec.peer(tmp_path) as printer:
            program = tmp_path / "long.gcode"
            program.write_text(printer.long_program)
            driver = spec.make(printer.machine)
            await driver.connect()
            run = await driver.execute_job(JobSpec(build_id="b-1", program=program))
            with pytest.raises(MachineBusyError):
                await asked(printer.machine.port)
            assert not run.result.done()
            assert printer.starts is not None
            assert printer.starts() == 1
            await driver.cancel()
            await driver.disconnect()

    asyncio.run(scene())


def test_what_announces_itself_is_asked_in_its_own_words_first(tmp_path: Path) -> None:
    async def scene() -> None:
        peer = driver_named("prusalink").peer
        assert peer is not None
        async with peer(tmp_path) as printer:
            port = printer.machine.port
            found = await probe(unknown(port), candidates(port, hint="prusalink"))
            assert found.machine.dialect == "prusalink"
            assert found.tried == {}

    asyncio.run(scene())


def test_a_port_that_somebody_holds_is_not_asked(tmp_path: Path) -> None:
    async def scene() -> None:
        async with plugged("marlin", tmp_path) as machine:
            holder = SerialTransport(machine.address)
            holder.open(lambda _data: None, lambda _error: None)
            try:
                with pytest.raises(PortError):
                    await asked(machine.address)
            finally:
                holder.close()
            assert machine.received_bytes == 0

    asyncio.run(scene())


def test_a_port_where_nobody_answers_says_whom_it_tried(tmp_path: Path) -> None:
    async def scene() -> None:
        inner, outer = os.openpty()
        try:
            with pytest.raises(SilentDeviceError, match="grbl"):
                await probe(unknown(os.ttyname(outer)), ["grbl"])
        finally:
            os.close(inner)
            os.close(outer)

    asyncio.run(scene())


def test_scanning_opens_nothing_and_marks_what_is_known(tmp_path: Path) -> None:
    async def scene() -> None:
        async with plugged("grbl", tmp_path) as machine:
            link = tmp_path / "by-another-name"
            link.symlink_to(machine.address)
            known = MachineConfig(node_id="n", name="mill-1", dialect="grbl", port=machine.address)
            (found,) = marked(named_ports([str(link), machine.address]), [known])
            assert found.machine == "mill-1"
            assert machine.received_bytes + machine.received_questions == 0

    asyncio.run(scene())


def test_a_printer_that_announces_itself_is_heard() -> None:
    async def scene() -> None:
        printer = AsyncZeroconf(interfaces=["127.0.0.1"])
        service = ServiceInfo(
            "_moonraker._tcp.local.",
            "Voron at the window._moonraker._tcp.local.",
            addresses=[socket.inet_aton("127.0.0.1")],
            port=7125,
            server="voron.local.",
        )
        try:
            await printer.async_register_service(service)
            found = []
            for _ in range(10):
                found = await announced(listen_s=1.0, interfaces=["127.0.0.1"])
                if found:
                    break
            assert [(each.port, each.hint, each.says) for each in found] == [
                ("http://127.0.0.1:7125", "moonraker", "Voron at the window")
            ]
        finally:
            await printer.async_close()

    asyncio.run(scene())

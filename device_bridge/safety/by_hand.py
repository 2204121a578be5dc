"""Stopping machines without a bridge: a port at a time, all at once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from device_bridge.drivers.catalogue import driver_for
from device_bridge.drivers.spec import scheme_of
from device_bridge.errors import DeviceError, EmergencyLatchedError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import EStopReceipt
from device_bridge.safety import bare
from device_bridge.safety.latches import Latches
from domain.shared.errors import ImeweError

NETWORK_S = 5.0


def has_bare_port(machine: MachineConfig) -> bool:
    """Whether ``bare`` can speak to it: firmware on a serial port, or on one of a network."""
    return is_fed(machine) and scheme_of(machine.port) in {"serial", "tcp"}


def is_fed(machine: MachineConfig) -> bool:
    """Whether its builds end with this bridge: it is fed line by line."""
    return machine.dialect in bare.GRBL_LIKE | bare.MARLIN_LIKE


def stop_by_hand(machine: MachineConfig) -> EStopReceipt:
    """Halt one machine whose bridge is dead. Blocks; raises nothing."""
    try:
        if has_bare_port(machine):
            deed = bare.stop(machine.port, dialect=machine.dialect, baudrate=machine.baudrate)
            return EStopReceipt(
                confirmed=deed.confirmed, latency_ms=deed.latency_ms, native_text=deed.native_text
            )
        return asyncio.run(_by_driver(machine))
    except (ImeweError, OSError, TimeoutError) as problem:
        return EStopReceipt(confirmed=False, latency_ms=0.0, native_text=str(problem))


def raw_stop(machine: MachineConfig) -> Callable[[], Awaitable[EStopReceipt | None]] | None:
    """The second way of a stop, by the bare port; ``None`` for a machine that has none."""
    if not has_bare_port(machine):
        return None

    async def halt() -> EStopReceipt | None:
        receipt = await asyncio.to_thread(stop_by_hand, machine)
        return receipt if receipt.confirmed else None

    return halt


def stop_all_by_hand(
    machines: Sequence[MachineConfig], latches: Latches, *, by: str
) -> list[EStopReceipt]:
    """Halt all of them at the same time; each is latched for the bridge to come."""
    if not machines:
        return []
    with ThreadPoolExecutor(max_workers=len(machines)) as hands:
        receipts = list(hands.map(stop_by_hand, machines))
    for machine, receipt in zip(machines, receipts, strict=True):
        latches.begin(machine.node_id, by)
        latches.note(machine.node_id, **receipt.as_json())
    return receipts


async def _by_driver(machine: MachineConfig) -> EStopReceipt:
    """Machines on a network: their driver's stop needs no running program."""
    driver = driver_for(machine)
    async with asyncio.timeout(NETWORK_S):
        receipt = await driver.emergency_stop()
        if not receipt.confirmed:
            with contextlib.suppress(EmergencyLatchedError):  # its stop needs no connection
                await driver.connect()
                receipt = await driver.emergency_stop()
    with contextlib.suppress(DeviceError):
        await driver.disconnect()
    return receipt

"""Ask a machine who it is. The handshake of a driver decides the dialect; nothing moves.

A USB number says nothing: half of all boards sit behind the same converter. Each driver that may
reach the port tries its own ``connect`` in turn, and the first that is understood has it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from device_bridge.dialects.moonraker import objects_in
from device_bridge.drivers.catalogue import checked, driver_named, drivers
from device_bridge.drivers.moonraker_wire import MoonrakerWire
from device_bridge.drivers.spec import scheme_of
from device_bridge.errors import (
    DeviceError,
    MachineBusyError,
    NotAuthorizedError,
    PortError,
    SilentDeviceError,
)
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceIdentity
from domain.node.states import Execution
from domain.shared.errors import InvalidInputError

ORDER = {
    "serial": ("grbl", "marlin", "reprap"),
    "tcp": ("grbl", "marlin", "reprap"),
    "http": ("moonraker", "octoprint", "prusalink", "mtconnect"),
    "https": ("moonraker", "octoprint", "prusalink", "mtconnect"),
}
"""Who asks first. GRBL's ``?`` is the least that one can ask: one byte, never part of a line."""
TRY_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Who answered. ``limits`` is what a machine tells beside its identity; ``tried`` says of
    each other driver why it is not the one."""

    machine: MachineConfig
    identity: DeviceIdentity
    limits: dict[str, Any] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)


def candidates(port: str, *, folder: Path | None = None, hint: str = "") -> list[str]:
    """The drivers that may speak to a port, in the order of asking."""
    scheme = scheme_of(port)
    if scheme == "person":
        raise InvalidInputError("a person is not probed", field="port")
    known = drivers(folder)
    names = [name for name in ORDER.get(scheme, ()) if name in known]
    if scheme not in ORDER:
        names = [name for name, spec in known.items() if scheme in spec.schemes]
    return sorted(names, key=lambda name: name != hint)


async def probe(
    machine: MachineConfig, dialects: Sequence[str], *, folder: Path | None = None
) -> Probed:
    """The first driver that the machine understands.

    Raises ``PortError`` when the port is somebody else's, ``MachineBusyError`` when a program
    runs, ``NotAuthorizedError`` when a key is wanted, ``SilentDeviceError`` when none fits.
    """
    tried: dict[str, str] = {}
    locked: NotAuthorizedError | None = None
    for dialect in dialects:
        wanted = replace(machine, dialect=dialect)
        try:
            identity = await _greeted(wanted, folder)
        except (PortError, MachineBusyError):
            raise
        except NotAuthorizedError as problem:
            tried[dialect], locked = problem.message, locked or problem
        except (DeviceError, InvalidInputError) as problem:
            tried[dialect] = problem.message
        except TimeoutError:
            tried[dialect] = f"no answer within {TRY_S:g} s"
        else:
            exact = replace(wanted, dialect=exact_dialect(dialect, identity))
            if exact.dialect == "grbl" and identity.capabilities.get("LASER_MODE"):
                exact = replace(exact, options={**exact.options, "laser": "yes"})
            limits = await _limits(exact)
            return Probed(machine=exact, identity=identity, limits=limits, tried=tried)
    if locked is not None:
        raise locked
    told = "; ".join(f"{name}: {why}" for name, why in tried.items())
    raise SilentDeviceError(f"nobody known answers at {machine.port}: {told}")


def exact_dialect(dialect: str, identity: DeviceIdentity) -> str:
    """The driver by what the firmware calls itself: families understand each other's greeting."""
    firmware = identity.firmware.lower()
    if dialect == "grbl" and "grblhal" in firmware:
        return "grblhal"
    if dialect == "marlin" and "reprapfirmware" in firmware:
        return "reprap"
    return dialect


async def _greeted(machine: MachineConfig, folder: Path | None) -> DeviceIdentity:
    spec = driver_named(machine.dialect, folder)
    names = {option.name for option in spec.options}
    fitting = {name: value for name, value in machine.options.items() if name in names}
    driver = spec.make(checked(replace(machine, options=fitting), spec))
    try:
        async with asyncio.timeout(TRY_S):
            identity = await driver.connect()
        if driver.get_status().execution is Execution.ACTIVE:
            raise MachineBusyError("the machine runs a program; ask again when it rests")
        return identity
    finally:
        await driver.disconnect()


async def _limits(machine: MachineConfig) -> dict[str, Any]:
    """What Klipper's configuration says; the others have told all in their greeting."""
    if machine.dialect != "moonraker":
        return {}
    wire = MoonrakerWire(
        machine.port,
        api_key=machine.options.get("api_key", ""),
        heard=lambda _meaning: None,
        broken=lambda _error: None,
    )
    wanted = {"toolhead": ["axis_minimum", "axis_maximum"], "configfile": ["settings"]}
    try:
        with contextlib.suppress(DeviceError):
            await wire.open()
            answer = await wire.call("printer.objects.query", {"objects": wanted})
            found = objects_in(answer.get("status") if isinstance(answer, dict) else None)
            settings = found.get("configfile", {}).get("settings")
            return {
                "toolhead": dict(found.get("toolhead", {})),
                "settings": settings if isinstance(settings, dict) else {},
            }
    finally:
        await wire.close()
    return {}

"""The machines of a bridge, as written in ``machines.json``, and their drivers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device_bridge.drivers.grbl import GrblMachine
from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.meter import PowerMeter
from device_bridge.protocols import DeviceDriver
from device_bridge.transports.serial import SerialTransport
from domain.shared.errors import InvalidInputError

DIALECTS = ("marlin", "grbl")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """One machine: the node it is in the core, its dialect, its port and its meter's port."""

    node_id: str
    name: str
    dialect: str
    port: str
    baudrate: int = 115200
    meter: str = ""
    virtual: bool = False


def read_machines(path: Path) -> list[MachineConfig]:
    """The machines of a file; none when there is no file. Raises ``InvalidInputError``."""
    if not path.exists():
        return []
    try:
        machines = json.loads(path.read_text())["machines"]
        return [_checked(MachineConfig(**machine)) for machine in machines]
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidInputError(f"{path.name} cannot be read: {problem}") from problem


def write_machines(path: Path, machines: list[MachineConfig]) -> None:
    """Replace the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    content: dict[str, Any] = {"machines": [asdict(machine) for machine in machines]}
    fresh.write_text(json.dumps(content, indent=2))
    fresh.replace(path)


def driver_for(machine: MachineConfig) -> DeviceDriver:
    """The driver of a machine's dialect over its serial port."""
    transport = SerialTransport(machine.port, baudrate=machine.baudrate)
    return GrblMachine(transport) if machine.dialect == "grbl" else MarlinPrinter(transport)


def meter_for(machine: MachineConfig) -> PowerMeter | None:
    """The machine's meter, if it has one."""
    return PowerMeter(SerialTransport(machine.meter)) if machine.meter else None


def _checked(machine: MachineConfig) -> MachineConfig:
    if machine.dialect not in DIALECTS:
        raise InvalidInputError(f"unknown dialect {machine.dialect}", field="dialect")
    if not machine.node_id or not machine.port:
        raise InvalidInputError(f"machine {machine.name} lacks node_id or port", field="port")
    return machine

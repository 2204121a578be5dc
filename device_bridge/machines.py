"""The machines of a bridge, as written in ``machines.json``."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from device_bridge.meter import Meter, PowerMeter
from device_bridge.modbus_meter import ModbusMeter
from device_bridge.transports.serial import SerialTransport
from domain.shared.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """One machine: the node it is in the core, its driver, its port and its meter's port.

    ``dialect`` is the driver's name; ``port`` a path or an URL; ``options`` are the driver's own
    settings, secrets among them.
    """

    node_id: str
    name: str
    dialect: str
    port: str
    baudrate: int = 115200
    meter: str = ""
    virtual: bool = False
    options: dict[str, str] = field(default_factory=dict)


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
    """Replace the file as a whole; only its owner may read it."""
    write_private(path, {"machines": [asdict(machine) for machine in machines]})


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file as a whole; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content, indent=2))
        if os.geteuid() == 0:  # root may add a machine to the home of the account that serves it
            home = path.parent.stat()
            os.fchown(descriptor, home.st_uid, home.st_gid)
    fresh.replace(path)


def meter_for(machine: MachineConfig) -> Meter | None:
    """The machine's meter, if it has one: ``modbus://...``, or a virtual one at a path.

    Raises ``InvalidInputError``.
    """
    if machine.meter.startswith("modbus://"):
        return ModbusMeter(machine.meter)
    return PowerMeter(SerialTransport(machine.meter)) if machine.meter else None


def _checked(machine: MachineConfig) -> MachineConfig:
    if not machine.node_id or not machine.port:
        raise InvalidInputError(f"machine {machine.name} lacks node_id or port", field="port")
    options = machine.options
    if not isinstance(options, dict) or not all(isinstance(v, str) for v in options.values()):
        raise InvalidInputError(f"machine {machine.name}: options are words", field="options")
    return machine

"""The bridge's list of machines, changed with care: one machine per port."""

from pathlib import Path

from device_bridge.drivers.catalogue import OWN_FOLDER, checked, driver_named
from device_bridge.drivers.spec import scheme_of
from device_bridge.machines import MachineConfig, meter_for, read_machines, write_machines
from domain.shared.errors import InvalidInputError

FILE = "machines.json"


def check_machine(path: Path, wanted: MachineConfig) -> None:
    """Refuse what the bridge could not take up. Raises ``InvalidInputError``."""
    checked(wanted, driver_named(wanted.dialect, path.with_name(OWN_FOLDER)))
    meter_for(wanted)  # a meter's address is refused now, not when the bridge takes it up
    for other in read_machines(path):
        if other.node_id != wanted.node_id and _same_machine(other, wanted):
            raise InvalidInputError(
                f"{wanted.port} is the port of {other.name} already", field="port"
            )


def take_up(path: Path, wanted: MachineConfig) -> None:
    """Write a machine into the list; a known node gets another port. Raises
    ``InvalidInputError``."""
    check_machine(path, wanted)
    others = [each for each in read_machines(path) if each.node_id != wanted.node_id]
    write_machines(path, [*others, wanted])


def _same_machine(one: MachineConfig, other: MachineConfig) -> bool:
    """A serial port has one machine; behind an address several may answer, told apart by options;
    a person may drive any number."""
    scheme = scheme_of(one.port)
    told_apart = scheme != "serial" and one.options != other.options
    return one.port == other.port and scheme != "person" and not told_apart

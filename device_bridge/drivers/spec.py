"""What a driver says of itself: its name, how its machines are reached, how far it is proven."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver

SCHEMES = ("serial", "tcp", "http", "https", "ws", "wss", "opc.tcp", "shdr", "mqtt", "person")
"""What a port may begin with; a path without ``://`` is ``serial``."""


class Quality(StrEnum):
    """How far a driver is proven."""

    BRONZE = "bronze"
    """Reads status and telemetry."""
    SILVER = "silver"
    """Runs programs, pauses, cancels, survives the loss of its link; passed the suite."""
    GOLD = "gold"
    """Silver, its emergency stop proven under load, and tried on real hardware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting of a driver beside the port. A ``secret`` is never shown again."""

    name: str
    help: str
    secret: bool = False
    default: str = ""


@dataclass(slots=True, kw_only=True)
class Peer:
    """A virtual machine for the certifier: how it is reached, and what can be done to it.

    Programs are text. ``program`` is good and ends within seconds; ``long_program`` runs for 30 s
    or more; ``blocking_program`` soon keeps the machine busy with one command (homing, heating)
    for 30 s or more; ``refused_program`` must not be sent at all. A hook that a peer lacks is
    ``None``: the checks that need it are skipped and say so.
    """

    machine: MachineConfig
    program: str = ""
    long_program: str = ""
    blocking_program: str = ""
    refused_program: str = ""
    starts: Callable[[], int] | None = None
    """Physical starts since the peer began."""
    received: Callable[[], int] | None = None
    """Bytes, or requests that can move something, since the peer began."""
    hot: Callable[[], bool] | None = None
    """Whether a heater has a set-point, or a tool turns."""
    unplug: Callable[[float], None] | None = None
    """Take the link away for so many seconds; what runs in the machine is lost."""
    fail: Callable[[], None] | None = None
    """Refuse one of the next commands of the program with the machine's own error."""
    babble: Callable[[bytes], None] | None = None
    """Say these bytes to the driver, whatever they are."""
    flood: Callable[[float], None] | None = None
    """Report telemetry as fast as the machine can, for so many seconds."""


PeerMaker = Callable[[Path], AbstractAsyncContextManager[Peer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpec:
    """One driver of the catalogue.

    ``peer`` starts a conforming virtual machine in a folder. ``exempt`` names checks of the
    suite that cannot apply, each with the reason.
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    make: Callable[[MachineConfig], DeviceDriver]
    quality: Quality = Quality.BRONZE
    tried_on_hardware: bool = False
    read_only: bool = False
    peer: PeerMaker | None = None
    options: tuple[Option, ...] = ()
    exempt: Mapping[str, str] = field(default_factory=dict)

    def secrets(self) -> frozenset[str]:
        """The names of options that are never shown."""
        return frozenset(option.name for option in self.options if option.secret)


def scheme_of(port: str) -> str:
    """``serial`` for a path, else what stands before ``://``; ``person`` stands alone."""
    scheme, found, _ = port.partition("://")
    if not found:
        return "person" if port == "person" else "serial"
    return scheme.lower()

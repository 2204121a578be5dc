"""What hangs on this computer and on its network. Looking opens no port and asks no machine."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from device_bridge.drivers.spec import scheme_of
from device_bridge.machines import MachineConfig

BY_ID = Path("/dev/serial/by-id")
SERVICES = {
    "_moonraker._tcp.local.": "moonraker",
    "_octoprint._tcp.local.": "octoprint",
    "_prusalink._tcp.local.": "prusalink",
}
"""What printers' servers announce by multicast DNS, and the driver that it hints at."""
LISTEN_S = 3.0
ANSWER_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that may be a machine.

    ``port`` is what ``imewe bridge add`` takes: for USB the name that stays the same. ``serial``
    is the USB serial number; cheap converters have none, and no number says what firmware is
    behind it: ``hint`` is a guess. ``machine`` is the known machine on that port.
    """

    port: str
    kind: str
    says: str = ""
    usb: str = ""
    serial: str = ""
    hint: str = ""
    machine: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def serial_ports(*, by_id: Path = BY_ID) -> list[Found]:
    """Every USB serial port. A line that is not USB cannot be told from nothing: name it."""
    lasting = {os.path.realpath(link): str(link) for link in _links(by_id)}
    return [
        Found(
            port=lasting.get(os.path.realpath(port.device), port.device),
            kind="serial",
            says=port.description or "",
            usb=f"{port.vid:04x}:{port.pid or 0:04x}",
            serial=port.serial_number or "",
        )
        for port in sorted(list_ports.comports(), key=lambda port: str(port.device))
        if port.vid is not None
    ]


def named_ports(ports: Iterable[str]) -> list[Found]:
    """What a person named, a path or an URL."""
    return [Found(port=port, kind="named", says=scheme_of(port)) for port in ports]


async def announced(
    *, listen_s: float = LISTEN_S, interfaces: Sequence[str] | None = None
) -> list[Found]:
    """What announces itself on the local network within so many seconds."""
    # Only who looks for machines loads this library; the bridge itself stays light.
    from zeroconf import InterfaceChoice
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    heard: set[tuple[str, str]] = set()

    def change(*, service_type: str, name: str, **_rest: object) -> None:
        heard.add((service_type, name))

    network = AsyncZeroconf(interfaces=list(interfaces) if interfaces else InterfaceChoice.Default)
    try:
        browser = AsyncServiceBrowser(network.zeroconf, list(SERVICES), handlers=[change])
        await asyncio.sleep(listen_s)
        await browser.async_cancel()
        found = []
        for kind, name in sorted(heard):
            info = AsyncServiceInfo(kind, name)
            if await info.async_request(network.zeroconf, ANSWER_MS):
                address = _address(info.parsed_addresses())
                found.append(_service(kind, name, address=address, port=info.port or 80))
        return found
    finally:
        await network.async_close()


def marked(found: Iterable[Found], machines: Sequence[MachineConfig]) -> list[Found]:
    """Each place once, with the known machine on it; what was named comes first."""
    known = {_place(machine.port): machine.name for machine in machines}
    places: dict[str, Found] = {}
    for each in found:
        place = _place(each.port)
        places.setdefault(place, Found(**{**asdict(each), "machine": known.get(place, "")}))
    return list(places.values())


def _links(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _service(kind: str, name: str, *, address: str, port: int) -> Found:
    label = name.removesuffix(f".{kind}")
    return Found(port=f"http://{address}:{port}", kind="network", says=label, hint=SERVICES[kind])


def _address(addresses: Sequence[str]) -> str:
    """IPv4 when there is one."""
    ordered = sorted(addresses, key=lambda text: ip_address(text.partition("%")[0]).version)
    first = ordered[0] if ordered else ""
    return f"[{first}]" if ":" in first else first


def _place(port: str) -> str:
    return os.path.realpath(port) if scheme_of(port) == "serial" else port.rstrip("/").lower()

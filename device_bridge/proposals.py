"""From what a machine says of itself to what a person may approve. Pure but for the file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from device_bridge.dialects.moonraker import number
from device_bridge.discovery import Found
from device_bridge.machines import MachineConfig, write_private
from device_bridge.probing import Probed
from device_bridge.protocols import DeviceIdentity
from domain.shared.errors import InvalidInputError, NotFoundError

FILE = "proposals.json"
NEEDED = ("process", "materials", "max_size")
PRINTERS = frozenset({"marlin", "reprap", "moonraker", "octoprint", "prusalink"})
MILLS = frozenset({"grbl", "grblhal"})
SLACK = 0.01
"""Sizes and temperatures that differ by less are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A machine that was found and asked, and is no node yet.

    ``profile`` holds only what the machine told; ``missing`` is what a person must add.
    ``node_id`` is set once somebody approved it.
    """

    id: str
    port: str
    driver: str
    name: str
    firmware: str
    baudrate: int = 115200
    options: dict[str, str] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    node_id: str = ""

    @property
    def missing(self) -> list[str]:
        """Fields without which no profile is taken."""
        return [name for name in NEEDED if name not in self.profile]

    def as_json(self) -> dict[str, Any]:
        """For programs, without what may be secret."""
        return {**asdict(self), "options": sorted(self.options), "missing": self.missing}


def proposed(probed: Probed, found: Found | None = None) -> Proposal:
    """The proposal for a machine. Its id stays the same for the same USB number or port."""
    machine = probed.machine
    lasting = f"{found.usb}/{found.serial}" if found and found.serial else machine.port
    host = str(probed.identity.capabilities.get("HOSTNAME", ""))
    name = host or (found.says if found and found.kind == "network" else "")
    return Proposal(
        id=uuid5(NAMESPACE_URL, f"imewe:machine:{lasting}").hex[:8],
        port=machine.port,
        driver=machine.dialect,
        name=name or Path(machine.port).name,
        firmware=probed.identity.firmware,
        baudrate=machine.baudrate,
        options=machine.options,
        capabilities=dict(probed.identity.capabilities),
        profile=profile_from(machine.dialect, probed.identity, probed.limits),
    )


def profile_from(
    dialect: str, identity: DeviceIdentity, limits: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a node's profile that a machine told; what it did not tell is absent."""
    told = identity.capabilities
    profile: dict[str, Any] = {}
    if dialect in PRINTERS:
        profile["process"] = "fdm"
    elif dialect in MILLS:
        profile["process"] = "laser" if told.get("LASER_MODE") else "mill"
    travel = {axis: number(told.get(f"TRAVEL_{axis.upper()}")) for axis in "xyz"}
    if size := _size(travel) or _toolhead_size(limits):
        profile["max_size"] = size
    if top := number(told.get("MAX_S")):
        profile["max_power_s" if told.get("LASER_MODE") else "max_spindle_rpm"] = top
    settings = limits.get("settings", {})
    for field_name, section in (("max_nozzle_c", "extruder"), ("max_bed_c", "heater_bed")):
        part = settings.get(section)
        if isinstance(part, dict) and (hottest := number(part.get("max_temp"))):
            profile[field_name] = hottest
    return profile


def mismatches(told: Mapping[str, Any], registered: Mapping[str, Any]) -> list[str]:
    """Where a registered profile promises more, or other, than the machine told."""
    found = []
    if "process" in told and registered.get("process") not in (None, told["process"]):
        found.append(f"process: registered {registered['process']}, it is {told['process']}")
    for axis, most in told.get("max_size", {}).items():
        claimed = registered.get("max_size", {}).get(axis)
        if claimed is not None and claimed > most * (1 + SLACK):
            found.append(f"max_size {axis}: registered {claimed:g} mm, it travels {most:g} mm")
    for name in ("max_nozzle_c", "max_bed_c", "max_spindle_rpm", "max_power_s"):
        claimed, most = registered.get(name), told.get(name)
        if claimed is not None and most is not None and claimed > most * (1 + SLACK):
            found.append(f"{name}: registered {claimed:g}, the machine allows {most:g}")
    return found


def read_proposals(path: Path) -> list[Proposal]:
    """What was proposed. Raises ``InvalidInputError``."""
    if not path.exists():
        return []
    try:
        return [Proposal(**each) for each in json.loads(path.read_text())["proposals"]]
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidInputError(f"{path.name} cannot be read: {problem}") from problem


def keep_proposals(path: Path, fresh: list[Proposal]) -> list[Proposal]:
    """All proposals; a fresh one stands for an earlier one of the same machine."""
    known = {each.id: each for each in read_proposals(path)} | {each.id: each for each in fresh}
    write_private(path, {"proposals": [asdict(each) for each in known.values()]})
    return list(known.values())


def proposal_named(path: Path, id: str) -> Proposal:
    """One proposal, by the beginning of its id. Raises ``NotFoundError``."""
    found = [each for each in read_proposals(path) if id and each.id.startswith(id)]
    if len(found) != 1:
        raise NotFoundError(f"there is no one proposal {id[:40]}", remedy="imewe bridge propose")
    return found[0]


def machine_of(proposal: Proposal, node_id: str, name: str) -> MachineConfig:
    """The machine of an approved proposal."""
    return MachineConfig(
        node_id=node_id,
        name=name,
        dialect=proposal.driver,
        port=proposal.port,
        baudrate=proposal.baudrate,
        options=proposal.options,
    )


def _toolhead_size(limits: Mapping[str, Any]) -> dict[str, float] | None:
    """What Klipper's axes travel from 0: below 0 lies the edge of the bed, not its plate."""
    highest = limits.get("toolhead", {}).get("axis_maximum")
    if not isinstance(highest, list) or len(highest) < len("xyz"):
        return None
    return _size({axis: number(highest[place]) for place, axis in enumerate("xyz")})


def _size(lengths: Mapping[str, float | None]) -> dict[str, float] | None:
    found = {axis: length for axis, length in lengths.items() if length is not None and length > 0}
    return found if len(found) == len("xyz") else None

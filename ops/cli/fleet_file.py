"""A fleet in one CSV file: one machine a line, each line good as a whole or refused as a whole."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from device_bridge.machines import MachineConfig, read_machines
from domain.node.profile import checked_profile
from domain.shared.checks import named, word
from domain.shared.errors import ImeweError, InvalidInputError
from ops.cli.bridge_drivers import given_options
from ops.cli.bridge_machines import check_machine
from ops.cli.profiles import size_of

MOST_LINES = 2000
EMBEDDED = "local"
DEFAULT_BAUDRATE = 115200
_PLACE = ("name", "driver", "port", "baudrate", "meter", "options", "bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One machine of the file. ``machine`` is ``None`` when its line names no port: it hangs on
    another bridge, or nowhere yet. ``problem`` says why it was refused."""

    number: int
    name: str = ""
    bridge: str = EMBEDDED
    profile: dict[str, Any] = field(default_factory=dict)
    machine: MachineConfig | None = None
    problem: ImeweError | None = None


def read_fleet(text: str, machines: Path) -> list[Line]:
    """The lines of a file, checked against each other and the bridge's list.

    Lists within a field are parted by ``;``. Raises ``InvalidInputError`` when the file as a whole
    is none: no name column, a column that nobody knows, too many lines.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), restkey="", strict=True)
    try:
        columns = [str(name).strip() for name in reader.fieldnames or ()]
        _check_columns(columns)
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as problem:
        raise InvalidInputError(f"this is no CSV file: {problem}", field="file") from problem
    if len(rows) > MOST_LINES:
        raise InvalidInputError(f"more than {MOST_LINES} lines", field="file")
    names: dict[str, int] = {}
    ports: dict[str, int] = {}
    lines = []
    for number, row in rows:
        line = _line(number, row, machines)
        if line.problem is None:
            line = _once(line, names=names, ports=ports)
        lines.append(line)
    return lines


def _check_columns(columns: list[str]) -> None:
    if "name" not in columns:
        raise InvalidInputError("the first line names the columns; name is needed", field="file")
    for column in columns:
        if column not in _PLACE and column not in _PROFILE:
            raise InvalidInputError(
                f"nobody knows the column {column[:40]}; there are "
                f"{', '.join([*_PLACE, *sorted(_PROFILE)])}",
                field=column[:40],
            )


def _line(number: int, row: dict[str, Any], machines: Path) -> Line:
    """A line with its problem, if it has one."""
    name = str(row.get("name") or "").strip()
    try:
        if "" in row:
            raise InvalidInputError("it has more fields than there are columns", field="line")
        given = {key: str(value or "").strip() for key, value in row.items()}
        profile = checked_profile(_profile(given))
        bridge = word("bridge", given.get("bridge") or EMBEDDED)
        machine = _machine(named("name", name), given)
        if machine is not None and bridge != EMBEDDED:
            raise InvalidInputError(
                f"its port is written on bridge {bridge}, not here", field="port"
            )
        if machine is not None:
            known = [each for each in read_machines(machines) if each.name == name]
            check_machine(machines, replace(machine, node_id=known[0].node_id if known else ""))
        return Line(number=number, name=name, bridge=bridge, profile=profile, machine=machine)
    except ImeweError as problem:
        return Line(number=number, name=name, problem=problem)


def _machine(name: str, given: dict[str, str]) -> MachineConfig | None:
    if not given.get("port"):
        return None
    if not given.get("driver"):
        raise InvalidInputError("a port needs a driver", field="driver")
    rate = given.get("baudrate") or str(DEFAULT_BAUDRATE)
    if not rate.isdecimal():
        raise InvalidInputError(f"{rate[:20]!r} is no number", field="baudrate")
    return MachineConfig(
        node_id="",
        name=name,
        dialect=given["driver"],
        port=given["port"],
        baudrate=int(rate),
        meter=given.get("meter", ""),
        options=given_options(_words(given.get("options", ""))),
    )


def _once(line: Line, *, names: dict[str, int], ports: dict[str, int]) -> Line:
    """Refuse what an earlier line has already."""
    port = line.machine.port if line.machine and not line.machine.options else ""
    for value, seen in ((line.name, names), (port, ports)):
        if value in seen and value != "person":
            problem = InvalidInputError(f"line {seen[value]} has {value} already", field="line")
            return Line(number=line.number, name=line.name, problem=problem)
    names[line.name] = line.number
    if port:
        ports[port] = line.number
    return line


def _profile(given: dict[str, str]) -> dict[str, Any]:
    profile = {}
    for column, (name, read) in _PROFILE.items():
        if text := given.get(column, ""):
            profile[name] = read(column, text)
    if given.get("lat") or given.get("lon"):
        profile["location"] = {axis: _number(axis, given.get(axis, "")) for axis in ("lat", "lon")}
    return {name: value for name, value in profile.items() if name not in ("lat", "lon")}


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(f"{text[:20]!r} is no number", field=column) from None


def _list(_column: str, text: str) -> list[str]:
    return _words(text)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(";") if word.strip()]


def _text(_column: str, text: str) -> str:
    return text


def _size(_column: str, text: str) -> dict[str, float]:
    return size_of(text)


_Reader = Callable[[str, str], Any]
_PROFILE: dict[str, tuple[str, _Reader]] = {
    "process": ("process", _text),
    "materials": ("materials", _list),
    "size": ("max_size", _size),
    "inspection": ("inspection", _text),
    "origin": ("origin", _text),
    "forbidden_codes": ("forbidden_codes", _list),
    "lat": ("lat", _number),
    "lon": ("lon", _number),
    **{
        name: (name, _number)
        for name in (
            "precision_mm",
            "max_nozzle_c",
            "max_bed_c",
            "energy_efficiency",
            "tools",
            "max_spindle_rpm",
            "max_power_s",
        )
    },
}
"""By column: the profile's field and how it is read."""

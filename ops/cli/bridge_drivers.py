"""`imewe bridge drivers`, and the options that a machine's driver takes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from device_bridge.drivers.catalogue import OWN_FOLDER, driver_named, drivers
from device_bridge.drivers.spec import DriverSpec
from device_bridge.machines import MachineConfig
from domain.shared.errors import InvalidInputError
from ops.cli.homes import Home
from ops.cli.reach import AsJson, show
from ops.settings import Settings

HIDDEN = "***"
UNTRIED = "never tried on hardware"


def list_drivers(home: Home = None, *, as_json: AsJson = False) -> None:
    """List the drivers there are, how far each is proven and how its machines are reached.

    Example: imewe bridge drivers
    """
    found = drivers(Settings.from_environment(home).home / OWN_FOLDER, unusable=_complain)
    show(
        [_told(spec) for spec in found.values()],
        as_json=as_json,
        headings=("name", "machines", "quality", "", "reached by", "options"),
        rows=[
            (
                spec.name,
                spec.title,
                spec.quality,
                "" if spec.tried_on_hardware else UNTRIED,
                ", ".join(spec.schemes),
                ", ".join(option.name for option in spec.options),
            )
            for spec in found.values()
        ],
    )


def given_options(words: list[str]) -> dict[str, str]:
    """``key=value`` words as a table; ``key=@file`` reads the value, so that a secret need not
    stand in the shell's history. Raises ``InvalidInputError``."""
    found: dict[str, str] = {}
    for word in words:
        name, given, value = word.partition("=")
        if not given or not name:
            raise InvalidInputError("an option is key=value", field="option")
        found[name] = _from_file(Path(value[1:])) if value.startswith("@") else value
    return found


def shown_machine(machine: MachineConfig, folder: Path) -> dict[str, Any]:
    """A machine for the eye: what may be secret is hidden, everything if its driver is gone."""
    try:
        secrets = driver_named(machine.dialect, folder).secrets()
    except InvalidInputError:
        secrets = frozenset(machine.options)
    hidden = {name: HIDDEN if name in secrets else value for name, value in machine.options.items()}
    return {**asdict(machine), "options": hidden}


def _complain(problem: str) -> None:
    typer.echo(f"imewe: {problem}", err=True)


def _from_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInputError(f"{path} cannot be read: {problem}", field="option") from problem


def _told(spec: DriverSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "quality": spec.quality,
        "tried_on_hardware": spec.tried_on_hardware,
        "read_only": spec.read_only,
        "schemes": list(spec.schemes),
        "options": [asdict(option) for option in spec.options],
    }

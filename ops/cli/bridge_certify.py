"""`imewe bridge certify`: whether a driver does what the bridge relies on."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from device_bridge.certify.check import State, Verdict
from device_bridge.certify.suite import (
    CHECKS,
    certify,
    certify_machine,
    claims_too_much,
    earned,
)
from device_bridge.drivers.catalogue import OWN_FOLDER, driver_named
from device_bridge.drivers.spec import DriverSpec
from device_bridge.machines import MachineConfig
from domain.shared.errors import InvalidInputError
from ops.cli.bridge_drivers import given_options
from ops.cli.homes import Home
from ops.cli.reach import AsJson, show
from ops.settings import Settings

COLOURS = {
    State.PASSED: "green",
    State.FAILED: "red",
    State.SKIPPED: "yellow",
    State.EXEMPT: "yellow",
}


def certify_driver(
    driver: Annotated[
        str | None, typer.Argument(help="Its name: imewe bridge drivers lists them.")
    ] = None,
    port: Annotated[
        str, typer.Option(help="A real machine's path or URL; else the driver's virtual machine.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="key=value for the real machine; key=@file.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this check; may be repeated.")
    ] = None,
    program: Annotated[
        Path | None, typer.Option(help="With --moves: a program of a few minutes to run.")
    ] = None,
    baudrate: Annotated[int, typer.Option(help="Bits per second of a real port.")] = 115200,
    home: Home = None,
    *,
    moves: Annotated[
        bool, typer.Option("--moves", help="Let a real machine move, heat and be stopped.")
    ] = False,
    list_checks: Annotated[
        bool, typer.Option("--list", help="Name the checks, one a line.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Certify a driver: each check gets a fresh machine and says in one line what was seen.

    Without a port it runs on the virtual machine that the driver brings. With one, only what
    moves nothing is checked unless --moves is given. Exits 1 when a check failed, or when the
    driver claims a quality that it did not earn on its virtual machine.

    Example: imewe bridge certify marlin
    """
    if list_checks:
        told = [{"check": check.name, "says": check.says} for check in CHECKS]
        typer.echo(json.dumps(told) if as_json else "\n".join(c.name for c in CHECKS))
        return
    if driver is None:
        raise InvalidInputError("which driver?", field="driver", remedy="imewe bridge drivers")
    spec = driver_named(driver, Settings.from_environment(home).home / OWN_FOLDER)
    machine = _machine(spec, port, given_options(option or []), baudrate) if port else None
    text = _program(program, moves=moves) if machine else ""
    with tempfile.TemporaryDirectory(prefix="imewe-certify-") as folder:
        verdicts = asyncio.run(
            _verdicts(
                spec,
                machine,
                Path(folder),
                only=frozenset(only or []),
                program=text,
                moves=moves,
                console=Console(stderr=as_json, highlight=False),
            )
        )
    _tell(spec, verdicts, whole=machine is None and not only, as_json=as_json)


async def _verdicts(
    spec: DriverSpec,
    machine: MachineConfig | None,
    folder: Path,
    *,
    only: frozenset[str],
    program: str,
    moves: bool,
    console: Console,
) -> list[Verdict]:
    """Each verdict is shown as it comes."""
    if machine is None:
        coming = certify(spec, folder, only=only)
    else:
        coming = certify_machine(spec, machine, folder, program=program, moves=moves, only=only)
    found: list[Verdict] = []
    async for verdict in coming:
        found.append(verdict)
        line = Text(f"{verdict.state:8}", style=COLOURS[verdict.state])
        console.print(
            line + Text(f" {verdict.name:20} {verdict.text}", style="default"), soft_wrap=True
        )
    return found


def _machine(spec: DriverSpec, port: str, options: dict[str, str], baudrate: int) -> MachineConfig:
    return MachineConfig(
        node_id="certify",
        name="certify",
        dialect=spec.name,
        port=port,
        baudrate=baudrate,
        options=options,
    )


def _program(path: Path | None, *, moves: bool) -> str:
    if moves and path is None:
        raise InvalidInputError("--moves needs a --program to run", field="program")
    if path is None:
        return ""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInputError(f"{path} cannot be read: {problem}", field="program") from problem


def _tell(spec: DriverSpec, verdicts: list[Verdict], *, whole: bool, as_json: bool) -> None:
    """The sum of it, and the exit code."""
    quality = earned(spec, verdicts) if whole else None
    counts = {state: sum(v.state is state for v in verdicts) for state in State}
    told: dict[str, Any] = {
        "driver": spec.name,
        "claims": spec.quality,
        "earned": quality,
        "tried_on_hardware": spec.tried_on_hardware,
        "verdicts": [verdict.as_json() for verdict in verdicts],
    }
    claim = f"claims {spec.quality}" + (f", earned {quality or 'nothing'}" if whole else "")
    row = (spec.name, *(str(counts[state]) for state in State), claim)
    headings = ("driver", *State, "")
    show(told, as_json=as_json, headings=headings, rows=[row])
    if counts[State.FAILED] or (whole and claims_too_much(spec, quality)):
        raise typer.Exit(1)

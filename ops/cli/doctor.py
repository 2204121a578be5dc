"""`imewe doctor`: what this machine lacks, and what to do about it."""

import importlib.metadata
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from domain.shared.errors import ImeweError
from ops.cli.homes import Home
from ops.cli.refusals import EXIT_REFUSED
from ops.hosting.account import server_account
from ops.hosting.binaries import nats_program, postgres_programs
from ops.hosting.home import lock_holder, make_home
from ops.messaging.space import RESERVE
from ops.settings import CHECKOUT, Settings

OUR_NAMES = (
    "domain",
    "commands",
    "projections",
    "gateways",
    "device_bridge",
    "ml",
    "schema",
    "ops",
)
LOW_SPACE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``needed`` is false for what only some features want."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def doctor(
    home: Home = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check this machine; exit code 1 when something needed is missing.

    Example: imewe doctor
    """
    findings = list(examine(Settings.from_environment(home)))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings]))
    else:
        console = Console(highlight=False)
        for each in findings:
            mark = "[green]ok[/]" if each.ok else "[red]no[/]" if each.needed else "[yellow]--[/]"
            console.print(f"{mark}  {each.name}: {each.detail}")
    if any(each.needed and not each.ok for each in findings):
        raise typer.Exit(EXIT_REFUSED)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which a start would trip over them."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(name="python", ok=sys.version_info >= (3, 11), detail=version)
    yield package_names()
    yield _attempt("home", lambda: str(make_home(settings.home)))
    yield _attempt("account", lambda: _account(settings))
    yield _attempt("nats-server", lambda: _runs_nats(settings))
    yield _attempt("postgres", lambda: _runs_postgres(settings))
    holder = lock_holder(settings.home)
    yield Finding(name="lock", ok=True, detail=f"held by pid {holder}" if holder else "free")
    yield space(settings.home)
    for program, why in (
        ("prusa-slicer", "slices STL files; G-code works without it"),
        ("chromium", "drives the browser tests"),
    ):
        path = shutil.which(program)
        yield Finding(name=program, ok=path is not None, detail=path or why, needed=False)


def package_names() -> Finding:
    """PyPI has packages named ``schema`` and ``ops``, which would take the place of ours."""
    strangers = []
    for name in OUR_NAMES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or CHECKOUT not in Path(spec.origin).parents:
            strangers.append(f"{name} comes from {spec.origin if spec else 'nowhere'}")
    for name, shippers in importlib.metadata.packages_distributions().items():
        others = {each for each in shippers if each.lower() != "imewe"}
        if name in OUR_NAMES and others:
            strangers.append(f"{name} is also shipped by {', '.join(sorted(others))}")
    detail = "; ".join(strangers) or "all eight are ours"
    return Finding(name="package names", ok=not strangers, detail=detail)


def space(home: Path) -> Finding:
    """Room on the home's disk."""
    folder = home if home.exists() else Path("/")
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < LOW_SPACE:
        text += f" (the log refuses below {RESERVE >> 20} MiB)"
    return Finding(name="disk", ok=free >= RESERVE * 2, detail=text)


def _attempt(name: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, ok=True, detail=work())
    except (ImeweError, OSError) as error:
        return Finding(name=name, ok=False, detail=str(error))


def _runs_nats(settings: Settings) -> str:
    return str(nats_program(settings.home, server_account(settings.server_account)))


def _runs_postgres(settings: Settings) -> str:
    return str(postgres_programs(settings.home, server_account(settings.server_account)))


def _account(settings: Settings) -> str:
    account = server_account(settings.server_account)
    return account.name if account else "this user"

"""`imewe up`: everything on this machine."""

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, cast

import typer
from rich.console import Console

from ops.cli.homes import Home
from ops.observability.logging import configure
from ops.settings import Settings
from ops.supervisor import Ready, services, supervise

SHOP = "virtual-shop"


def up(
    home: Home = None,
    *,
    virtual_shop: Annotated[
        bool,
        typer.Option(
            "--virtual-shop",
            help="Also run virtual machines; the demo's four where there are none.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the services' logs here.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Start the embedded servers and all services; Ctrl-C stops them.

    Example: imewe up --home /srv/imewe --json
    """
    settings = Settings.from_environment(home)
    configure(settings.log_format, service="supervisor")
    units = services(settings, verbose=verbose)
    if virtual_shop:
        prepare = {SHOP: _preparation(settings)}
        units += services(settings, [SHOP], verbose=verbose, prepare=prepare)
    supervise(settings, units, print_json if as_json else print_welcome)


def _preparation(settings: Settings) -> Callable[[], None]:
    """Imported only here: a supervisor of real machines need not carry a client of its gateway."""
    prepare = vars(importlib.import_module("ops.demo.opening"))["preparation"]
    return cast(Callable[[], None], prepare(settings))


def print_json(ready: Ready) -> None:
    """One line for programs."""
    typer.echo(json.dumps(asdict(ready)))


def print_welcome(ready: Ready) -> None:
    """A few lines for people."""
    console = Console(highlight=False)
    console.print(f"[bold]Imewe is up[/bold]  {ready.url}")
    console.print(f"  GraphQL   {ready.graphql}")
    console.print(f"  home      {ready.home}")
    console.print(f"  log in    {ready.admin['mail']}  (password: {ready.home}/admin.json)")
    console.print("Ctrl-C stops it.")

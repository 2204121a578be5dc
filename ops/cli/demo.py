"""`imewe demo`: the whole system with a virtual shop and real models."""

import contextlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ops.cli.client import Client
from ops.cli.refusals import EXIT_REFUSED
from ops.demo.given_models import demand_models
from ops.demo.play import play
from ops.demo.report import as_markdown, is_complete, show
from ops.demo.shop import furnish
from ops.demo.system import Running, running
from ops.hosting.home import refuse_in_use
from ops.settings import Settings


def demo(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Your own STL, OBJ or G-code files.", exists=True, dir_okay=False),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="The demo's folder; by default one of its own.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write the report to this Markdown file.")
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="End when the parts are made.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")
    ] = False,
) -> None:
    """Models in, finished parts out, on virtual machines.

    Example: imewe demo --once bracket.stl
    """
    settings = Settings.from_environment(home)
    if home is None:
        settings = replace(settings, home=settings.home.with_name(f"{settings.home.name}-demo"))
    demand_models(models or [])
    refuse_in_use(settings.home)
    console = Console(stderr=as_json, highlight=False)
    with contextlib.ExitStack() as cleanup:
        with console.status("Starting the log, the database, the gateway and the bridge"):
            system = cleanup.enter_context(running(settings))
        made = _perform(system, models or [], console)
        if report:
            report.write_text(as_markdown(made))
        if as_json:
            typer.echo(json.dumps(made))
        else:
            show(made, console)
        if not once:
            _stay(system, console)
    if not is_complete(made):
        raise typer.Exit(EXIT_REFUSED)


def _perform(system: Running, models: list[Path], console: Console) -> dict[str, Any]:
    with Client.signed_in(system.url, mail=system.mail, password=system.password) as portal:
        names = furnish(portal, system.home)
        system.open_shop()
        console.print(f"The shop is open: {len(names)} virtual machines. {system.url}/graphql")
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            return play(portal, models, names, lambda state: live.update(_progress(state, names)))


def _progress(state: dict[str, Any], names: dict[str, str]) -> Table:
    table = Table(title=f"Imewe demo: {state['status']}")
    for heading in ("part", "state", "virtual machine", "progress"):
        table.add_column(heading)
    for part in state["parts"]:
        build = part["builds"][-1] if part["builds"] else None
        table.add_row(
            part["name"],
            part["productionStatus"],
            names.get(build["nodeId"], "") if build else "",
            f"{build['percent']} % ({build['status']})" if build else "",
        )
    return table


def _stay(system: Running, console: Console) -> None:
    console.print(f"Still open at {system.url}/graphql, signed in as {system.mail}.")
    console.print(f"The password is in {system.home}/admin.json. Ctrl-C stops everything.")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()

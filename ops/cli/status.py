"""`imewe status`: which services run."""

import asyncio
import json
from typing import Annotated

import nats.errors
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.homes import Home
from ops.cli.refusals import EXIT_REFUSED
from ops.cli.tables import print_table
from ops.hosting.errors import NotRunningError
from ops.hosting.home import lock_holder
from ops.messaging.connection import connect, nats_url
from ops.messaging.services import RunningService, ping_all
from ops.observability.logging import configure
from ops.settings import Settings

PING_S = 1.0
"""A busy service answers late, and the notary's answer is the one that tells a flaw."""
REMEDY = """\
Nothing is signed any more; commands are still taken, and nothing of what they add is proved.
Find out what happened to the log (imewe audit status, imewe audit verify), stop the system,
and make a new home from the last good backup (imewe restore)."""


def status(
    home: Home = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the services that answer; exit code 1 when none does, or when the log has a flaw.

    Example: imewe status --json
    """
    settings = Settings.from_environment(home)
    configure(settings.log_format, service="cli")
    found = asyncio.run(running(settings))
    supervisor = lock_holder(settings.home)
    if as_json:
        shown = [
            {"name": each.name, "pid": each.pid, "version": each.version, "id": each.id}
            for each in found
        ]
        answer = {"home": str(settings.home), "supervisor": supervisor, "services": shown}
        typer.echo(json.dumps({**answer, "flaw": flaw_of(found)}))
    else:
        _show(settings, supervisor, found)
    if not found or flaw_of(found):
        raise typer.Exit(EXIT_REFUSED)


async def running(settings: Settings) -> list[RunningService]:
    """Every service that answers a ping on this installation's server."""
    try:
        client = await connect(settings, "supervisor", allow_reconnect=False, connect_timeout=3)
    except (OSError, nats.errors.Error) as error:
        raise NotRunningError(
            f"no nats-server at {nats_url(settings)}: {error}", remedy="start one: imewe up"
        ) from error
    try:
        return await ping_all(client, wait=PING_S)
    finally:
        await client.close()


def flaw_of(found: list[RunningService]) -> str | None:
    """What the notary found wrong with the log, if it did: the event and why."""
    return next((each.metadata["flaw"] for each in found if "flaw" in each.metadata), None)


def _show(settings: Settings, supervisor: int | None, found: list[RunningService]) -> None:
    console = Console()
    console.print(f"home {settings.home}, supervisor {supervisor or 'not running'}")
    table = Table("service", "pid", "version", "id")
    for each in found:
        table.add_row(each.name, str(each.pid), each.version, each.id)
    print_table(table, console)
    if flaw := flaw_of(found):
        console.print(Text(f"FLAW IN THE LOG, {flaw}", style="bold red"))
        console.print(REMEDY)

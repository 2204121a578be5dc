"""`imewe projections`: the read models, how far they are, and rebuilding them from the log."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from domain.shared.errors import InvalidInputError
from ops.cli.refusals import EXIT_REFUSED
from ops.hosting.errors import NotRunningError
from ops.projecting.places import Connection
from ops.projecting.rebuild import rebuild as rebuild_one
from ops.projecting.status import ParkedKey, ProjectionStatus, parked, statuses
from ops.projecting.wiring import connected, log_reader
from ops.settings import Settings
from projections.catalogue import CATALOGUE, projection_named

app = typer.Typer(help="Read models: list, status, rebuild.", no_args_is_help=True)

Home = Annotated[Path | None, typer.Option(help="The installation's folder.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("list")
def list_projections(*, as_json: Json = False) -> None:
    """Name the projections of this version and their tables.

    Example: imewe projections list
    """
    shown = [
        {"name": p.name, "version": p.version, "tables": [t.name for t in p.tables]}
        for p in CATALOGUE
    ]
    if as_json:
        typer.echo(json.dumps(shown))
        return
    table = Table("projection", "version", "tables")
    for each in CATALOGUE:
        table.add_row(each.name, str(each.version), ", ".join(t.name for t in each.tables))
    Console().print(table)


@app.command()
def status(home: Home = None, *, as_json: Json = False) -> None:
    """Show positions, the log's end and parked aggregates; exit code 1 when one is stale.

    Example: imewe projections status --json
    """
    settings = Settings.from_environment(home)
    with _database(settings) as connection, log_reader(settings) as reader:
        found, left = statuses(connection), parked(connection)
        last = reader.last_position()
    if as_json:
        answer = {
            "log": last,
            "projections": [asdict(each) for each in found],
            "parked": [asdict(each) for each in left],
        }
        typer.echo(json.dumps(answer))
    else:
        _show(found, left, last)
    if left:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def rebuild(
    name: Annotated[str | None, typer.Argument(help="Which one; see `list`.")] = None,
    home: Home = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: Json = False,
) -> None:
    """Fold the whole log into fresh tables and let readers look there; nobody has to wait.

    Example: imewe projections rebuild jobs
    """
    if (name is None) != everything:
        raise InvalidInputError("name one projection, or say --all", field="name")
    settings = Settings.from_environment(home)
    chosen = CATALOGUE if name is None else (projection_named(name),)
    made = []
    for projection in chosen:
        began = time.monotonic()
        with _database(settings) as connection, log_reader(settings) as reader:
            rebuilt = rebuild_one(connection, reader, projection)
        took = round(time.monotonic() - began, 3)
        made.append({**asdict(rebuilt), "seconds": took})
        if not as_json:
            typer.echo(
                f"{rebuilt.name}: {rebuilt.events} events in {took:g} s, now {rebuilt.schema}"
                f" at position {rebuilt.position}, {rebuilt.parked} parked"
            )
    if as_json:
        typer.echo(json.dumps(made))


@contextmanager
def _database(settings: Settings) -> Iterator[Connection]:
    try:
        connection = connected(settings)
    except psycopg.OperationalError as error:
        raise NotRunningError(
            f"the database does not answer: {str(error).strip()}", remedy="imewe up"
        ) from error
    with connection:
        yield connection


def _show(found: list[ProjectionStatus], left: list[ParkedKey], last: int) -> None:
    console = Console()
    console.print(f"the log ends at {last}")
    table = Table("projection", "version", "schema", "position", "behind", "parked")
    for each in found:
        behind = str(last - each.position)
        table.add_row(
            each.name,
            str(each.version),
            each.schema or "not run yet",
            str(each.position),
            behind,
            str(each.parked),
        )
    console.print(table)
    for key in left:
        console.print(
            f"{key.projection}: {key.key} is stale since {key.position}"
            f" ({key.skipped} later events skipped): {key.reason}",
            markup=False,
        )

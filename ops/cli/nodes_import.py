"""`imewe nodes import`: a whole fleet by one file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import ImeweError, InvalidInputError
from ops.cli.bridge_machines import FILE, take_up
from ops.cli.client import Client
from ops.cli.fleet_file import Line, read_fleet
from ops.cli.homes import chosen_home
from ops.cli.joining import configure, known_id, register
from ops.cli.reach import AsJson, opened, show
from ops.settings import Settings


def import_nodes(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A CSV file; its first line names the columns.", exists=True)
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, change nothing.")
    ] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="New machines take no work until staff resumes them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the machines of a CSV file nodes. Said again it changes only what the file changed.

    A line is taken as a whole or refused as a whole, and the others go on. Exits 1 when one was
    refused. Columns: name; driver, port, baudrate, meter, options, bridge; process, materials,
    size, and the other fields of a profile. Lists within a field are parted by semicolons.

    Example: imewe nodes import fleet.csv --dry-run
    """
    machines = Settings.from_environment(chosen_home(ctx)).home / FILE
    lines = read_fleet(_text(file), machines)
    with opened(ctx) as client:
        told = list(_each(client, lines, machines, dry_run=dry_run, hold=hold))
    bad = sum(bool(each["problem"]) for each in told)
    headings = ("line", "name", "state", "node", "problem")
    show(
        {"lines": told, "refused": bad, "taken": len(told) - bad},
        as_json=as_json,
        headings=headings,
        rows=[[each[heading] for heading in headings] for each in told],
    )
    if bad:
        raise typer.Exit(1)


def _each(
    client: Client, lines: list[Line], machines: Path, *, dry_run: bool, hold: bool
) -> Iterator[dict[str, Any]]:
    for line in lines:
        node_id, state, problem = "", "refused", line.problem
        if problem is None:
            try:
                known = known_id(client, line.name)
                node_id, state = known or "", "known" if known else "new"
                if not dry_run:
                    node_id = _take(client, line, machines, known=known, hold=hold)
            except ImeweError as refusal:
                state, problem = "refused", refusal
        yield {
            "line": line.number,
            "name": line.name,
            "state": state,
            "node": node_id,
            "problem": f"{problem.field}: {problem.message}" if problem else "",
        }


def _take(client: Client, line: Line, machines: Path, *, known: str | None, hold: bool) -> str:
    node_id = known or register(client, name=line.name, bridge=line.bridge, hold=hold)
    configure(client, node_id, line.profile)
    if line.machine is not None:
        take_up(machines, replace(line.machine, node_id=node_id))
    return node_id


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInputError(f"{file} cannot be read: {problem}", field="file") from problem

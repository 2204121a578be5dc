"""`imewe restore`: make an installation from a backup."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.recovery.restore import restore as restore_all
from ops.settings import Settings

LOOK = (
    "Before you start it: what was done after {taken_at} is not known here. Look at every machine,"
    " and clear its bed."
)


def restore(
    backup: Annotated[Path, typer.Argument(help="The folder that `imewe backup` made.")],
    home: Annotated[Path, typer.Option(help="A new folder for the installation.")],
    keys: Annotated[
        Path | None, typer.Option(help="Where the keys are; by default BACKUP/keys.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make an installation from a backup and check every event and file of it.

    Example: imewe restore /backups/tuesday --keys /safe/tuesday --home /srv/imewe
    """
    console = Console(stderr=True, quiet=as_json, highlight=False)

    def told(what: str, count: int) -> None:
        console.print(f"{what}: {count:,}")

    done = asyncio.run(
        restore_all(
            Settings.from_environment(home), backup, keys=keys or backup / "keys", told=told
        )
    )
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    plain = Console(highlight=False)
    plain.print(f"restored and checked: {done.events} events, {done.artifacts} files, in {home}")
    plain.print(LOOK.format(taken_at=done.taken_at))
    plain.print("The read models are folded from the log at the first start: imewe up")

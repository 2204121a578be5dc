"""`imewe backup`: copy an installation while it goes on."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.cli.homes import Home
from ops.recovery.backup import back_up
from ops.settings import Settings


def backup(
    output: Annotated[Path, typer.Argument(help="A new folder.")],
    keys: Annotated[
        Path | None,
        typer.Option(help="Where the keys go; by default OUTPUT/keys. Keep them elsewhere."),
    ] = None,
    home: Home = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Copy log, artifacts and keys, each apart; nobody has to stop working.

    Example: imewe backup /backups/tuesday --keys /safe/tuesday
    """
    console = Console(stderr=True, quiet=as_json, highlight=False)

    def told(name: str, size: int) -> None:
        console.print(f"{name}: {size:,} bytes")

    manifest = asyncio.run(
        back_up(Settings.from_environment(home), output, keys=keys or output / "keys", told=told)
    )
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    Console(highlight=False).print(
        f"backed up {manifest.last_sequence} events to {output}; the keys are in"
        f" {keys or output / 'keys'}: without them no personal data of this backup opens"
    )

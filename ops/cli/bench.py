"""`imewe bench`: measure, side by side where there is a peer."""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from domain.shared.errors import InvalidInputError
from ops.bench.result import BenchResult, machine

BENCHES = {
    "store": "ops.bench.store",
    "projecting": "ops.bench.projecting",
    "rebuild": "ops.bench.rebuild",
    "asof": "ops.bench.asof",
    "streaming": "ops.bench.streaming",
    "serial": "ops.bench.serial",
    "telemetry": "ops.bench.telemetry",
    "gateway": "ops.bench.gateway_load",
    "rest": "ops.bench.rest",
    "verify": "ops.bench.verify",
    "estop": "ops.bench.estop",
    "demo": "ops.bench.first_part",
}


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(BENCHES)}.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Also write the table to this Markdown file.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure; each bench starts what it needs in a folder of its own. Takes minutes.

    Example: imewe bench store --json
    """
    console = Console(stderr=as_json, highlight=False)
    results: list[BenchResult] = []
    for name in names or list(BENCHES):
        if name not in BENCHES:
            raise InvalidInputError(f"there is no bench {name}; there are {', '.join(BENCHES)}")
        with (
            console.status(f"Measuring {name}"),
            tempfile.TemporaryDirectory(prefix="imewe-bench-") as folder,
        ):
            Path(folder).chmod(0o711)  # the servers' account must be able to enter
            results += vars(importlib.import_module(BENCHES[name]))["run"](Path(folder))
    table = "\n".join(
        ["# Benches", "", f"Machine: {machine()}.", "", *(each.as_markdown() for each in results)]
    )
    if write:
        write.write_text(table)
    if as_json:
        shown = {"machine": machine(), "results": [each.as_json() for each in results]}
        typer.echo(json.dumps(shown))
    else:
        console.print(Markdown(table))

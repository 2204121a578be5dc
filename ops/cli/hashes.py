"""`imewe projections hashes`: what the read models are, to compare with a replay elsewhere."""

import json
from dataclasses import asdict
from typing import Any

import typer

from ops.cli.moments import AsOf, moment
from ops.cli.reach import AsJson, opened
from ops.cli.replay import show_states
from ops.projecting.comparing import ModelState

HASHES = """subscription($asOf: AsOf) { projectionHashes(asOf: $asOf) {
  name version position rows parked hash } }"""


def hashes(ctx: typer.Context, as_of: AsOf = None, *, as_json: AsJson = False) -> None:
    """Print the state hash of every read model, all at one moment, through the gateway.

    `imewe replay` prints the same for an export of the log. A model that is at a later position
    than another has seen more events: compare at one position, with --as-of.

    Example: imewe projections hashes --as-of 4711
    """
    found: list[ModelState] = []
    with opened(ctx) as client:
        for message in client.subscribe(HASHES, {"asOf": moment(as_of)}):
            told: dict[str, Any] = message["projectionHashes"]
            if told["hash"] is None:
                typer.echo(f"{told['name']}: {told['rows']:,} rows so far", err=True)
            else:
                found.append(ModelState(**{**told, "position": int(told["position"])}))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
    else:
        show_states(found)

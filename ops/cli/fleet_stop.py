"""`imewe nodes stop --all`: halt the whole fleet through the core."""

from typing import Any

import typer

from domain.shared.errors import ImeweError
from ops.cli.client import Client
from ops.cli.reach import nodes_of, opened, show

UNCONFIRMED = 3
"""The exit code when a machine did not say that it halted, or the list may lack machines."""
STOP_ALL = """mutation { emergencyStopAll { problems { code message field remedy }
  stops { nodeId bridge outcome nativeText latencyMs roundTripMs } } }"""
NAMES = "query { nodes(first: 100) { edges { node { id name } } } }"


def stop_fleet(ctx: typer.Context, *, as_json: bool) -> None:
    """Stop first, look up names after."""
    with opened(ctx) as client:
        payload = client.execute(STOP_ALL)["emergencyStopAll"]
        names = {} if as_json else _names(client)
    rows = [
        (
            names.get(each["nodeId"], each["nodeId"]),
            each["bridge"],
            each["outcome"],
            each["roundTripMs"],
            each["nativeText"][:60],
        )
        for each in payload["stops"]
    ]
    headings = ("machine", "bridge", "stop", "ms", "it says")
    show(payload, as_json=as_json, headings=headings, rows=rows)
    for problem in payload["problems"]:
        typer.echo(f"{problem['message']}. {problem['remedy']}", err=True)
    if payload["problems"] or any(each["outcome"] != "CONFIRMED" for each in payload["stops"]):
        raise typer.Exit(UNCONFIRMED)


def _names(client: Client) -> dict[str, Any]:
    """None when they cannot be read: what became of the stop is told in any case."""
    try:
        nodes = client.execute(NAMES)["nodes"]
    except ImeweError:
        return {}
    return {node["id"]: node["name"] for node in nodes_of(nodes)}

"""`imewe nodes`: the machines of the fleet."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.reach import AsJson, done, grams, group, nodes_of, opened, show

FIELDS = """id name bridge virtual status connected execution bedClear held stopped
  run { buildId jobId programName percent }"""
LIST = f"query {{ nodes(first: 100) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
SHOW = f"""query($id: ID!) {{ node(id: $id) {{ {FIELDS} availability emergencyStop holdReason
  disconnectReason identity epoch uptime buildsEnded profileVersion position
  conditions {{ level type code text }}
  capabilities {{ types materials maxSize {{ x y z }} precision maxNozzleC maxBedC inspection }}
  lots {{ id materialType lot freeMg reservedMg }} }} }}"""
_ANSWER = "nodeId position problems { code message field remedy }"
REGISTER = f"""mutation($name: String!, $bridge: String!, $virtual: Boolean!) {{
  registerNode(name: $name, bridge: $bridge, virtual: $virtual) {{ {_ANSWER} }} }}"""
CONFIGURE = f"""mutation($id: ID!, $profile: NodeProfileInput!) {{
  configureNode(nodeId: $id, profile: $profile) {{ {_ANSWER} }} }}"""
CLEAR = f"mutation($id: ID!) {{ clearBed(nodeId: $id) {{ {_ANSWER} }} }}"
PAUSE = f"""mutation($id: ID!, $reason: String!) {{
  pauseNode(nodeId: $id, reason: $reason) {{ {_ANSWER} }} }}"""
RESUME = f"mutation($id: ID!) {{ resumeNode(nodeId: $id) {{ {_ANSWER} }} }}"
STOP = """mutation($id: ID!) { emergencyStop(nodeId: $id) {
  nodeId receipt { confirmed nativeText latencyMs roundTripMs }
  problems { code message field remedy } } }"""
CLEAR_STOP = f"mutation($id: ID!) {{ clearEmergencyStop(nodeId: $id) {{ {_ANSWER} }} }}"

app = group("The machines of the fleet.")
NodeId = Annotated[str, typer.Argument(help="The machine's id.")]


@app.command("list")
def list_nodes(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List machines.

    Example: imewe nodes list
    """
    with opened(ctx) as client:
        found = nodes_of(client.execute(LIST)["nodes"])
    rows = [
        (
            node["id"],
            f"{node['name']} (virtual)" if node["virtual"] else node["name"],
            node["status"],
            _links(node),
            "clear" if node["bedClear"] else "not clear",
            f"{node['run']['programName']} {node['run']['percent']} %" if node["run"] else "",
        )
        for node in found
    ]
    headings = ("id", "name", "state", "machine", "bed", "runs")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command("show")
def show_node(ctx: typer.Context, node_id: NodeId, *, as_json: AsJson = False) -> None:
    """Show a machine with its capabilities and its material.

    Example: imewe nodes show 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    with opened(ctx) as client:
        node = client.execute(SHOW, {"id": node_id})["node"]
    if node is None:
        raise NotFoundError(f"there is no machine {node_id}")
    shown = {**node, "run": node["run"] and node["run"]["programName"], "machine": _links(node)}
    shown["lots"] = ", ".join(
        f"{lot['materialType']} {lot['lot']}: {grams(lot['freeMg'])} free" for lot in node["lots"]
    )
    show(node, as_json=as_json, headings=("what", "value"), rows=shown.items())


@app.command()
def register(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="How you call it.")],
    bridge: Annotated[str, typer.Option(help="The bridge beside it.")] = "local",
    *,
    virtual: Annotated[bool, typer.Option("--virtual", help="A simulated machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a machine known.

    Example: imewe nodes register prusa-1
    """
    with opened(ctx) as client:
        payload = client.command(REGISTER, {"name": name, "bridge": bridge, "virtual": virtual})
    done(payload, f"Registered: {payload['nodeId']}", as_json=as_json)


@app.command()
def configure(
    ctx: typer.Context,
    node_id: NodeId,
    profile: Annotated[Path, typer.Argument(help="A JSON file.", exists=True, dir_okay=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Put a profile into effect: process, materials, maxSize {x, y, z} in mm, and more.

    Example: imewe nodes configure 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70 printer.json
    """
    try:
        wanted = json.loads(profile.read_text())
    except ValueError as error:
        raise InvalidInputError(f"{profile} is not JSON: {error}", field="profile") from error
    with opened(ctx) as client:
        payload = client.command(CONFIGURE, {"id": node_id, "profile": wanted})
    done(payload, "Configured", as_json=as_json)


@app.command("clear-bed")
def clear_bed(ctx: typer.Context, node_id: NodeId, *, as_json: AsJson = False) -> None:
    """Say that a machine's bed is clear. Look first: the next build may start at once.

    Example: imewe nodes clear-bed 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    _send(ctx, CLEAR, {"id": node_id}, "Its bed is clear", as_json=as_json)


@app.command()
def pause(
    ctx: typer.Context,
    node_id: NodeId,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Give a machine no new work; a running build pauses.

    Example: imewe nodes pause 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70 --reason "belt is loose"
    """
    variables = {"id": node_id, "reason": reason}
    _send(ctx, PAUSE, variables, "It takes no new work", as_json=as_json)


@app.command()
def resume(ctx: typer.Context, node_id: NodeId, *, as_json: AsJson = False) -> None:
    """Let a machine take work again.

    Example: imewe nodes resume 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    _send(ctx, RESUME, {"id": node_id}, "It takes work again", as_json=as_json)


@app.command()
def stop(ctx: typer.Context, node_id: NodeId, *, as_json: AsJson = False) -> None:
    """Emergency stop: halt a machine now.

    Example: imewe nodes stop 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    with opened(ctx) as client:
        payload = client.command(STOP, {"id": node_id})
    receipt = payload["receipt"]
    words = "The machine confirmed" if receipt["confirmed"] else "Stopped, not confirmed: go look"
    if as_json:
        done(payload, "", as_json=True)
    else:
        typer.echo(f"{words} after {receipt['roundTripMs']} ms. {receipt['nativeText']}".strip())


@app.command("clear-stop")
def clear_stop(ctx: typer.Context, node_id: NodeId, *, as_json: AsJson = False) -> None:
    """Say that a stopped machine is safe again.

    Example: imewe nodes clear-stop 0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70
    """
    _send(ctx, CLEAR_STOP, {"id": node_id}, "The stop is cleared", as_json=as_json)


def _send(
    ctx: typer.Context, document: str, variables: dict[str, Any], words: str, *, as_json: bool
) -> None:
    with opened(ctx) as client:
        payload = client.command(document, variables)
    done(payload, words, as_json=as_json)


def _links(node: dict[str, Any]) -> str:
    if node["stopped"]:
        return "EMERGENCY STOP"
    if not node["connected"]:
        return "not connected"
    return f"{node['execution']}, held" if node["held"] else str(node["execution"])

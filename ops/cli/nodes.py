"""`imewe nodes`: the machines of the fleet."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.corrections import correct_build, down, withdraw_down
from ops.cli.fleet_stop import stop_fleet
from ops.cli.moments import AsOf, moment, tell
from ops.cli.nodes_import import import_nodes
from ops.cli.reach import AsJson, done, grams, group, machine_id, nodes_of, opened, show

FIELDS = """id name bridge virtual status connected execution bedClear held stopped
  run { buildId jobId programName percent }"""
LIST = f"""query($then: AsOf) {{ nodes(first: 100, asOf: $then) {{ asOf {{ position time }}
  edges {{ node {{ {FIELDS} }} }} }} }}"""
SHOW = f"""query($id: ID!, $then: AsOf) {{ node(id: $id, asOf: $then) {{
  asOf {{ position time }} {FIELDS} availability emergencyStop holdReason
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
CLEAR_FAULT = """mutation($id: ID!) { clearFault(nodeId: $id) {
  nodeId execution problems { code message field remedy } } }"""

app = group("The machines of the fleet.")
Named = Annotated[str, typer.Argument(help="The machine's name or id.")]


@app.command("list")
def list_nodes(ctx: typer.Context, as_of: AsOf = None, *, as_json: AsJson = False) -> None:
    """List machines.

    Example: imewe nodes list
    """
    with opened(ctx) as client:
        answer = client.execute(LIST, {"then": moment(as_of)})["nodes"]
    found = nodes_of(answer)
    tell(answer["asOf"])
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
def show_node(
    ctx: typer.Context, node: Named, as_of: AsOf = None, *, as_json: AsJson = False
) -> None:
    """Show a machine with its capabilities and its material.

    Example: imewe nodes show prusa-1
    """
    with opened(ctx) as client:
        wanted = {"id": machine_id(client, node), "then": moment(as_of)}
        found = client.execute(SHOW, wanted)["node"]
    if found is None:
        raise NotFoundError(f"there {'was' if as_of else 'is'} no machine {node}")
    tell(found["asOf"])
    shown = {**found, "run": found["run"] and found["run"]["programName"]}
    shown["machine"] = _links(found)
    shown["lots"] = ", ".join(
        f"{lot['materialType']} {lot['lot']}: {grams(lot['freeMg'])} free" for lot in found["lots"]
    )
    shown.pop("asOf")
    show(found, as_json=as_json, headings=("what", "value"), rows=shown.items())


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
    node: Named,
    process: Annotated[str, typer.Option(help="fdm, mill or laser.")] = "",
    materials: Annotated[str, typer.Option(help="For example PLA,PETG.")] = "",
    size: Annotated[str, typer.Option(help="The largest piece in mm: 250x210x210.")] = "",
    inspection: Annotated[str, typer.Option(help="person, or automatic.")] = "",
    profile: Annotated[
        Path | None,
        typer.Option(help="A JSON file with these and the rest.", exists=True, dir_okay=False),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Put a profile into effect: what the machine can make.

    Example: imewe nodes configure prusa-1 --process fdm --materials PLA,PETG --size 250x210x210
    """
    wanted = _profile(profile)
    if process:
        wanted["process"] = process
    if materials:
        wanted["materials"] = [each.strip() for each in materials.split(",")]
    if size:
        wanted["maxSize"] = _size(size)
    if inspection:
        wanted["inspection"] = inspection
    with opened(ctx) as client:
        variables = {"id": machine_id(client, node), "profile": wanted}
        payload = client.command(CONFIGURE, variables)
    done(payload, "Configured", as_json=as_json)


@app.command("clear-bed")
def clear_bed(ctx: typer.Context, node: Named, *, as_json: AsJson = False) -> None:
    """Say that a machine's bed is clear. Look first: the next build may start at once.

    Example: imewe nodes clear-bed prusa-1
    """
    _send(ctx, node, CLEAR, "Its bed is clear", as_json=as_json)


@app.command()
def pause(
    ctx: typer.Context,
    node: Named,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Give a machine no new work; a running build pauses.

    Example: imewe nodes pause prusa-1 --reason "belt is loose"
    """
    _send(ctx, node, PAUSE, "It takes no new work", as_json=as_json, reason=reason)


@app.command()
def resume(ctx: typer.Context, node: Named, *, as_json: AsJson = False) -> None:
    """Let a machine take work again.

    Example: imewe nodes resume prusa-1
    """
    _send(ctx, node, RESUME, "It takes work again", as_json=as_json)


@app.command()
def stop(
    ctx: typer.Context,
    node: Annotated[str | None, typer.Argument(help="The machine's name or id.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every machine you may stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Emergency stop: halt a machine, or all of them, now.

    Example: imewe nodes stop prusa-1
    """
    if (node is None) != everything:
        raise InvalidInputError("name a machine, or say --all", field="node")
    if node is None:
        stop_fleet(ctx, as_json=as_json)
        return
    with opened(ctx) as client:
        payload = client.command(STOP, {"id": machine_id(client, node)})
    receipt = payload["receipt"]
    words = "The machine confirmed" if receipt["confirmed"] else "Stopped, not confirmed: go look"
    if as_json:
        done(payload, "", as_json=True)
    else:
        typer.echo(f"{words} after {receipt['roundTripMs']} ms. {receipt['nativeText']}".strip())


@app.command("clear-stop")
def clear_stop(ctx: typer.Context, node: Named, *, as_json: AsJson = False) -> None:
    """Say that a stopped machine is safe again; its bridge resets it.

    Example: imewe nodes clear-stop prusa-1
    """
    _send(ctx, node, CLEAR_STOP, "The stop is cleared", as_json=as_json)


@app.command("clear-fault")
def clear_fault(ctx: typer.Context, node: Named, *, as_json: AsJson = False) -> None:
    """Say that a machine that halted itself may be reset and used again. Look first.

    Example: imewe nodes clear-fault prusa-1
    """
    with opened(ctx) as client:
        payload = client.command(CLEAR_FAULT, {"id": machine_id(client, node)})
    if as_json:
        done(payload, "", as_json=True)
    else:
        typer.echo(f"The fault is cleared; the machine says {payload['execution']}")


def _send(
    ctx: typer.Context, node: str, document: str, words: str, *, as_json: bool, **more: str
) -> None:
    with opened(ctx) as client:
        payload = client.command(document, {"id": machine_id(client, node), **more})
    done(payload, words, as_json=as_json)


def _profile(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"{path} is no JSON object: {error}", field="profile") from error


def _size(text: str) -> dict[str, float]:
    try:
        x, y, z = (float(length) for length in text.lower().split("x"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no size such as 250x210x210") from None
    return {"x": x, "y": y, "z": z}


def _links(node: dict[str, Any]) -> str:
    if node["stopped"]:
        return "EMERGENCY STOP"
    if not node["connected"]:
        return "not connected"
    return f"{node['execution']}, held" if node["held"] else str(node["execution"])


app.command("down")(down)
app.command("withdraw-down")(withdraw_down)
app.command("correct-build")(correct_build)
app.command("import")(import_nodes)

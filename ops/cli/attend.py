"""`imewe attend`: machines without a wire, driven by a person."""

from typing import Annotated, Any

import typer

from domain.shared.errors import NotFoundError
from ops.cli.client import Client
from ops.cli.reach import AsJson, group, machine_id, milligrams, opened, show

TASKS = """{ attendedTasks { silent tasks { nodeId nodeName buildId programName state ask
  instructions file artifactDigest waitingS } } }"""
ATTEND = """mutation($node: ID!, $build: ID!, $says: Attendance!, $reason: String, $mg: Int53) {
  attendMachine(nodeId: $node, buildId: $build, says: $says, reason: $reason, materialMg: $mg) {
    nodeId fresh execution problems { code message field remedy } } }"""
HEADINGS = ("build", "machine", "program", "state", "asked for", "do", "file")

app = group("Machines without a wire: a person starts, finishes and scraps.")
Build = Annotated[str, typer.Argument(help="The build, as in imewe attend list.")]
At = Annotated[
    str | None, typer.Option("--node", help="Its machine; needed once the build has ended.")
]


@app.command("list")
def list_tasks(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List what waits for a person.

    Example: imewe attend list
    """
    with opened(ctx) as client:
        told = client.execute(TASKS)["attendedTasks"]
    rows = [
        (
            task["buildId"],
            task["nodeName"],
            task["programName"],
            task["state"],
            f"{task['waitingS']:.0f} s",
            " · ".join(filter(None, (task["ask"], task["instructions"]))),
            task["file"],
        )
        for task in told["tasks"]
    ]
    show(told, as_json=as_json, headings=HEADINGS, rows=rows)
    for bridge in told["silent"]:
        typer.echo(f"bridge {bridge} does not answer: its tasks are missing", err=True)


@app.command()
def start(ctx: typer.Context, build: Build, node: At = None, *, as_json: AsJson = False) -> None:
    """Say that you start a build: first this, then the machine's own button.

    Example: imewe attend start 4b7e4a52-8a2c-5d6f-8f5e-2f8c1d7e9a10
    """
    _say(ctx, build, node, "START", "Start the machine now", as_json=as_json)


@app.command()
def finish(
    ctx: typer.Context,
    build: Build,
    node: At = None,
    material: Annotated[str | None, typer.Option(help="What it used: 12.4g, if weighed.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say that a build is done as it should be. Then take it out and clear the bed.

    Example: imewe attend finish 4b7e4a52-8a2c-5d6f-8f5e-2f8c1d7e9a10 --material 12.4g
    """
    used = milligrams(material) if material else None
    words = "Finished; when the bed is empty: imewe nodes clear-bed"
    _say(ctx, build, node, "FINISH", words, as_json=as_json, mg=used)


@app.command()
def scrap(
    ctx: typer.Context,
    build: Build,
    reason: Annotated[str, typer.Option(help="What happened.")],
    node: At = None,
    material: Annotated[str | None, typer.Option(help="What it used: 12.4g, if weighed.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say that a build ended otherwise: it failed, or you stopped it when you were asked to.

    Example: imewe attend scrap 4b7e4a52-8a2c-5d6f-8f5e-2f8c1d7e9a10 --reason "came off the plate"
    """
    used = milligrams(material) if material else None
    _say(ctx, build, node, "SCRAP", "Scrapped", as_json=as_json, reason=reason, mg=used)


@app.command()
def pause(ctx: typer.Context, build: Build, node: At = None, *, as_json: AsJson = False) -> None:
    """Say that the machine holds.

    Example: imewe attend pause 4b7e4a52-8a2c-5d6f-8f5e-2f8c1d7e9a10
    """
    _say(ctx, build, node, "PAUSE", "Paused", as_json=as_json)


@app.command()
def resume(ctx: typer.Context, build: Build, node: At = None, *, as_json: AsJson = False) -> None:
    """Say that the machine goes on.

    Example: imewe attend resume 4b7e4a52-8a2c-5d6f-8f5e-2f8c1d7e9a10
    """
    _say(ctx, build, node, "RESUME", "Going on", as_json=as_json)


def _say(
    ctx: typer.Context,
    build: str,
    node: str | None,
    says: str,
    words: str,
    *,
    as_json: bool,
    **more: Any,
) -> None:
    with opened(ctx) as client:
        place = machine_id(client, node) if node else _machine_of(client, build)
        told = {"node": place, "build": build, "says": says, **more}
        payload = client.command(ATTEND, told)
    if as_json:
        show(payload, as_json=True)
    else:
        typer.echo(words if payload["fresh"] else "That was said before; nothing more was done")


def _machine_of(client: Client, build: str) -> str:
    for task in client.execute(TASKS)["attendedTasks"]["tasks"]:
        if task["buildId"] == build:
            return str(task["nodeId"])
    raise NotFoundError(
        f"build {build} waits for nobody",
        remedy="imewe attend list; of a build that has ended name the machine: --node",
    )

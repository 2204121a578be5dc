"""`imewe events show|tree|state|diff|explain`: what was, what changed it, and why."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.client import Client
from ops.cli.homes import chosen_home
from ops.cli.moments import AsOf, moment
from ops.cli.reach import AsJson, nodes_of, opened, show
from ops.cli.tables import print_table
from ops.cli.telling import DIFF, EXPLAIN, FLEET, POSITION, STATE, TREE, short, tell_decision
from ops.processing.reexecuting import Reexecution, reexecute
from ops.projecting.wiring import log_reader
from ops.settings import Settings

EventId = Annotated[str, typer.Argument(help="The event's id, or its position in the log.")]
Kind = Annotated[str, typer.Argument(help="For example job, node or inventory.")]
Id = Annotated[str, typer.Argument(help="The object's id.")]
MARKS = {"COMMAND": "bold", "EVENT": "", "ACKNOWLEDGEMENT": "green", "OUTSIDE": "dim"}
PAGE = 100
LAST_POSITION = (1 << 63) - 1
"""No log reaches it, and a question after it is still a question."""


def show_event(ctx: typer.Context, event: EventId, *, as_json: AsJson = False) -> None:
    """Show one event with its envelope and everything it says.

    Example: imewe events show 4711
    """
    with opened(ctx) as client:
        found = _explained(client, event)
    if as_json:
        typer.echo(json.dumps({"words": found["words"], **found["event"]}))
        return
    console = Console()
    console.print(Text(found["words"], style="bold"))
    for name, value in found["event"].items():
        if name != "body":
            line = Text(f"{name:<16}", style="dim").append(str(value), style="default")
            console.print(line, soft_wrap=True)
    console.print_json(data=found["event"]["body"])


def show_tree(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(help="An event's id or position.")] = None,
    *,
    job: Annotated[str | None, typer.Option(help="The whole story of this order.")] = None,
    story: Annotated[str | None, typer.Option(help="Everything of this correlation id.")] = None,
    first: Annotated[int, typer.Option(help="Events at most, up to 5000.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show what led to what, from a command to what the machines acknowledged.

    Example: imewe events tree --job 0f8b6c1e-...
    """
    if sum(each is not None for each in (event, job, story)) != 1:
        raise InvalidInputError("name one event, or --job, or --story", field="event")
    with opened(ctx) as client:
        of = {"jobId": job} if job else {"correlationId": story}
        if event is not None:
            of = {"eventId": _event_id(client, event)}
        tree = client.execute(TREE, {"of": of, "first": first})["causationTree"]
    if not tree["nodes"]:
        raise NotFoundError("there is no such story", remedy="imewe events list")
    if as_json:
        typer.echo(json.dumps(tree))
        return
    _print_tree(tree)


def show_state(
    ctx: typer.Context, kind: Kind, id: Id, as_of: AsOf = None, *, as_json: AsJson = False
) -> None:
    """Show an object as it was, folded from its events alone.

    Example: imewe events state node 0f8b6c1e-... --as-of 2026-01-12T02:13:00Z
    """
    with opened(ctx) as client:
        asked = {"kind": kind, "id": id, "then": moment(as_of)}
        found = client.execute(STATE, asked)["stateAt"]
    if found is None:
        raise NotFoundError(f"there was no {kind} {id}", field="id")
    if as_json:
        typer.echo(json.dumps(found))
        return
    console = Console()
    console.print(
        Text(f"{kind} {found['status']}, version {found['version']}, position {found['position']}")
    )
    console.print(Text(f"{found['occurredAt']}  {found['hash']}", style="dim"))
    console.print_json(data=found["state"])


def show_diff(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="For example node; without an id, all of them.")] = "",
    id: Annotated[str | None, typer.Argument(help="The object's id.")] = None,
    *,
    since: Annotated[str, typer.Option("--from", help="The earlier moment: position or time.")],
    to: Annotated[str | None, typer.Option("--to", help="The later one; else the present.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two moments, and which event changed it.

    Example: imewe events diff node 0f8b6c1e-... --from 4711 --to 2026-01-13T08:00:00Z
    """
    asked = {"kind": kind, "id": id, "from": _moment(since, "from"), "to": _moment(to, "to")}
    with opened(ctx) as client:
        found = _whole_diff(client, asked) if id is None else client.execute(DIFF, asked)["diff"]
    changed = nodes_of(found["aggregates"])
    if as_json:
        typer.echo(json.dumps({"from": found["from"], "to": found["to"], "changed": changed}))
        return
    typer.echo(f"From position {found['from']} to {found['to']}: {len(changed)} changed")
    if id is not None:
        for each in changed:
            _print_differences(each)
    elif changed:
        headings = ("kind", "id", "events", "before", "after")
        rows = [
            (c["kind"], c["id"], c["events"], _status(c["before"]), _status(c["after"]))
            for c in changed
        ]
        show(changed, as_json=False, headings=headings, rows=rows)


def explain(
    ctx: typer.Context,
    event: EventId,
    *,
    reexecute_it: Annotated[
        bool, typer.Option("--reexecute", help="Make the decision again from the home's log.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say why an event happened and what came of it; of a decision, on what grounds.

    Example: imewe events explain 4711 --reexecute
    """
    with opened(ctx) as client:
        found = _explained(client, event)
    again = _again(ctx, int(found["event"]["position"])) if reexecute_it else None
    if as_json:
        typer.echo(json.dumps({**found, "reexecution": again.as_json() if again else None}))
        return
    console = Console()
    _print_explanation(console, found)
    if found["decision"]:
        tell_decision(console, found["decision"])
    if again:
        console.print(Text(again.told(), style="green" if again.same else "red"))


def _again(ctx: typer.Context, position: int) -> Reexecution:
    settings = Settings.from_environment(chosen_home(ctx))
    with log_reader(settings) as reader, Progress(transient=True) as bar:
        task = bar.add_task("reading the log", total=position)
        return reexecute(reader, position, progress=lambda at: bar.update(task, completed=at))


def _explained(client: Client, event: str) -> dict[str, Any]:
    found = client.execute(EXPLAIN, {"id": _event_id(client, event)})["explain"]
    if found is None:
        raise NotFoundError(f"there is no event {event}", remedy="imewe events list")
    return dict(found)


def _event_id(client: Client, event: str) -> str:
    """The id of an event by its id or its position."""
    if not event.isdecimal():
        return event
    asked = {"after": str(min(max(0, int(event) - 1), LAST_POSITION))}
    for found in nodes_of(client.execute(POSITION, asked)["eventHistory"]):
        if found["position"] == event:
            return str(found["eventId"])
    raise NotFoundError(f"there is no event at position {event}", remedy="imewe events list")


def _whole_diff(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """Every page, as one."""
    found: dict[str, Any] = client.execute(FLEET, {**asked, "first": PAGE})["diff"]
    page = found["aggregates"]["pageInfo"]
    fixed = {**asked, "to": {"position": found["to"]}, "first": PAGE}
    while page["hasNextPage"]:
        more = client.execute(FLEET, {**fixed, "after": page["endCursor"]})["diff"]["aggregates"]
        found["aggregates"]["edges"] += more["edges"]
        page = more["pageInfo"]
    return found


def _moment(text: str | None, field: str) -> dict[str, str] | None:
    try:
        return moment(text)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, field=field, remedy=error.remedy) from error


def _status(state: dict[str, Any] | None) -> str:
    return "(not there)" if state is None else str(state["status"])


def _print_tree(tree: dict[str, Any]) -> None:
    console = Console()
    branches: dict[str, Tree] = {}
    roots: list[Tree] = []
    for node in tree["nodes"]:
        line = Text(node["words"], style=MARKS[node["link"]])
        event = node["event"]
        where = f"  {event['topic']} {event['position']}" if event else f" {node['id']}"
        line.append(f"{where}  {short(node['actor'])}  {node['at']}", style="dim")
        above = branches.get(node["parentId"] or "")
        branches[node["id"]] = above.add(line) if above else Tree(line)
        if above is None:
            roots.append(branches[node["id"]])
    for root in roots:
        console.print(root)
    if tree["truncated"]:
        console.print(Text("... and more: ask for more with --first", style="yellow"))


def _print_differences(changed: dict[str, Any]) -> None:
    table = Table("path", "before", "after", "times", "by", "event")
    for each in changed["differences"]:
        event = each["event"]
        table.add_row(
            Text(each["path"]),
            Text("" if each["how"] == "ADDED" else _brief(each["before"])),
            Text("" if each["how"] == "REMOVED" else _brief(each["after"])),
            str(each["changes"]),
            Text(short(event["actor"])),
            Text(f"{event['topic']} {event['position']}"),
        )
    print_table(table)


def _print_explanation(console: Console, found: dict[str, Any]) -> None:
    event, begun = found["event"], found["beginning"]
    console.print(Text(found["words"], style="bold"))
    console.print(
        Text(
            f"{event['topic']} at position {event['position']}, {event['occurredAt']}", style="dim"
        )
    )
    if begun:
        who = begun["actorName"] or short(begun["actor"])
        console.print(Text(f"It began with a command of {who} at {begun['at']}:"))
    for depth, each in enumerate(found["chain"], 1):
        position = each["event"]["position"]
        console.print(Text(f"{'  ' * min(depth, 20)}{each['words']}  ({position})"))
    for heading, rows in (("It led to:", "ledTo"), ("It was the occasion of:", "occasionOf")):
        if found[rows]:
            console.print(Text(heading))
        for each in found[rows]:
            console.print(Text(f"  {each['words']}  ({each['event']['position']})"))
    if found["more"]:
        console.print(Text("  ... and more"))


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= PAGE else f"{text[: PAGE - 3]}..."

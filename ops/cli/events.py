"""`imewe events`: the log as it was recorded."""

import json
from typing import Annotated

import typer

from ops.cli import explaining
from ops.cli.exporting import export
from ops.cli.reach import AsJson, group, nodes_of, opened, show

FIELDS = "position topic kind aggregateId version actor occurredAt recordedAt hash body"
LIST = f"""query($first: Int!, $after: Position, $id: ID, $kind: String!, $newest: Boolean!) {{
  eventHistory(first: $first, afterSequence: $after, aggregateId: $id, kind: $kind,
    newestFirst: $newest) {{ edges {{ node {{ {FIELDS} }} }} }} }}"""
TAIL = f"""subscription($after: Position, $kinds: [String!]) {{
  eventTail(afterSequence: $after, kinds: $kinds) {{ {FIELDS} }} }}"""

app = group("The log as it was recorded, and what follows from it.")
app.command("show")(explaining.show_event)
app.command("tree")(explaining.show_tree)
app.command("state")(explaining.show_state)
app.command("diff")(explaining.show_diff)
app.command("explain")(explaining.explain)
app.command("export")(export)


@app.command("list")
def list_events(
    ctx: typer.Context,
    first: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 50,
    after: Annotated[str | None, typer.Option(help="Only behind this position.")] = None,
    about: Annotated[str | None, typer.Option(help="Only about this object.")] = None,
    kind: Annotated[str, typer.Option(help="For example job.")] = "",
    *,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """List events in the order of the log.

    Example: imewe events list --kind job --newest
    """
    wanted = {"first": first, "after": after, "id": about, "kind": kind, "newest": newest}
    with opened(ctx) as client:
        found = nodes_of(client.execute(LIST, wanted)["eventHistory"])
    rows = [
        (e["position"], e["occurredAt"], e["topic"], e["aggregateId"], e["actor"]) for e in found
    ]
    headings = ("position", "at", "event", "about", "by")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command()
def tail(
    ctx: typer.Context,
    after: Annotated[str | None, typer.Option(help="From behind this position; else now.")] = None,
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="For example job.")] = None,
    count: Annotated[int, typer.Option(help="End after so many; 0: never.")] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line for every event.")] = False,
) -> None:
    """Follow the log; Ctrl-C ends it.

    Example: imewe events tail --kind job --kind build
    """
    with opened(ctx) as client:
        followed = client.subscribe(TAIL, {"after": after, "kinds": kinds})
        for number, message in enumerate(followed, 1):
            event = message["eventTail"]
            words = f"{event['position']}  {event['occurredAt']}  {event['topic']}"
            typer.echo(json.dumps(event) if as_json else f"{words}  {event['aggregateId']}")
            if number == count:
                return

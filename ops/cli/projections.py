"""`imewe projections`: the read models, and building them anew beside the ones in use."""

from typing import Annotated, Any

import typer

from domain.shared.errors import InvalidInputError
from ops.cli.hashes import hashes
from ops.cli.reach import AsJson, group, opened, show
from ops.cli.refusals import EXIT_REFUSED
from ops.cli.waiting import STATUS, finished

PLAN = """query($name: String!) { projectionPlan(name: $name) {
  name live liveVersion releaseVersion livePosition events eventsPerS measuredBy seconds
  liveBytes diskBytes freeBytes candidate previous leftovers steps } }"""
PARKED = """query($name: String!) { parkedKeys(name: $name) {
  projection key position reason skipped } }"""
DIFF = """query($name: String!, $of: String!, $first: Int!, $after: Int!) {
  projectionDiff(name: $name, of: $of, first: $first, after: $after) {
    live candidate position
    tables { of added removed changed columnsAdded columnsRemoved }
    rows { number of kind key withheld changes { column before after }
      event { position topic aggregateId actor at } } } }"""

app = group("Read models: look, build anew, compare, switch, roll back.")
app.command()(hashes)

Name = Annotated[str, typer.Argument(help="The projection; see `list`.")]


@app.command("list")
def list_projections(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Name the projections, their schemas and what is done to them.

    Example: imewe projections list
    """
    with opened(ctx) as client:
        found = client.execute(STATUS)["projections"]["projections"]
    rows = [
        (each["name"], built["schema"], built["version"], built["state"], built["position"],
         built["startedBy"], built["error"])
        for each in found
        for built in each["builds"]
    ]  # fmt: skip
    headings = ("projection", "schema", "version", "state", "position", "by", "error")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command()
def status(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show positions, the log's end and parked objects; exit code 1 when one is stale.

    Example: imewe projections status --json
    """
    with opened(ctx) as client:
        found = client.execute(STATUS)["projections"]
    end = int(found["logPosition"])
    rows = [
        (each["name"], each["version"], each["schema"] or "not run yet", each["position"],
         max(0, end - int(each["position"])), each["parked"], _state(each["operation"]))
        for each in found["projections"]
    ]  # fmt: skip
    headings = ("projection", "version", "schema", "position", "behind", "parked", "last done")
    show(found, as_json=as_json, headings=headings, rows=rows)
    if any(each["parked"] for each in found["projections"]):
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def plan(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Say what building one anew would do: events, time, disk, what is there already.

    Example: imewe projections plan jobs
    """
    with opened(ctx) as client:
        found = client.execute(PLAN, {"name": name})["projectionPlan"]
    rows = [(key, ", ".join(v) if isinstance(v, list) else v) for key, v in found.items()]
    show(found, as_json=as_json, headings=("what", "value"), rows=rows)


@app.command()
def build(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Fold the log into a candidate beside the one in use, which goes on being read.

    Example: imewe projections build jobs
    """
    _do(ctx, "buildProjection", name, as_json=as_json)


@app.command()
def diff(
    ctx: typer.Context,
    name: Name,
    *,
    of: Annotated[str, typer.Option(help="One table only.")] = "",
    first: Annotated[int, typer.Option(help="Rows shown of a table, 0 to 100.")] = 10,
    after: Annotated[int, typer.Option(help="Go on behind this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the candidate with the one in use; `--after` pages through the last comparison.

    Example: imewe projections diff jobs --of jobs
    """
    with opened(ctx) as client:
        if not after:
            finished(client, "diffProjection", {"name": name}, as_json=as_json)
        asked = {"name": name, "of": of, "first": first, "after": after}
        found = client.execute(DIFF, asked)["projectionDiff"]
    if as_json:
        show(found, as_json=True)
        return
    typer.echo(f"{found['live']} and {found['candidate']} at position {found['position']}")
    show(
        found,
        as_json=False,
        headings=("table", "added", "removed", "changed", "new columns", "gone columns"),
        rows=[
            (t["of"], t["added"], t["removed"], t["changed"], *map(", ".join, _columns(t)))
            for t in found["tables"]
        ],
    )
    for row in found["rows"]:
        _show_row(row)


@app.command()
def switch(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Let readers look at the candidate; the one before is kept up to date for a rollback.

    Example: imewe projections switch jobs
    """
    _do(ctx, "switchProjection", name, as_json=as_json)


@app.command()
def rollback(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Let readers look at the schema before again.

    Example: imewe projections rollback jobs
    """
    _do(ctx, "rollbackProjection", name, as_json=as_json)


@app.command()
def drop(
    ctx: typer.Context,
    name: Name,
    *,
    schema: Annotated[str, typer.Option(help="Which, where there are several.")] = "",
    as_json: AsJson = False,
) -> None:
    """Drop a schema that is not in use, once nobody reads it any more.

    Example: imewe projections drop jobs
    """
    _do(ctx, "dropProjectionSchema", name, as_json=as_json, schema=schema)


@app.command()
def rebuild(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Which one; see `list`.")] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build, switch and drop in one; nobody has to wait.

    Example: imewe projections rebuild jobs
    """
    if bool(name) == everything:
        raise InvalidInputError("name one projection, or say --all", field="name")
    with opened(ctx) as client:
        found = client.execute(STATUS)["projections"]["projections"] if everything else []
        made = [
            finished(client, "rebuildProjection", {"name": each}, as_json=as_json)
            for each in ([name] if name else [each["name"] for each in found])
        ]
    show(
        made,
        as_json=as_json,
        headings=("projection", "schema", "position", "events", "seconds", "parked"),
        rows=[
            (m["name"], m["schema"], m["position"], m["events"], round(m["seconds"], 3),
             m["parked"])
            for m in made
        ],
    )  # fmt: skip


@app.command()
def parked(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="One projection's only.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List objects with an event that could not be folded, and why.

    Example: imewe projections parked jobs
    """
    with opened(ctx) as client:
        found = client.execute(PARKED, {"name": name})["parkedKeys"]
    headings = ("projection", "id", "position", "skipped", "reason")
    rows = [(p["projection"], p["key"], p["position"], p["skipped"], p["reason"]) for p in found]
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command()
def retry(
    ctx: typer.Context,
    name: Name,
    key: Annotated[str, typer.Argument(help="One object only.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Fold the events of parked objects again, once the fault is repaired.

    Example: imewe projections retry jobs
    """
    with opened(ctx) as client:
        done = finished(client, "retryParked", {"name": name, "key": key}, as_json=as_json)
    rows = [(each["key"], each["position"], each["reason"]) for each in done["left"]]
    if not as_json:
        typer.echo(f"{len(done['gone_on'])} go on, {len(rows)} stay parked")
    if rows or as_json:
        show(done, as_json=as_json, headings=("id", "position", "reason"), rows=rows)
    if rows:
        raise typer.Exit(EXIT_REFUSED)


def _do(ctx: typer.Context, mutation: str, name: str, *, as_json: bool, **more: str) -> None:
    with opened(ctx) as client:
        done = finished(client, mutation, {"name": name, **more}, as_json=as_json)
    words = ", ".join(f"{key} {value}" for key, value in done.items() if key != "name")
    if as_json:
        show(done, as_json=True)
    else:
        typer.echo(f"{name}: {words}")


def _state(operation: dict[str, Any] | None) -> str:
    return f"{operation['verb']} {operation['state'].lower()}" if operation else ""


def _columns(table: dict[str, Any]) -> tuple[list[str], list[str]]:
    return table["columnsAdded"], table["columnsRemoved"]


def _show_row(row: dict[str, Any]) -> None:
    key = ", ".join(f"{name} {value}" for name, value in row["key"].items())
    typer.echo(f"{row['of']} {row['number']}: {row['kind'].lower()} {key}")
    if row["withheld"]:
        typer.echo("    of another organisation")
    for cell in row["changes"]:
        typer.echo(f"    {cell['column']}: {cell['before']!r} -> {cell['after']!r}")
    if event := row["event"]:
        typer.echo(
            f"    by {event['topic']} at position {event['position']} ({event['actor']},"
            f" {event['at']})"
        )

"""`imewe periods`: months, their reports, and what adjusts them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import NotFoundError
from ops.cli.client import Client
from ops.cli.moments import AsOf, moment
from ops.cli.reach import AsJson, done, group, nodes_of, opened, show

LIST = """query($asOf: AsOf) { periods(asOf: $asOf) {
  id month since until status cutOff reportDigest closedAt closedBy } }"""
REPORT = """query($id: ID!, $asOf: AsOf) { period(id: $id, asOf: $asOf) {
  month status cutOff reportDigest report { text digest reproduced } } }"""
ADJUSTMENTS = """query($id: ID!, $after: String, $asOf: AsOf) { period(id: $id, asOf: $asOf) {
  adjustments(first: 100, after: $after) {
    edges { node { position eventId what occurredAt bookedIn figures { name amount }
      lots { inventoryId amounts { name amount } } } } pageInfo { hasNextPage endCursor } } } }"""
CLOSE = """mutation($month: String!) { closePeriod(month: $month) {
  periodId month status position problems { code message field remedy } } }"""

app = group("Months: close them, print their reports again, see what adjusts them.")
Wanted = Annotated[str, typer.Argument(help="A month such as 2026-10, or its id.")]


@app.command("list")
def list_periods(ctx: typer.Context, as_of: AsOf = None, *, as_json: AsJson = False) -> None:
    """List months, the newest first.

    Example: imewe periods list
    """
    with opened(ctx) as client:
        found = client.execute(LIST, {"asOf": moment(as_of)})["periods"]
    rows = [
        (each["month"], each["status"], each["cutOff"], each["reportDigest"], each["closedAt"])
        for each in found
    ]
    headings = ("month", "state", "position", "report", "closed")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command("close")
def close_period(
    ctx: typer.Context,
    month: Annotated[str, typer.Argument(help="A past month such as 2026-10.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Close a month: its report stays as it is for ever. Admins only; again does nothing new.

    Example: imewe periods close 2026-10
    """
    with opened(ctx) as client:
        payload = client.command(CLOSE, {"month": month})
    done(payload, f"{month} is {str(payload['status']).lower()}", as_json=as_json)


@app.command()
def report(
    ctx: typer.Context,
    wanted: Wanted,
    output: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    as_of: AsOf = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a closed month's report: the same bytes, and the digest on standard error.

    With --json: the text in an envelope, with the digest and whether it is the one recorded.
    Example: imewe periods report 2026-10 > 2026-10.json
    """
    with opened(ctx) as client:
        variables = {"id": _id_of(client, wanted), "asOf": moment(as_of)}
        found = client.execute(REPORT, variables)["period"]
    if found is None or found["report"] is None:
        raise NotFoundError(f"{wanted} has no report yet", remedy=f"imewe periods close {wanted}")
    drawn = found["report"]
    if as_json:
        show(found, as_json=True)
    elif output is not None:
        output.write_bytes(drawn["text"].encode())
    else:
        typer.echo(drawn["text"], nl=False)
    state = "as recorded when it was closed" if drawn["reproduced"] else _unlike(found)
    typer.echo(f"{drawn['digest']} ({state})", err=True)
    if found["reportDigest"] and not drawn["reproduced"]:
        raise typer.Exit(1)


@app.command()
def adjustments(
    ctx: typer.Context, wanted: Wanted, as_of: AsOf = None, *, as_json: AsJson = False
) -> None:
    """List what was recorded after a month was cut off and counts inside it.

    Example: imewe periods adjustments 2026-10
    """
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    with opened(ctx) as client:
        variables = {"id": _id_of(client, wanted), "asOf": moment(as_of)}
        while page["hasNextPage"]:
            asked = {**variables, "after": page["endCursor"]}
            period = client.execute(ADJUSTMENTS, asked)["period"]
            if period is None:
                raise NotFoundError(f"{wanted} is open: nothing adjusts it")
            found += nodes_of(period["adjustments"])
            page = period["adjustments"]["pageInfo"]
    rows = [
        (
            each["position"],
            each["what"],
            each["occurredAt"],
            each["bookedIn"] or "open",
            _told(each["figures"]),
            "; ".join(f"{lot['inventoryId'][:8]} {_told(lot['amounts'])}" for lot in each["lots"]),
        )
        for each in found
    ]
    headings = ("position", "what", "when", "booked in", "figures", "lots (mg)")
    show(found, as_json=as_json, headings=headings, rows=rows)


def _id_of(client: Client, wanted: str) -> str:
    listed = client.execute(LIST, {"asOf": None})["periods"]
    for each in listed:
        if wanted in (each["month"], each["id"]):
            return str(each["id"])
    raise NotFoundError(f"there is no month {wanted}", remedy="imewe periods list")


def _told(amounts: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['name']} {each['amount']:+}" for each in amounts)


def _unlike(found: dict[str, Any]) -> str:
    if not found["reportDigest"]:
        return "cut off, not closed yet"
    return f"NOT the one recorded, {found['reportDigest']}"

"""Commands that correct what was recorded; the groups `inventory`, `nodes` and `kpis` take them in.

A correction never deletes: what was wrong stays in the log, and what is right is said beside it.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.moments import AsOf, moment
from ops.cli.reach import AsJson, done, grams, machine_id, milligrams, nodes_of, opened, show

_ANSWER = "position problems { code message field remedy }"
COUNT = f"""mutation($id: ID!, $at: Position!, $mg: Int53!, $reason: String!) {{
  correctCount(inventoryId: $id, position: $at, countedMg: $mg, reason: $reason) {{
    inventoryId freeMg {_ANSWER} }} }}"""
REASSIGN = f"""mutation($build: ID!, $from: ID!, $to: ID!, $reason: String!) {{
  reassignConsumption(buildId: $build, fromInventoryId: $from, toInventoryId: $to,
    reason: $reason) {{ inventoryId freeMg {_ANSWER} }} }}"""
FIGURES = f"""mutation($build: ID!, $energy: Int53, $mg: Int53, $reason: String!) {{
  correctFigures(buildId: $build, energyJ: $energy, materialMg: $mg, reason: $reason) {{
    buildId {_ANSWER} }} }}"""
DOWN = f"""mutation($id: ID!, $since: Instant!, $until: Instant, $reason: String!) {{
  correctDowntime(nodeId: $id, since: $since, until: $until, reason: $reason) {{
    nodeId {_ANSWER} }} }}"""
WITHDRAW = f"""mutation($id: ID!, $since: Instant!, $reason: String!) {{
  withdrawDowntime(nodeId: $id, since: $since, reason: $reason) {{ nodeId {_ANSWER} }} }}"""
ENTRIES = """query($id: ID!, $first: Int!, $then: AsOf) { lot(id: $id, asOf: $then) {
  entries(first: $first) { position at effectiveFrom what quantityMg buildId reason freeMg
    reservedMg actor } } }"""
ENTRIES_LIMIT = 500
SOURCES = """query($since: Instant, $until: Instant, $figure: String!, $after: String,
    $then: AsOf) {
  kpiSources(since: $since, until: $until, figure: $figure, first: 100, after: $after,
    asOf: $then) { edges { node { position eventId what occurredAt hour amounts { name amount } } }
    pageInfo { hasNextPage endCursor } } }"""
SOURCES_LIMIT = 1000

Reason = Annotated[str, typer.Option(help="Why.")]
LotId = Annotated[str, typer.Argument(help="The lot's id.")]
BuildId = Annotated[str, typer.Argument(help="The build's id.")]
Named = Annotated[str, typer.Argument(help="The machine's name or id.")]
Since = Annotated[
    str, typer.Argument(help="For example 2026-01-12T02:10 (without a zone: this machine's).")
]


def entries(
    ctx: typer.Context, lot_id: LotId, as_of: AsOf = None, *, as_json: AsJson = False
) -> None:
    """List the bookings of a lot with their positions, the first one first.

    Example: imewe inventory entries 9a8b7c6d-5e4f-5a3b-8c1d-0e9f8a7b6c5d
    """
    with opened(ctx) as client:
        asked = {"id": lot_id, "first": ENTRIES_LIMIT, "then": moment(as_of)}
        lot = client.execute(ENTRIES, asked)["lot"]
    if lot is None:
        raise NotFoundError(f"there is no lot {lot_id}", remedy="imewe inventory list")
    found = lot["entries"]
    rows = [
        (
            each["position"],
            each["effectiveFrom"],
            each["what"].partition(".")[2],
            grams(each["quantityMg"]),
            grams(each["freeMg"]),
            (each["buildId"] or "")[:8],
            each["reason"],
        )
        for each in found
    ]
    headings = ("position", "counts from", "what", "quantity", "free", "build", "why")
    show(found, as_json=as_json, headings=headings, rows=rows)


def correct_count(
    ctx: typer.Context,
    lot_id: LotId,
    position: Annotated[str, typer.Argument(help="Of the stock-take: imewe inventory entries.")],
    quantity: Annotated[str, typer.Argument(help="What had lain there, for example 640g.")],
    reason: Reason,
    *,
    as_json: AsJson = False,
) -> None:
    """Correct an earlier stock-take. Later ones stay as they are.

    Example: imewe inventory correct-count LOT 4711 640g --reason "tare forgotten"
    """
    if not position.isdecimal():
        raise InvalidInputError(f"{position!r} is no position", field="position")
    variables = {"id": lot_id, "at": position, "mg": milligrams(quantity), "reason": reason}
    with opened(ctx) as client:
        payload = client.command(COUNT, variables)
    done(payload, f"Corrected; {grams(payload['freeMg'])} are free now", as_json=as_json)


def reassign(
    ctx: typer.Context,
    build_id: BuildId,
    source: Annotated[str, typer.Option("--from", help="The lot it was booked on.")],
    target: Annotated[str, typer.Option("--to", help="The lot it truly came from.")],
    reason: Reason,
    *,
    as_json: AsJson = False,
) -> None:
    """Say from which lot a build's material had truly come.

    Example: imewe inventory reassign BUILD --from LOT --to OTHER --reason "wrong spool"
    """
    variables = {"build": build_id, "from": source, "to": target, "reason": reason}
    with opened(ctx) as client:
        payload = client.command(REASSIGN, variables)
    done(payload, f"Reassigned to lot {payload['inventoryId']}", as_json=as_json)


def correct_build(
    ctx: typer.Context,
    build_id: BuildId,
    reason: Reason,
    energy: Annotated[int | None, typer.Option(help="What it had used, J.")] = None,
    material: Annotated[str | None, typer.Option(help="For example 12.5g.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Correct what a build was reported to have used.

    Example: imewe nodes correct-build BUILD --energy 93000 --reason "the meter lied"
    """
    variables = {
        "build": build_id,
        "energy": energy,
        "mg": milligrams(material) if material else None,
        "reason": reason,
    }
    with opened(ctx) as client:
        payload = client.command(FIGURES, variables)
    done(payload, "Corrected", as_json=as_json)


def down(
    ctx: typer.Context,
    node: Named,
    since: Since,
    reason: Reason,
    until: Annotated[str | None, typer.Option(help="By default until now.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say that a machine was down, whatever its link said then.

    Example: imewe nodes down prusa-1 2026-01-12T02:10 --until 2026-01-12T03:00 --reason belt
    """
    span = {"since": _instant(since, "since"), "until": until and _instant(until, "until")}
    with opened(ctx) as client:
        payload = client.command(DOWN, {"id": machine_id(client, node), **span, "reason": reason})
    done(payload, "Recorded as down", as_json=as_json)


def withdraw_down(
    ctx: typer.Context, node: Named, since: Since, reason: Reason, *, as_json: AsJson = False
) -> None:
    """Take back a downtime that was recorded by hand, named by its begin.

    Example: imewe nodes withdraw-down prusa-1 2026-01-12T02:10 --reason "other machine"
    """
    with opened(ctx) as client:
        variables = {"id": machine_id(client, node), "since": _instant(since, "since")}
        payload = client.command(WITHDRAW, {**variables, "reason": reason})
    done(payload, "Taken back", as_json=as_json)


def _instant(text: str, field: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text[:64]!r} is no moment", field=field, remedy="such as 2026-01-12T02:10:00Z"
        ) from None


def sources(
    ctx: typer.Context,
    figure: Annotated[str, typer.Argument(help="For example energy_j; all when left out.")] = "",
    since: Annotated[str | None, typer.Option(help="By default a week before the end.")] = None,
    until: Annotated[str | None, typer.Option(help="By default now.")] = None,
    as_of: AsOf = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the events behind figures, by whole hours (UTC), at most 1000.

    Example: imewe kpis sources energy_j --since 2026-01-12T02:00Z --until 2026-01-12T03:00Z
    """
    variables = {
        "since": since and _instant(since, "since"),
        "until": until and _instant(until, "until"),
        "figure": figure,
        "then": moment(as_of),
    }
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    with opened(ctx) as client:
        while page["hasNextPage"] and len(found) < SOURCES_LIMIT:
            asked = {**variables, "after": page["endCursor"]}
            rows = client.execute(SOURCES, asked)["kpiSources"]
            found += nodes_of(rows)
            page = rows["pageInfo"]
    cells = [
        (
            each["position"],
            each["what"],
            each["hour"],
            ", ".join(f"{one['name']} {one['amount']:+}" for one in each["amounts"]),
        )
        for each in found
    ]
    show(found, as_json=as_json, headings=("position", "what", "hour", "adds"), rows=cells)

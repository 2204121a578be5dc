"""`imewe kpis`: the figures of an organisation."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from ops.cli.corrections import sources
from ops.cli.moments import AsOf, moment, tell
from ops.cli.reach import AsJson, group, opened, show

SHOW = """query($period: Period!, $since: Instant, $until: Instant, $of: ID, $then: AsOf) {
  kpis(period: $period, since: $since, until: $until, organisationId: $of, asOf: $then) {
    asOf { position time } since until jobsSubmitted jobsCompleted meanCompletionMs
    firstTimeSuccess piecesPassed piecesScrapped utilisation uptime materialMg energyJ
    materialMgPerPart energyJPerPart } }"""

app = group("The figures of an organisation.")


class Period(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Since = Annotated[
    datetime | None, typer.Option(formats=_FORMATS, help="From here, by this machine's time.")
]
Until = Annotated[datetime | None, typer.Option(formats=_FORMATS, help="Up to here.")]


@app.command("show")
def show_kpis(
    ctx: typer.Context,
    period: Annotated[Period, typer.Option(help="The length of a row.")] = Period.DAY,
    since: Since = None,
    until: Until = None,
    organisation: Annotated[str | None, typer.Option(help="Its id; else your own.")] = None,
    as_of: AsOf = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show figures by period; by default the last seven days, by day.

    With --as-of they are as they were known then: what went on is counted up to that moment.

    Example: imewe kpis show --period week --as-of 2026-01-12T10:30:00Z
    """
    wanted = {
        "period": period.name,
        "since": _instant(since),
        "until": _instant(until),
        "of": organisation,
        "then": moment(as_of),
    }
    with opened(ctx) as client:
        found = client.execute(SHOW, wanted)["kpis"]
    tell(found[0]["asOf"] if found else None)
    rows = [
        (
            row["since"],
            f"{row['jobsCompleted']} of {row['jobsSubmitted']}",
            f"{row['piecesPassed']}, {row['piecesScrapped']} lost",
            *(_percent(row[name]) for name in ("firstTimeSuccess", "utilisation", "uptime")),
            f"{row['materialMg'] / 1000:g} g",
            f"{row['energyJ'] / 3_600_000:.3f} kWh",
        )
        for row in found
    ]
    headings = ("since", "orders", "pieces", "at once", "worked", "reachable", "material", "energy")
    show(found, as_json=as_json, headings=headings, rows=rows)


def _instant(moment: datetime | None) -> str | None:
    return moment.astimezone().isoformat() if moment else None


def _percent(share: Any) -> str:
    return "" if share is None else f"{share:.1%}"


app.command("sources")(sources)

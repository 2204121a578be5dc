"""`imewe telemetry`: what machines measured, and where it is kept."""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from domain.shared.errors import InvalidInputError
from ops.cli.homes import chosen_home
from ops.cli.reach import AsJson, group, machine_id, opened, show
from ops.cli.refusals import EXIT_REFUSED
from ops.clock import SystemClock
from ops.database.connection import rebuildable
from ops.eventstore.client import Client as LogClient
from ops.messaging.connection import address
from ops.projecting.wiring import NATS_USER
from ops.settings import Settings
from ops.telemetry.cold import cold_folder, demand_library
from ops.telemetry.status import status_of
from ops.telemetry.stream import TelemetryStream

SHOW = """query($id: ID!, $channels: [String!]!, $since: Instant!, $until: Instant!,
    $resolution: TelemetryResolution!, $most: Int!) {
  telemetry(nodeId: $id, channels: $channels, since: $since, until: $until,
      resolution: $resolution, maxPoints: $most) {
    nodeId since until stepMs gaps { since until cause readings }
    series { channel unit at low high average last number quality } } }"""
CHANNELS = """query($id: ID!) { telemetryChannels(nodeId: $id) {
  channels { name unit firstAt lastAt last quality }
  metrics { temperature vibration powerConsumption materialRemaining progress qualityScore }
  refused { fault number lastAt detail } } }"""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

app = group("What machines measured.")
Named = Annotated[str, typer.Argument(help="The machine's name or id.")]


class Resolution(StrEnum):
    AUTO = "auto"
    RAW = "raw"
    SECOND = "second"
    MINUTE = "minute"


@app.command("show")
def show_telemetry(
    ctx: typer.Context,
    node: Named,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="A name, or a beginning with a dot; again for more. Else temperatures."),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", help="A time, or how long ago: 90s, 30m, 6h, 2d.")
    ] = "1h",
    until: Annotated[str, typer.Option("--to", help="Up to here, in the same words.")] = "0s",
    resolution: Annotated[Resolution, typer.Option(help="The finest.")] = Resolution.AUTO,
    points: Annotated[int, typer.Option(help="At most so many of a channel, up to 2000.")] = 40,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what a machine measured; a line without values is a gap.

    Example: imewe telemetry show prusa-1 --channel temperature. --from 6h
    """
    now = SystemClock().now()
    with opened(ctx) as client:
        wanted = {
            "id": machine_id(client, node),
            "channels": channel or ["temperature."],
            "since": when(since, now, field="from").isoformat(),
            "until": when(until, now, field="to").isoformat(),
            "resolution": resolution.name,
            "most": points,
        }
        found = client.execute(SHOW, wanted)["telemetry"]
    headings = ("channel", "time", "lowest", "average", "highest", "last", "readings")
    show(found, as_json=as_json, headings=headings, rows=_lines(found))


@app.command()
def channels(ctx: typer.Context, node: Named, *, as_json: AsJson = False) -> None:
    """Show what a machine measures, and its newest readings.

    Example: imewe telemetry channels prusa-1
    """
    with opened(ctx) as client:
        found = client.execute(CHANNELS, {"id": machine_id(client, node)})["telemetryChannels"]
    rows = [
        (each["name"], _number(each["last"]), each["unit"], each["quality"], each["lastAt"])
        for each in found["channels"]
    ]
    show(found, as_json=as_json, headings=("channel", "last", "unit", "quality", "at"), rows=rows)
    for each in found["refused"]:
        said = f"{each['number']} messages could not be read ({each['fault']}): {each['detail']}"
        typer.echo(said, err=True)


@app.command()
def status(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show how far the ingest is and what each tier holds. Runs beside the servers.

    Example: imewe telemetry status
    """
    settings = Settings.from_environment(chosen_home(ctx))
    client = LogClient(address(settings, NATS_USER))
    try:
        with rebuildable(settings, autocommit=True) as connection:
            found = asdict(status_of(connection, TelemetryStream(client)))
    finally:
        client.close()
    words = {name.replace("_", " "): f"{value:,}" for name, value in found.items()}
    show(found, as_json=as_json, headings=("what", "how much"), rows=words.items())


@app.command()
def tier(
    ctx: typer.Context,
    older_than: Annotated[
        int | None,
        typer.Option(help="Days; by default IMEWE_TELEMETRY_RAW_DAYS.", min=0, max=3660),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Move days of readings from the database to Parquet files; charts go on showing them.

    Runs beside the servers. The service does it by itself once a day; roll-ups stay.

    Example: imewe telemetry tier --older-than 2
    """
    demand_library()
    from ops.telemetry.tiering import tier as move

    settings = Settings.from_environment(chosen_home(ctx))
    days = settings.telemetry_raw_days if older_than is None else older_than
    before = time.time_ns() // 1_000_000 - days * 86_400_000
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with rebuildable(settings, autocommit=True) as connection:
        moved = move(connection, cold_folder(settings), before=before, progress=console.print)
    rows = [(each.day, each.readings, each.bytes, each.path, each.digest[:19]) for each in moved]
    headings = ("day", "readings", "bytes", "file", "digest")
    show([each.as_json() for each in moved], as_json=as_json, headings=headings, rows=rows)


@app.command()
def verify(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Check that every cold file still holds what was moved there; exit 1 when one does not.

    Example: imewe telemetry verify
    """
    demand_library()
    from ops.telemetry.tiering import verify as check

    settings = Settings.from_environment(chosen_home(ctx))
    with rebuildable(settings, autocommit=True) as connection:
        found = list(check(connection, cold_folder(settings)))
    shown = [{"path": path, "fault": fault} for path, fault in found]
    rows = [(path, fault or "holds what was moved there") for path, fault in found]
    show(shown, as_json=as_json, headings=("file", "verdict"), rows=rows)
    if any(fault for _, fault in found):
        raise typer.Exit(EXIT_REFUSED)


def when(text: str, now: datetime, *, field: str) -> datetime:
    """A time, or how long before `now`. Raises `InvalidInputError`."""
    number, unit = text[:-1], text[-1:]
    try:
        if unit in UNITS and number.isascii() and number.isdigit():
            return now - timedelta(**{UNITS[unit]: int(number)})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text[:64]!r} is no time",
            field=field,
            remedy="give 2026-01-12T10:30:00Z, or how long ago: 90s, 30m, 6h, 2d",
        ) from None


def _lines(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"{series['channel']} {series['unit']}".strip(),
            datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds"),
            *(_number(series[name][n]) for name in ("low", "average", "high", "last")),
            str(series["number"][n]) if series["number"][n] else "gap",
        )
        for series in found["series"]
        for n, at in enumerate(series["at"])
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

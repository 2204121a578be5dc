"""`imewe events export`: stored events in a file, for auditors' machines and other tools."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from domain.shared.errors import InvalidInputError
from ops.cli.gateway_log import GatewayLog
from ops.cli.homes import chosen_home
from ops.cli.reach import AsJson, opened
from ops.messaging.serving import runs
from ops.replaying.sources import Pages, log_of, pages_of
from ops.replaying.writing import Stretch, write_export
from ops.settings import Settings

TELL_EVERY_S = 2.0


class Formats(StrEnum):
    """What `--format` takes."""

    JSONL = "jsonl"
    CLOUDEVENTS = "cloudevents"
    PARQUET = "parquet"


Output = Annotated[Path, typer.Option(help="The file to write; .gz packs JSON. Never replaced.")]


def export(
    ctx: typer.Context,
    output: Output,
    format: Annotated[Formats, typer.Option(help="See above.")] = Formats.JSONL,
    first: Annotated[int, typer.Option("--from", help="The first position.", min=1)] = 1,
    last: Annotated[
        int | None, typer.Option("--to", help="The last position; else the log's end.", min=1)
    ] = None,
    *,
    direct: Annotated[
        bool, typer.Option("--direct", help="Read the home's own log, not through the gateway.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write events exactly as they are stored, with their hashes; personal data stays sealed.

    Through the gateway you get the events of the organisations that you audit. A home that is
    stopped, or --direct, gives the whole log to whoever may read the home. jsonl is for `imewe
    replay` and `imewe schema check`, cloudevents (1.0) and parquet are for other tools too.

    Example: imewe events export --output log.jsonl.gz
    """
    with _source(ctx, direct=direct) as (end, organisations, pages):
        upto = end if last is None else last
        if upto > end:
            raise InvalidInputError(f"the log ends at {end}", field="to")
        stretch = Stretch(first=first, last=max(upto, first - 1), organisations=organisations)
        count = write_export(
            output, format.value, stretch, pages(first, upto), progress=ticker(upto)
        )
    told = {"file": str(output), "from": first, "to": upto, "events": count}
    if organisations is not None:
        told["organisations"] = list(organisations)
    typer.echo(json.dumps(told) if as_json else _words(told))


def ticker(last: int = 0) -> Callable[[int], None]:
    """Says on standard error how far it is, every two seconds."""
    told = time.monotonic()

    def progress(position: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            end = f" of {last:,}" if last else ""
            typer.echo(f"position {position:,}{end}", err=True)

    return progress


Source = tuple[int, tuple[str, ...] | None, Callable[[int, int], Pages]]


@contextlib.contextmanager
def _source(ctx: typer.Context, *, direct: bool) -> Iterator[Source]:
    """The log's end, whose events are shown (``None``: everybody's), and how to read them."""
    settings = Settings.from_environment(chosen_home(ctx))
    if direct or (not runs(settings) and ctx.obj is None):
        with log_of(settings) as log:
            yield (
                log.last_position(),
                None,
                lambda first, last: pages_of(log, first=first, last=last),
            )
        return
    with opened(ctx) as client:
        shown = GatewayLog(client)
        yield (
            shown.end,
            shown.organisations,
            lambda first, last: shown.pages(first=first, last=last),
        )


def _words(told: dict[str, object]) -> str:
    return f"{told['events']} events, positions {told['from']} to {told['to']}, in {told['file']}"

"""`imewe schema`: the contracts in `schema/`, and whether this program reads a log."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from domain.shared.errors import InvalidInputError
from ops.cli.exporting import ticker
from ops.cli.homes import Home, Words
from ops.cli.reach import AsJson
from ops.cli.refusals import EXIT_REFUSED
from ops.replaying.checking import Report, check
from ops.replaying.golden import GOLDEN, write_golden
from ops.replaying.reading import Export
from ops.replaying.sources import log_of, pages_of
from ops.replaying.validating import Schemas
from ops.schema_files import write_contracts
from ops.schema_releases import findings
from ops.schema_releases import release as release_all
from ops.settings import Settings

app = typer.Typer(help="The contracts in schema/, and whether a log can be read.", cls=Words)


@app.callback()
def contracts() -> None:
    """The contracts in schema/: one JSON Schema per event version, and the GraphQL SDL."""


@app.command()
def generate(*, as_json: AsJson = False) -> None:
    """Write schema/events and schema/graphql again from the code that keeps them.

    Example: imewe schema generate
    """
    changed = write_contracts()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "wrote": [path.name for path in changed if path.exists()],
                    "removed": [path.name for path in changed if not path.exists()],
                }
            )
        )
        return
    for path in changed:
        typer.echo(f"{'wrote' if path.exists() else 'removed'} {path.name}")
    typer.echo(f"{len(changed)} files are different")


@app.command()
def release(*, as_json: AsJson = False) -> None:
    """Add the present version of every event to the manifest of what never changes again.

    For maintainers, just before a tag.

    Example: imewe schema release
    """
    names = release_all()
    if as_json:
        typer.echo(json.dumps(names))
        return
    for name in names:
        typer.echo(f"released {name}")
    typer.echo(f"{len(names)} versions are released now that were not before")


@app.command("check")
def check_schema(
    export: Annotated[Path | None, typer.Argument(help="An exported log.")] = None,
    home: Home = None,
    *,
    files: Annotated[
        bool, typer.Option("--files", help="Only the released files, against the code.")
    ] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Also against the JSON Schemas; slower.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this program cannot read of a log, before it takes the log over.

    Reads an export, or else the log of the home, running or stopped. Exit code 1 when something
    cannot be read: later versions or unknown events (this program is too old), or broken ones.

    Example: imewe schema check log.jsonl.gz --validate
    """
    if files:
        _tell_files(as_json=as_json)
        return
    schemas = Schemas() if validate else None
    if export is not None:
        if home is not None:
            raise InvalidInputError("name an export or a home, not both", field="home")
        report = check(Export(export).records(), schemas=schemas, progress=ticker())
    else:
        with log_of(Settings.from_environment(home)) as log:
            end = log.last_position()
            records = (each for page, _ in pages_of(log, first=1, last=end) for each in page)
            report = check(records, schemas=schemas, progress=ticker(end))
    if as_json:
        typer.echo(json.dumps(report.told()))
    else:
        _tell(report)
    if not report.is_readable:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def golden(
    export: Annotated[Path, typer.Argument(help="An exported log that holds such events.")],
    folder: Annotated[Path, typer.Option(help="Where golden records are kept.")] = GOLDEN,
    *,
    as_json: AsJson = False,
) -> None:
    """Keep the first record of every event version that has none yet; old ones are never touched.

    Example: imewe schema golden log.jsonl
    """
    made = write_golden(Export(export).records(), folder)
    if as_json:
        typer.echo(json.dumps([path.name for path in made]))
        return
    for path in made:
        typer.echo(f"kept {path.name}")
    typer.echo(f"{len(made)} golden records are new")


def _tell_files(*, as_json: bool) -> None:
    found = findings()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            typer.echo(f"{each.name} {each.problem}\n    {each.remedy}")
        typer.echo(f"{len(found)} released versions or classes are not as they must be")
    if found:
        raise typer.Exit(EXIT_REFUSED)


def _tell(report: Report) -> None:
    for (topic, version), count in sorted(report.versions.items()):
        typer.echo(f"{count:>9,}  {topic} v{version}")
    for each in report.problems:
        typer.echo(f"position {each.position} ({each.subject}): {each.reason}")
    total = sum(report.counts.values())
    if total > len(report.problems):
        typer.echo(f"and {total - len(report.problems):,} more")
    words = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.counts.items()))
    aggregates = f"; {len(report.aggregates):,} objects would be parked" if total else ""
    typer.echo(
        f"{report.events:,} events, {report.upcast:,} of older versions; cannot be read:"
        f" {words or 'none'}{aggregates}"
    )

"""`imewe replay`: an exported log folded on this machine, to compare with what others show."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.table import Table

from domain.shared.errors import InvalidInputError, UnavailableError
from ops.cli.exporting import ticker
from ops.cli.moments import AsOf, moment
from ops.cli.reach import AsJson
from ops.cli.refusals import EXIT_REFUSED
from ops.cli.tables import print_table
from ops.projecting.comparing import ModelState
from ops.replaying.reading import Export
from ops.replaying.replay import DatabaseModels, MemoryModels
from ops.replaying.replay import replay as replayed
from projections.catalogue import CATALOGUE


def replay(
    export: Annotated[Path, typer.Argument(help="From imewe events export or audit export.")],
    as_of: AsOf = None,
    database: Annotated[
        str | None,
        typer.Option(help="Fold into this empty PostgreSQL database, by its URL; else in memory."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(help="What `imewe projections hashes --json` printed; exit code 1 if other."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check an exported log, build all read models from it, and print the hash of each.

    Needs no server of an installation. The hashes equal those that `imewe projections hashes`
    shows at the same position, or the installation's tables are not what its log says.

    Example: imewe replay log.jsonl.gz --as-of 4711
    """
    file = Export(export)
    states = _states(file, as_of, database)
    expected = _expected(compare) if compare else {}
    wrong = [each.name for each in states if expected and not _agrees(each, expected)]
    if as_json:
        answer = {"whole": file.is_whole, "models": [asdict(each) for each in states]}
        typer.echo(json.dumps({**answer, "different": wrong} if expected else answer))
    else:
        show_states(states)
    if not file.is_whole:
        words = "the file holds a part of the log: hashes of the whole are others"
        typer.echo(words, err=True)
    if wrong:
        typer.echo(f"different: {', '.join(wrong)}", err=True)
        raise typer.Exit(EXIT_REFUSED)


def show_states(states: list[ModelState]) -> None:
    """A table for people."""
    table = Table("read model", "version", "position", "rows", "parked", "hash")
    for each in states:
        figures = (each.version, each.position, each.rows, each.parked)
        table.add_row(each.name, *map(str, figures), each.hash)
    print_table(table)


def _states(file: Export, as_of: str | None, database: str | None) -> list[ModelState]:
    when = _when(as_of)
    progress = ticker()
    if database is None:
        return replayed(file, MemoryModels(CATALOGUE), as_of=when, progress=progress)
    try:
        with psycopg.connect(database, autocommit=True) as connection:
            models = DatabaseModels(connection, CATALOGUE)
            return replayed(file, models, as_of=when, progress=progress)
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"the database does not answer: {str(error).strip()}", field="database"
        ) from error


def _when(text: str | None) -> int | datetime | None:
    found = moment(text)
    if found is None:
        return None
    if "position" in found:
        return int(found["position"])
    return datetime.fromisoformat(found["time"])


def _expected(path: Path) -> dict[str, dict[str, Any]]:
    try:
        told = json.loads(path.read_text())
        models = told["models"] if isinstance(told, dict) else told
        return {each["name"]: each for each in models}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path} holds no hashes: {error}", field="compare", remedy="imewe projections hashes"
        ) from error


def _agrees(state: ModelState, expected: dict[str, dict[str, Any]]) -> bool:
    other = expected.get(state.name, {})
    names = ("position", "version", "hash")
    return all(str(other.get(name)) == str(getattr(state, name)) for name in names)

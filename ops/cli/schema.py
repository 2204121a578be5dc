"""`imewe schema`: the contracts in `schema/`."""

import typer

from ops.schema_files import write_contracts

app = typer.Typer(help="The contracts in schema/.", no_args_is_help=True)


@app.callback()
def contracts() -> None:
    """The contracts in schema/: one JSON Schema per event version, and the GraphQL SDL."""


@app.command()
def generate() -> None:
    """Write schema/events and schema/graphql again from the code that keeps them.

    Example: imewe schema generate
    """
    changed = write_contracts()
    for path in changed:
        typer.echo(f"{'wrote' if path.exists() else 'removed'} {path.name}")
    typer.echo(f"{len(changed)} files are different")

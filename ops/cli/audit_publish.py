"""`imewe audit publish`: where signed heads are written besides the log's own server."""

import json
from pathlib import Path
from typing import Annotated

import typer

from domain.shared.errors import InvalidInputError
from ops.cli.homes import Home
from ops.cli.reach import AsJson, Polite, show
from ops.hosting.home import MARKER
from ops.notary.places import Kind, Place, Security, add_place, places, remove_place
from ops.settings import Settings

app = typer.Typer(
    help="Where signed heads are written: files, folders, HTTP endpoints, mail boxes.",
    no_args_is_help=True,
    cls=Polite,
)


@app.command("list")
def list_places(home: Home = None, *, as_json: AsJson = False) -> None:
    """List the places; `imewe audit status` says how it goes there.

    Example: imewe audit publish list
    """
    found = [each.shown for each in places(_folder(home))]
    rows = [(each["name"], each["kind"], each["to"], each["every_s"]) for each in found]
    show(found, as_json=as_json, headings=("name", "kind", "to", "every s"), rows=rows)


@app.command()
def add(
    kind: Annotated[Kind, typer.Argument(help="file, folder, http or mail.")],
    to: Annotated[str, typer.Argument(help="A path, an http address or a mail address.")],
    name: Annotated[str | None, typer.Option(help="What to call it; else its kind.")] = None,
    every: Annotated[
        float | None, typer.Option(help="Least seconds between two; 3600 for mail, else 0.")
    ] = None,
    server: Annotated[str, typer.Option(help="For mail: host:port.")] = "",
    sender: Annotated[str, typer.Option(help="For mail: the sender's address.")] = "",
    security: Annotated[Security, typer.Option(help="For mail.")] = Security.STARTTLS,
    user: Annotated[str, typer.Option(help="For mail: as whom to log in.")] = "",
    home: Home = None,
    *,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="For mail: ask for a password.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write every signed head there too, from now on.

    Example: imewe audit publish add folder /mnt/usb/heads
    """
    password = typer.prompt("Password", hide_input=True) if ask_password else ""
    place = Place(
        name=name or kind.value,
        kind=kind,
        to=to,
        every_s=every if every is not None else (3600.0 if kind is Kind.MAIL else 0.0),
        server=server,
        sender=sender,
        security=security,
        user=user,
        password=password,
    )
    add_place(_folder(home), place)
    words = f"signed heads go to {place.name} ({place.kind} {place.to}) too"
    typer.echo(json.dumps(place.shown) if as_json else words)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `list` shows it.")],
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write no more heads there; what is there stays.

    Example: imewe audit publish remove folder
    """
    remove_place(_folder(home), name)
    typer.echo(json.dumps({"removed": name}) if as_json else f"no more heads go to {name}")


def _folder(home: Path | None) -> Path:
    """The home that was named; else the one of this checkout."""
    folder = Settings.from_environment(home).home
    if not (folder / MARKER).exists():
        raise InvalidInputError(
            f"{folder} is no home of Imewe", field="home", remedy="imewe up makes one"
        )
    return folder

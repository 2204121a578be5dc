"""What every client command shares: where the gateway is, who asks, how it is told."""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from domain.shared.errors import (
    ImeweError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from ops.cli.client import Client
from ops.cli.homes import Words, chosen_home
from ops.cli.refusals import tell_refusal
from ops.cli.tables import print_table
from ops.hosting.errors import NotRunningError
from ops.hosting.home import MARKER, read_note, write_private
from ops.settings import Settings

SESSIONS = "sessions.json"
NAMES = """query($after: String) { nodes(first: 100, after: $after) {
  edges { node { id name } } pageInfo { hasNextPage endCursor } } }"""

Url = Annotated[
    str | None, typer.Option(help="The gateway's address; by default the one of the home.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where the gateway is and where its tokens are kept."""

    url: str
    sessions: Path

    @classmethod
    def find(cls, url: str | None, home: Path | None) -> "Reach":
        """By ``--url``, else by what the home says. Raises ``NotRunningError``."""
        settings = Settings.from_environment(home)
        port = settings.http_port or read_note(settings.home / "http.json").get("port")
        if url is None and not port:
            raise NotRunningError(
                f"{settings.home} has no gateway", remedy="start one with imewe up, or use --url"
            )
        own = (settings.home / MARKER).exists() and os.access(settings.home, os.W_OK)
        folder = settings.home if own else Path("~/.config/imewe").expanduser()
        host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host
        return cls(url=(url or f"http://{host}:{port}").rstrip("/"), sessions=folder / SESSIONS)

    def remember(self, session: dict[str, Any]) -> None:
        """Keep a token, readable by its owner only."""
        self.sessions.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {**read_note(self.sessions), self.url: session}
        write_private(self.sessions, json.dumps(kept))

    def client(self) -> Client:
        """A signed-in client. Raises ``UnauthenticatedError`` when nobody has logged in."""
        session = read_note(self.sessions).get(self.url)
        if not session:
            raise UnauthenticatedError("you are not logged in", remedy="imewe login")
        return Client(self.url, session["token"])


class Polite(Words):
    """A group whose refusals are one clear line and an exit code, never a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (ImeweError, OSError) as error:
            raise typer.Exit(tell_refusal(error)) from None


def group(help_text: str) -> typer.Typer:
    """A group of client commands with ``--url`` and ``--home``."""
    app = typer.Typer(help=help_text, no_args_is_help=True, cls=Polite)

    @app.callback()
    def reach(ctx: typer.Context, url: Url = None) -> None:
        ctx.obj = url

    return app


def opened(ctx: typer.Context) -> Client:
    """The signed-in client of a group's command."""
    return Reach.find(ctx.obj, chosen_home(ctx)).client()


def show(
    value: Any, *, as_json: bool, headings: Iterable[str] = (), rows: Iterable[Iterable[Any]] = ()
) -> None:
    """``value`` as JSON for programs, ``rows`` as a table for people."""
    if as_json:
        typer.echo(json.dumps(value))
        return
    table = Table(*headings)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    print_table(table)


def done(payload: dict[str, Any], words: str, *, as_json: bool) -> None:
    """What a command did."""
    if as_json:
        typer.echo(json.dumps(payload))
    else:
        typer.echo(f"{words} (position {payload.get('position')})")


def nodes_of(connection: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a Relay connection."""
    return [edge["node"] for edge in connection["edges"]]


def machine_id(client: Client, named: str) -> str:
    """The id of a machine by its id or its name.

    Raises ``NotFoundError``, and ``InvalidInputError`` when several bear the name.
    """
    with contextlib.suppress(ValueError):
        return str(UUID(named))
    found: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        nodes = client.execute(NAMES, {"after": page["endCursor"]})["nodes"]
        found += [node["id"] for node in nodes_of(nodes) if node["name"] == named]
        page = nodes["pageInfo"]
    if not found:
        raise NotFoundError(f"there is no machine {named}", remedy="imewe nodes list")
    if len(found) > 1:
        raise InvalidInputError(
            f"{len(found)} machines are called {named}", remedy=f"say which: {', '.join(found)}"
        )
    return found[0]


def grams(mg: int) -> str:
    """mg as g for people."""
    return f"{mg / 1000:g} g"


def milligrams(amount: str) -> int:
    """``1kg``, ``750g``, ``12.5 g`` or ``3000mg`` in mg. Raises ``typer.BadParameter``."""
    text = amount.strip().lower().replace(" ", "")
    for unit, factor in (("kg", 1_000_000), ("mg", 1), ("g", 1000)):
        if text.endswith(unit):
            try:
                return round(float(text.removesuffix(unit)) * factor)
            except ValueError:
                break
    raise typer.BadParameter(f"{amount!r} is no quantity such as 1kg, 750g or 3000mg")

"""`imewe login`: exchange mail and password for a token, and keep it."""

from typing import Annotated

import typer

from domain.shared.errors import ImeweError
from ops.cli.client import Client
from ops.cli.homes import Home
from ops.cli.reach import AsJson, Reach, Url, done
from ops.cli.refusals import tell_refusal
from ops.hosting.home import read_note
from ops.settings import Settings


def login(
    mail: Annotated[str | None, typer.Argument(help="Your mail; else the first admin's.")] = None,
    url: Url = None,
    home: Home = None,
    *,
    password: Annotated[
        str | None,
        typer.Option(help="Asked for when left out; other users of this machine can see it here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log in. Without a mail, as the first admin of an installation on this machine.

    Example: imewe login ada@example.org
    """
    try:
        reach = Reach.find(url, home)
        if mail is None:
            admin = read_note(Settings.from_environment(home).home / "admin.json")
            mail, password = admin.get("mail"), password or admin.get("password")
        mail = mail or typer.prompt("mail")
        password = password or typer.prompt("password", hide_input=True)
        with Client(reach.url) as client:
            session = client.log_in(mail=mail, password=password)
    except ImeweError as error:
        raise typer.Exit(tell_refusal(error)) from None
    reach.remember({"token": session["token"], "expiresAt": session["expiresAt"], "mail": mail})
    shown = {"url": reach.url, "expiresAt": session["expiresAt"], "me": session["me"]}
    if as_json:
        done(shown, "", as_json=True)
    else:
        name = session["me"]["name"] or mail
        typer.echo(f"Logged in to {reach.url} as {name} until {session['expiresAt']}")

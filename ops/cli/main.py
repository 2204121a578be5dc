"""The console script `imewe`.

A command is a module `ops/cli/<word>.py` with a function of that name (in `COMMANDS`); a group of
commands is one with `app = typer.Typer()` (in `GROUPS`). Only the module asked for is imported: a
service started by `imewe run` must not carry the others in its memory.
"""

import importlib
import sys
from collections.abc import Sequence

import typer

from domain.shared.errors import ImeweError
from ops.cli.homes import Verb, Words, give_verbs
from ops.cli.refusals import tell_refusal

COMMANDS = (
    "up",
    "run",
    "status",
    "doctor",
    "demo",
    "bench",
    "login",
    "backup",
    "restore",
    "replay",
)
GROUPS = (
    "jobs",
    "nodes",
    "attend",
    "inventory",
    "kpis",
    "telemetry",
    "periods",
    "events",
    "users",
    "subjects",
    "bridge",
    "audit",
    "projections",
    "schema",
)


def application(words: Sequence[str]) -> typer.Typer:
    """The command line with these words."""
    app = typer.Typer(
        name="imewe",
        cls=Words,
        help="The operating system for distributed digital fabrication.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_words_are_commands)
    for word in words:
        module = vars(importlib.import_module(f"ops.cli.{word}"))
        if word in COMMANDS:
            app.command(word, cls=Verb)(module[word])
        else:
            app.add_typer(give_verbs(module["app"]), name=word)
    return app


def main() -> None:
    """Run; a refusal is one clear line on standard error and an exit code, never a traceback."""
    known = (*COMMANDS, *GROUPS)
    asked = sys.argv[1:2]
    try:
        application(asked if asked and asked[0] in known else known)(prog_name="imewe")
    except (ImeweError, OSError) as error:
        sys.exit(tell_refusal(error))


def _words_are_commands() -> None:
    """A callback keeps the words needed even where only one is loaded."""


if __name__ == "__main__":
    main()

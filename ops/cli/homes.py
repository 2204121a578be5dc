"""``--home`` before or behind any word of the command line; the one behind counts if both are said.

A command that needs the home declares it as a parameter, or asks ``chosen_home``. All others take
the option too, so that nobody must remember where it stands.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

CHOSEN = "imewe.home"

Home = Annotated[Path | None, typer.Option(help="The installation's folder.")]


def chosen_home(ctx: typer.Context) -> Path | None:
    """What was said by ``--home`` on this command line, or ``None``."""
    said = ctx.meta.get(CHOSEN)
    return Path(said) if said is not None else None


class Verb(TyperCommand):
    """A command that takes ``--home``, which its groups may have taken before."""

    def __init__(self, name: str | None, **options: Any) -> None:
        super().__init__(name, **options)
        self._needs_home = _has_home(self)
        if not self._needs_home:
            self.params.append(_home_option())

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """See ``_parsed``."""
        return _parsed(super().parse_args, ctx, args, keep=self._needs_home)


class Words(TyperGroup):
    """A group that takes ``--home`` for its commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._needs_home = _has_home(self)
        if not self._needs_home:
            self.params.append(_home_option())

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """See ``_parsed``."""
        return _parsed(super().parse_args, ctx, args, keep=self._needs_home)


def give_verbs(app: typer.Typer) -> typer.Typer:
    """Let every command of a group, and of the groups in it, take ``--home``."""
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = Verb
    for group in app.registered_groups:
        if group.typer_instance is not None:
            give_verbs(group.typer_instance)
    return app


def _parsed(
    parse: Callable[[Any, list[str]], list[str]],
    ctx: typer.Context,
    args: list[str],
    *,
    keep: bool,
) -> list[str]:
    """What was said before is the default here; what is said here is so for what follows."""
    if CHOSEN in ctx.meta:
        ctx.default_map = {**(ctx.default_map or {}), "home": ctx.meta[CHOSEN]}
    rest = parse(ctx, args)
    said = ctx.params.get("home") if keep else ctx.params.pop("home", None)
    if said is not None:
        ctx.meta[CHOSEN] = str(said)
    return rest


def _has_home(command: TyperCommand | TyperGroup) -> bool:
    return any(each.name == "home" for each in command.params)


def _home_option() -> Any:
    """The option as Typer makes it of ``Home``."""
    app = typer.Typer()

    @app.command()
    def homely(home: Home = None) -> None: ...

    return next(each for each in get_command(app).params if each.name == "home")

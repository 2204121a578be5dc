"""`--as-of`: the moment that a command shows, a position or a time."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from domain.shared.errors import InvalidInputError

AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Show what was so then: a position (digits) or a time such as"
        " 2026-01-12T10:30:00Z (without a zone: this machine's).",
    ),
]
POSITION_DIGITS = 19


def moment(text: str | None) -> dict[str, str] | None:
    """The GraphQL input ``AsOf``; ``None`` is the present. Raises ``InvalidInputError``."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= POSITION_DIGITS:
        return {"position": text}
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text[:64]!r} is no moment",
            field="as-of",
            remedy="give a position such as 4711, or a time such as 2026-01-12T10:30:00Z",
        ) from None
    return {"time": found.astimezone(UTC).isoformat()}


def tell(moment: dict[str, Any] | None) -> None:
    """Say on standard error which moment is shown, so that it can be asked for again."""
    if moment:
        at = f", {moment['time']}" if moment["time"] else ""
        typer.echo(f"As of position {moment['position']}{at}", err=True)

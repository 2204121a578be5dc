"""The three times of a fact.

``occurred_at`` is when the command says that it happened, ``recorded_at`` when the log took it;
both stand in every event's envelope. ``effective_from`` is the moment from which a fact counts:
that of its event, unless a correction chooses an earlier one in its payload.
"""

from datetime import UTC, datetime

from domain.shared.errors import InvalidInputError


def told(moment: datetime) -> str:
    """A moment as events hold it: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def heard(text: str, *, field: str) -> datetime:
    """A moment from ISO 8601 text with its zone. Raises ``InvalidInputError``."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # refused in the same words as a moment without its zone
    raise InvalidInputError(
        "a moment is ISO 8601 with a zone, such as 2026-01-12T10:30:00Z", field=field
    )


def effective(text: str, *, field: str, since: datetime, now: datetime) -> datetime:
    """A moment from which a fact may count: not before its object began, not in the future."""
    moment = heard(text, field=field)
    if moment > now:
        raise InvalidInputError(f"{told(moment)} is in the future", field=field)
    if moment < since:
        raise InvalidInputError(
            f"{told(moment)} is before this began to exist, at {told(since)}", field=field
        )
    return moment

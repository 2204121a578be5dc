"""An organisation's calendar month, and what was reported of it when it was closed."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from domain.shared.identifiers import derived
from domain.shared.moments import told

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class PeriodStatus(StrEnum):
    """A month is open until somebody closes it; nobody has to open it."""

    OPEN = "OPEN"
    CUT_OFF = "CUT_OFF"
    CLOSED = "CLOSED"


class Period(ImeweAggregate):
    """A month (UTC) of one organisation, from the cut-off on.

    What the log holds up to the cut-off is the month's report for ever. Whatever is recorded later
    and belongs to it, late or corrected, adjusts a later month. What still goes on at the cut-off
    is counted up to the month's end.
    """

    TOPIC = "imewe.period:Period"

    class CutOff(Created):
        """The month's report counts what the log held before this event; it is drawn up next."""

        TOPIC = "imewe.period:CutOff"
        organisation_id: str
        month: str
        effective_from: str
        effective_until: str

    class Closed(ImeweAggregate.Event):
        """Its report was drawn up. ``position``: of the cut-off, up to which it counts;
        ``figures``: the report's sums; ``digest``: SHA-256 of its whole canonical JSON."""

        TOPIC = "imewe.period:Closed"
        position: int
        figures: dict[str, int]
        digest: str

    @classmethod
    def cut_off(cls, period_id: UUID, *, organisation_id: str, month: str, now: datetime) -> Self:
        """Let a past month's report count what is in the log now."""
        since, until = span_of(month)
        if until > now:
            raise InvalidInputError(
                f"{month} has not ended", field="month", remedy="only a past month can be closed"
            )
        return cls._create(
            cls.CutOff,
            id=period_id,
            organisation_id=organisation_id,
            month=month,
            effective_from=told(since),
            effective_until=told(until),
        )

    @event(CutOff)
    def __init__(self, organisation_id: str, month: str) -> None:
        self.organisation_id = organisation_id
        self.month = month
        self.status: str = PeriodStatus.CUT_OFF.value
        self.digest = ""

    def close(self, *, position: int, figures: dict[str, int], digest: str) -> None:
        """Fix what the report says. Another report of a closed month is refused."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidInputError("a digest is sha256: and 64 hex digits", field="digest")
        if self.status == PeriodStatus.CLOSED:
            if digest == self.digest:
                return
            raise IllegalTransitionError(f"{self.month} is closed with another report")
        self._closed(position=position, figures=figures, digest=digest)

    @event(Closed)
    def _closed(self, position: int, figures: dict[str, int], digest: str) -> None:
        self.status = PeriodStatus.CLOSED.value
        self.digest = digest


def period_id(organisation_id: str, month: str) -> UUID:
    """The id of a month, before it is closed too."""
    return derived("period", organisation_id, month)


def span_of(month: str) -> tuple[datetime, datetime]:
    """Begin and end of ``2026-10``, UTC. Raises ``InvalidInputError``."""
    found = _MONTH.fullmatch(month)
    if found is None or not 1970 <= int(found[1]) < 9999:
        raise InvalidInputError("a month is written as 2026-10", field="month")
    begin = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    return begin, after(begin)


def after(begin: datetime) -> datetime:
    """The begin of the next month."""
    return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def month_of(moment: datetime) -> str:
    """The month (UTC) in which a moment lies."""
    return moment.astimezone(UTC).strftime("%Y-%m")

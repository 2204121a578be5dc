"""Folds the first figures into hourly buckets. Integers only; ``rows.KpiRow`` has the formulas."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.build.aggregate import Build
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.shared.recorded import RecordedEvent
from projections.kpis.rows import HourRow, SubjectRow
from projections.projection import Projection
from projections.rows import Need, Rows
from projections.table import Past, Table

HOURS = Table(HourRow, "hours", ("organisation_id", "hour"), past=Past.SUMS)
SUBJECTS = Table(
    SubjectRow,
    "subjects",
    ("id",),
    indexes=("organisation_id, kind",),
    fixed=("kind", "organisation_id", "quantity", "began_at"),
)

_MS = timedelta(milliseconds=1)
_HOUR = timedelta(hours=1)

Fold = Callable[[Rows, Any, SubjectRow, datetime], None]
"""What an event of a known subject, at a moment, adds to which hours."""


class Kpis(Projection):
    """Announces ids of organisations."""

    name = "kpis"
    version = 2
    tables = (HOURS, SUBJECTS)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """What is remembered of the job, part, build or node."""
        return [Need(SUBJECTS, ("id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Begin to remember a subject, or count what became of it."""
        event = recorded.event
        at = recorded.envelope.occurred_at
        if isinstance(event, Job.Submitted | Part.Ordered | Build.Planned | Node.Registered):
            subject = rows.put(SUBJECTS, _begun(event, recorded))
        else:
            subject = rows.get(SUBJECTS, str(recorded.aggregate_id))
        _FOLDS[type(event)](rows, event, subject, at)
        rows.touch(subject.organisation_id)


def hour_of(moment: datetime) -> datetime:
    """The full hour (UTC) in which a moment lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def split(since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
    """The hours that an interval touches, each with its share in ms; none when clocks disagree."""
    hour = hour_of(since)
    while max(since, hour) < until:
        begin, end = max(since, hour), min(until, hour + _HOUR)
        yield hour, (end - begin) // _MS
        hour += _HOUR


def _begun(event: Any, recorded: RecordedEvent) -> SubjectRow:
    return SubjectRow(
        id=str(recorded.aggregate_id),
        kind=recorded.kind,
        organisation_id=event.organisation_id,
        quantity=vars(event).get("quantity", 0),
        began_at=recorded.envelope.occurred_at,
        ended_at=None,
        connected_since=None,
        executing_since=None,
    )


def _count(rows: Rows, subject: SubjectRow, at: datetime, **amounts: int) -> None:
    rows.add(HOURS, subject.organisation_id, hour_of(at), **amounts)


def _nothing(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    """It is only remembered."""


def _submitted(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _count(rows, subject, at, jobs_submitted=1)


def _completed(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    took = max(0, (at - subject.began_at) // _MS)
    _count(rows, subject, at, jobs_completed=1, completion_ms=took)


def _passed(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    ordered = int(event.piece < subject.quantity)
    _count(rows, subject, at, pieces_passed=1, first_tries=ordered, first_passes=ordered)


def _scrapped(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _count(rows, subject, at, pieces_scrapped=1, first_tries=int(event.piece < subject.quantity))


def _used(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _count(
        rows,
        subject,
        at,
        builds_ended=1,
        material_mg=event.material_mg,
        energy_j=event.energy_j,
    )


def _connected(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    rows.put(SUBJECTS, replace(subject, connected_since=subject.connected_since or at))


def _disconnected(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _spread(rows, subject, "connected_ms", since=subject.connected_since, until=at)
    rows.put(SUBJECTS, replace(subject, connected_since=None))


def _executing(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    rows.put(SUBJECTS, replace(subject, executing_since=at))


def _executed(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _spread(rows, subject, "executing_ms", since=subject.executing_since, until=at)
    rows.put(SUBJECTS, replace(subject, executing_since=None))


def _gone(rows: Rows, event: Any, subject: SubjectRow, at: datetime) -> None:
    _spread(rows, subject, "connected_ms", since=subject.connected_since, until=at)
    rows.put(SUBJECTS, replace(subject, ended_at=at, connected_since=None))


def _spread(
    rows: Rows, subject: SubjectRow, name: str, *, since: datetime | None, until: datetime
) -> None:
    for hour, share in split(since, until) if since else ():
        rows.add(HOURS, subject.organisation_id, hour, **{name: share})


_FOLDS: dict[type[Any], Fold] = {
    Job.Submitted: _submitted,
    Job.Completed: _completed,
    Part.Ordered: _nothing,
    Part.PiecePassed: _passed,
    Part.PieceScrapped: _scrapped,
    Build.Planned: _nothing,
    Build.Finished: _used,
    Build.Failed: _used,
    Build.Cancelled: _used,
    Node.Registered: _nothing,
    Node.MachineConnected: _connected,
    Node.MachineDisconnected: _disconnected,
    Node.ExecutionBegan: _executing,
    Node.ExecutionEnded: _executed,
    Node.Decommissioned: _gone,
}
Kpis.topics = frozenset(event.TOPIC for event in _FOLDS)

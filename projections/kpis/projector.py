"""Folds the first figures into hourly buckets. Integers only; ``rows.KpiRow`` has the formulas."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from domain.build.aggregate import Build
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.period.aggregate import Period, PeriodStatus
from domain.shared.moments import heard
from domain.shared.recorded import RecordedEvent
from projections.kpis import links
from projections.kpis.rows import (
    ContributionRow,
    DowntimeRow,
    HourRow,
    IntervalRow,
    PeriodRow,
    SubjectRow,
)
from projections.kpis.shares import MS, Shares
from projections.projection import Projection, topics_of
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
CONTRIBUTIONS = Table(
    ContributionRow,
    "contributions",
    ("organisation_id", "hour", "position"),
    indexes=("organisation_id, position",),
    past=Past.GROWS,
)
INTERVALS = Table(
    IntervalRow, "intervals", ("node_id", "what", "position"), past=Past.GROWS, sought=True
)
DOWNTIMES = Table(
    DowntimeRow,
    "downtimes",
    ("node_id", "since"),
    indexes=("organisation_id",),
    fixed=("organisation_id",),
)
PERIODS = Table(
    PeriodRow,
    "periods",
    ("id",),
    indexes=("organisation_id, cut_position",),
    fixed=("organisation_id", "month", "since", "until", "cut_position"),
)


@dataclass(slots=True)
class Folding:
    """One event on its way: what is known of its subject, and what it adds to which hours."""

    rows: Rows
    recorded: RecordedEvent
    subject: SubjectRow
    shares: Shares = field(default_factory=Shares)

    @property
    def at(self) -> datetime:
        """When it happened."""
        return self.recorded.envelope.occurred_at

    @property
    def downtimes(self) -> list[DowntimeRow]:
        """Of the machine."""
        return self.rows.having(DOWNTIMES, node_id=self.subject.id)

    def begin(self, what: str) -> None:
        """An interval of the machine begins."""
        node = links.begin(self.shares, self.subject, what, self.at, self.downtimes)
        self.subject = self.rows.put(SUBJECTS, node)

    def end(self, what: str) -> None:
        """It ends."""
        since = links.since_of(self.subject, what)
        node = links.end(self.shares, self.subject, what, self.at, self.downtimes)
        self.subject = self.rows.put(SUBJECTS, node)
        if since is not None and since < self.at and what in links.TELLING:
            interval = IntervalRow(
                node_id=node.id,
                what=what,
                position=self.recorded.position,
                since=since,
                until=self.at,
            )
            self.rows.put(INTERVALS, interval)


Fold = Callable[[Folding, Any], None]
"""What an event of a known subject adds to which hours."""


class Kpis(Projection):
    """Announces ids of organisations."""

    name = "kpis"
    version = 2
    tables = (HOURS, SUBJECTS, CONTRIBUTIONS, INTERVALS, DOWNTIMES, PERIODS)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """What is remembered of the job, part, build or node; of all nodes at a cut-off."""
        event, key = recorded.event, str(recorded.aggregate_id)
        if isinstance(event, Period.CutOff):
            yield Need(SUBJECTS, ("organisation_id", "kind"), (event.organisation_id, "node"))
            yield Need(DOWNTIMES, ("organisation_id",), (event.organisation_id,))
        elif isinstance(event, Period.Closed):
            yield Need(PERIODS, ("id",), (key,))
        else:
            yield Need(SUBJECTS, ("id",), (key,))
            if recorded.kind == "node":
                yield Need(DOWNTIMES, ("node_id",), (key,))
            if isinstance(event, Node.DowntimeRecorded | Node.DowntimeWithdrawn):
                yield Need(INTERVALS, ("node_id",), (key,))

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Begin to remember a subject, or count what became of it."""
        event = recorded.event
        if isinstance(event, Period.CutOff | Period.Closed):
            rows.touch(_fold_period(rows, event, recorded))
            return
        if isinstance(event, Job.Submitted | Part.Ordered | Build.Planned | Node.Registered):
            subject = rows.put(SUBJECTS, _begun(event, recorded))
        else:
            subject = rows.get(SUBJECTS, str(recorded.aggregate_id))
        folding = Folding(rows, recorded, subject)
        _FOLDS[type(event)](folding, event)
        _book(rows, recorded, subject.organisation_id, folding.shares)
        rows.touch(subject.organisation_id)


def _book(rows: Rows, recorded: RecordedEvent, organisation_id: str, shares: Shares) -> None:
    """Add to the hours, and note which event did."""
    for hour, amounts in shares.taken():
        rows.add(HOURS, organisation_id, hour, **amounts)
        contribution = ContributionRow(
            organisation_id=organisation_id,
            hour=hour,
            position=recorded.position,
            event_id=recorded.event_id,
            what=type(recorded.event).__qualname__,
            at=recorded.envelope.occurred_at,
            amounts=amounts,
        )
        rows.append(CONTRIBUTIONS, contribution)


def _fold_period(rows: Rows, event: Any, recorded: RecordedEvent) -> str:
    """What goes on at a cut-off counts up to the month's end; the report follows."""
    if isinstance(event, Period.Closed):
        actor = recorded.envelope.actor
        return rows.change(
            PERIODS,
            str(recorded.aggregate_id),
            status=PeriodStatus.CLOSED.value,
            closed_position=recorded.position,
            closed_at=recorded.envelope.occurred_at,
            closed_by=f"{actor.kind}/{actor.id}",
            digest=event.digest,
            figures=event.figures,
        ).organisation_id
    period = rows.put(PERIODS, _cut_off(event, recorded))
    shares = Shares()
    downtimes = rows.having(DOWNTIMES, organisation_id=period.organisation_id)
    for node in rows.having(SUBJECTS, organisation_id=period.organisation_id, kind="node"):
        rows.put(SUBJECTS, links.accrue(shares, node, period.until, downtimes))
    _book(rows, recorded, period.organisation_id, shares)
    return period.organisation_id


def _cut_off(event: Period.CutOff, recorded: RecordedEvent) -> PeriodRow:
    return PeriodRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        month=event.month,
        since=heard(event.effective_from, field="effective_from"),
        until=heard(event.effective_until, field="effective_until"),
        cut_position=recorded.position,
        status=PeriodStatus.CUT_OFF.value,
        closed_position=0,
        closed_at=None,
        closed_by="",
        digest="",
        figures={},
    )


def _begun(event: Any, recorded: RecordedEvent) -> SubjectRow:
    at = recorded.envelope.occurred_at
    return SubjectRow(
        id=str(recorded.aggregate_id),
        kind=recorded.kind,
        organisation_id=event.organisation_id,
        quantity=vars(event).get("quantity", 0),
        began_at=at,
        ended_at=None,
        known_since=at if recorded.kind == "node" else None,
        connected_since=None,
        executing_since=None,
        accrued_until=None,
    )


def _nothing(folding: Folding, event: Any) -> None:
    """It is only remembered."""


def _submitted(folding: Folding, event: Any) -> None:
    folding.shares.count(folding.at, jobs_submitted=1)


def _completed(folding: Folding, event: Any) -> None:
    took = max(0, (folding.at - folding.subject.began_at) // MS)
    folding.shares.count(folding.at, jobs_completed=1, completion_ms=took)


def _passed(folding: Folding, event: Any) -> None:
    ordered = int(event.piece < folding.subject.quantity)
    folding.shares.count(folding.at, pieces_passed=1, first_tries=ordered, first_passes=ordered)


def _scrapped(folding: Folding, event: Any) -> None:
    ordered = int(event.piece < folding.subject.quantity)
    folding.shares.count(folding.at, pieces_scrapped=1, first_tries=ordered)


def _used(folding: Folding, event: Any) -> None:
    folding.shares.count(
        folding.at, builds_ended=1, material_mg=event.material_mg, energy_j=event.energy_j
    )


def _measured_anew(folding: Folding, event: Build.FiguresCorrected) -> None:
    folding.shares.count(
        heard(event.effective_from, field="effective_from"),
        material_mg=event.material_difference_mg,
        energy_j=event.energy_difference_j,
    )


def _gone(folding: Folding, event: Any) -> None:
    for what in links.KINDS:
        folding.end(what)
    folding.rows.put(SUBJECTS, replace(folding.subject, ended_at=folding.at))


def _down(folding: Folding, event: Any) -> None:
    withdrawn = isinstance(event, Node.DowntimeWithdrawn)
    since = heard(event.effective_from, field="effective_from")
    until = heard(event.effective_until, field="effective_until")
    links.shift(
        folding.shares,
        folding.subject,
        (since, until),
        intervals=folding.rows.having(INTERVALS, node_id=folding.subject.id),
        sign=1 if withdrawn else -1,
    )
    row = DowntimeRow(
        node_id=folding.subject.id,
        since=since,
        organisation_id=folding.subject.organisation_id,
        until=until,
        withdrawn=withdrawn,
    )
    folding.rows.put(DOWNTIMES, row)


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
    Build.FiguresCorrected: _measured_anew,
    Node.Registered: _nothing,
    Node.MachineConnected: lambda folding, _: folding.begin(links.CONNECTED),
    Node.MachineDisconnected: lambda folding, _: folding.end(links.CONNECTED),
    Node.ExecutionBegan: lambda folding, _: folding.begin(links.EXECUTING),
    Node.ExecutionEnded: lambda folding, _: folding.end(links.EXECUTING),
    Node.DowntimeRecorded: _down,
    Node.DowntimeWithdrawn: _down,
    Node.Decommissioned: _gone,
}
Kpis.topics = frozenset(event.TOPIC for event in _FOLDS) | topics_of(Period)

"""Rows of the figures: integers in hourly buckets, and the formulas that make rates of them."""

from dataclasses import dataclass, fields
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HourRow:
    """What happened in one organisation in one hour (UTC). ms, mg and J.

    ``completion_ms`` sums, over the jobs completed in the hour, submission to completion.
    ``first_tries`` counts ordered (not replacement) pieces that were judged in the hour, and
    ``first_passes`` those of them that passed. ``material_mg`` and ``energy_j`` sum what builds
    that ended in the hour used, scrap included. ``known_ms``, ``connected_ms`` and ``executing_ms``
    hold intervals that have ended, and what goes on up to the end of the last month cut off.
    """

    organisation_id: str
    hour: datetime
    jobs_submitted: int = 0
    jobs_completed: int = 0
    completion_ms: int = 0
    first_tries: int = 0
    first_passes: int = 0
    pieces_passed: int = 0
    pieces_scrapped: int = 0
    builds_ended: int = 0
    material_mg: int = 0
    energy_j: int = 0
    executing_ms: int = 0
    connected_ms: int = 0
    known_ms: int = 0


FIGURES = tuple(
    field.name for field in fields(HourRow) if field.name not in {"organisation_id", "hour"}
)
"""Names of the amounts in the order in which they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRow:
    """What one event added to one hour: the sums of these are the hours. ``amounts``: figure →
    integer, without zeros; ``at``: when the event happened."""

    organisation_id: str
    hour: datetime
    position: int
    event_id: str
    what: str
    at: datetime
    amounts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """What a figure must remember of a job, part, build or node until its end.

    ``began_at``: submission or registration; ``ended_at``: decommissioning; ``quantity``: pieces
    ordered. ``known_since``, ``connected_since`` and ``executing_since`` are set while the interval
    goes on; up to ``accrued_until``, the end of a month cut off, it is in the hours already.
    """

    id: str
    kind: str
    organisation_id: str
    quantity: int
    began_at: datetime
    ended_at: datetime | None
    known_since: datetime | None
    connected_since: datetime | None
    executing_since: datetime | None
    accrued_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A machine was connected, or executed, from ``since`` up to ``until``. ``position``: of the
    event that ended it."""

    node_id: str
    what: str
    position: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DowntimeRow:
    """A person said that a machine was down, and perhaps took it back."""

    node_id: str
    since: datetime
    organisation_id: str
    until: datetime
    withdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRow:
    """A month from its cut-off on. ``cut_position``: up to which its report counts; ``digest``
    and ``figures``: as its closing event keeps them, empty before."""

    id: str
    organisation_id: str
    month: str
    since: datetime
    until: datetime
    cut_position: int
    status: str
    closed_position: int
    closed_at: datetime | None
    closed_by: str
    digest: str
    figures: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiRow:
    """The figures of one organisation in one period, intervals that go on counted up to ``until``.

    ``known_ms`` sums the time for which each node was part of the fleet.
    """

    organisation_id: str
    since: datetime
    until: datetime
    jobs_submitted: int
    jobs_completed: int
    completion_ms: int
    first_tries: int
    first_passes: int
    pieces_passed: int
    pieces_scrapped: int
    builds_ended: int
    material_mg: int
    energy_j: int
    executing_ms: int
    connected_ms: int
    known_ms: int

    @property
    def mean_completion_ms(self) -> float | None:
        """``completion_ms / jobs_completed``."""
        return _ratio(self.completion_ms, self.jobs_completed)

    @property
    def first_time_success(self) -> float | None:
        """``first_passes / first_tries``: ordered pieces that passed without a replacement."""
        return _ratio(self.first_passes, self.first_tries)

    @property
    def utilisation(self) -> float | None:
        """``executing_ms / connected_ms``: of the time machines were reachable, they worked."""
        return _ratio(self.executing_ms, self.connected_ms)

    @property
    def uptime(self) -> float | None:
        """``connected_ms / known_ms``: of the time machines were in the fleet, reachable."""
        return _ratio(self.connected_ms, self.known_ms)

    @property
    def material_mg_per_part(self) -> float | None:
        """``material_mg / pieces_passed``: scrap is borne by what passed."""
        return _ratio(self.material_mg, self.pieces_passed)

    @property
    def energy_j_per_part(self) -> float | None:
        """``energy_j / pieces_passed``, as meters or virtual meters reported it."""
        return _ratio(self.energy_j, self.pieces_passed)


def _ratio(numerator: int, denominator: int) -> float | None:
    """``None`` where there is nothing to divide by: no work is neither good nor bad."""
    return numerator / denominator if denominator else None

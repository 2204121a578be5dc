"""Rows of orders, parts, pieces, builds, dispatches, decisions and the timeline of a job.

``created`` is the position of the object's first event, ``position`` that of the last event that
changed the row, ``version`` the aggregate's version at it. Times are the events' ``occurred_at``.
Durations are ms, energy J, volume mm³, mass mg; estimates are for one piece.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """An order. ``lines`` counts its parts, ``pieces`` the pieces ordered."""

    id: str
    organisation_id: str
    owner_id: str
    name: str
    priority: int
    deadline: datetime | None
    status: str
    cancel_requested: bool
    cancel_reason: str
    lines: int
    pieces: int
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """An order line. ``counts``: how many of its pieces stand in each piece state.

    ``reasons`` say why it was rejected: code, message, remedy; ``waiting_for`` in the same way why
    no machine could take a piece that waits. ``program`` is empty before validation.
    """

    id: str
    organisation_id: str
    job_id: str
    line: int
    name: str
    artifact: dict[str, Any]
    material: str
    quantity: int
    status: str
    verdict: str
    scheduled: bool
    cancel_requested: bool
    process: str
    program: dict[str, Any]
    size_mm: list[float]
    duration_ms: int
    material_mm3: int
    material_mg: int
    estimated_by: str
    reasons: list[dict[str, str]]
    failure: str
    waiting_for: list[dict[str, str]]
    counts: dict[str, int]
    created: int
    position: int
    version: int

    @property
    def passed(self) -> int:
        """Pieces that are as ordered."""
        return self.counts.get("PASSED", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRow:
    """One physical try. ``replacement`` is the number of the piece made instead, or -1."""

    part_id: str
    piece: int
    organisation_id: str
    job_id: str
    status: str
    build_id: str
    node_id: str
    reason: str
    judged_by: str
    replacement: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """One run of one machine. ``planned_*`` are estimates, the others what was reported.

    ``program`` is the G-code artifact; ``facts`` what was known when the outcome was lost;
    ``passed`` is ``None`` until somebody has judged. ``energy_source`` names who measured.
    """

    id: str
    organisation_id: str
    job_id: str
    dispatch_id: str
    attempt: int
    node_id: str
    part_id: str
    piece: int
    pieces: list[dict[str, Any]]
    program: dict[str, Any]
    material: str
    planned_duration_ms: int
    planned_material_mm3: int
    planned_material_mg: int
    epoch: int
    inventory_id: str
    bridge: str
    status: str
    percent: int
    cancel_requested: bool
    began: bool
    duration_ms: int
    energy_j: int
    energy_source: str
    material_mm3: int
    material_mg: int
    reason: str
    native_text: str
    facts: dict[str, Any]
    passed: bool | None
    inspected_by: str
    planned_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRow:
    """The saga of one piece."""

    id: str
    organisation_id: str
    job_id: str
    part_id: str
    piece: int
    work: dict[str, Any]
    status: str
    attempt: int
    build_id: str
    node_id: str
    inventory_id: str
    reason: str
    outcome: str
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """Why a node was chosen for one attempt: rejections, score terms, runner-up, policy."""

    event_id: str
    position: int
    at: datetime
    organisation_id: str
    job_id: str
    part_id: str
    piece: int
    dispatch_id: str
    attempt: int
    build_id: str
    node_id: str
    decision: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One event of a job's story. ``what`` is ``<Aggregate>.<Event>``, ``words`` a sentence.

    ``piece`` is -1 where none is meant. ``actor`` is ``<kind>/<id>``.
    """

    job_id: str
    position: int
    at: datetime
    what: str
    words: str
    organisation_id: str
    part_id: str
    piece: int
    build_id: str
    node_id: str
    event_id: str
    actor: str

"""Rows of machines and of the runs on them. ms are milliseconds; see ``jobs/rows`` for the rest."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A machine. ``virtual``: a simulated one.

    ``connected_ms`` and ``executing_ms`` sum the intervals that have ended; one that goes on
    began at ``connected_since`` or ``executing_since``. ``holding`` is why it takes no new work.
    """

    id: str
    organisation_id: str
    owner_id: str
    name: str
    bridge: str
    virtual: bool
    status: str
    process: str
    profile: dict[str, Any]
    profile_version: int
    connected: bool
    identity: dict[str, Any]
    disconnect_reason: str
    availability: str
    execution: str
    emergency_stop: str
    conditions: list[dict[str, str]]
    bed_clear: bool
    held: bool
    holding: str
    stopped: bool
    build_id: str
    epoch: int
    builds_ended: int
    registered_at: datetime
    connected_since: datetime | None
    executing_since: datetime | None
    connected_ms: int
    executing_ms: int
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A build as its machine sees it."""

    build_id: str
    organisation_id: str
    node_id: str
    job_id: str
    part_id: str
    piece: int
    program_name: str
    status: str
    percent: int
    planned_duration_ms: int
    started_at: datetime | None
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A machine with the run that holds it, if one does."""

    node: NodeRow
    run: RunRow | None

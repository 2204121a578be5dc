"""Rows of the event history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event with its envelope. ``body`` holds its fields as a dict; personal ones stay sealed.

    ``recorded_at`` is by the clock of the service that wrote the event, ``stored_at`` by the log
    server's. On its way in ``body`` is the bytes that were hashed, and the column keeps their very
    text.
    """

    position: int
    event_id: str
    topic: str
    kind: str
    aggregate_id: str
    version: int
    organisation_id: str
    site_id: str
    actor_kind: str
    actor_id: str
    command_id: str
    causation_id: str
    correlation_id: str
    occurred_at: datetime
    recorded_at: datetime
    stored_at: datetime
    schema_version: int
    previous_hash: str
    hash: str
    body: Any

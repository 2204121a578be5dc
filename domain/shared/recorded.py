"""An event as followers of the log meet it: the fact, its envelope, its position.

Two of these are named tuples: a replay makes millions, and each field of a frozen dataclass takes
twice as long to set.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.shared.aggregate import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who caused an event. ``kind`` is ``user``, ``service``, ``bridge`` or ``system``."""

    kind: str
    id: str


class Envelope(NamedTuple):
    """What is true of every event, beside its body.

    Times are UTC with milliseconds. ``command_id`` is the command's full name (uuid5 of
    organisation, principal and the client's command id), ``causation_id`` the event or command
    that led to it, ``correlation_id`` the one that began the story.
    """

    command_id: str
    causation_id: str
    correlation_id: str
    organisation_id: str
    site_id: str
    actor: Actor
    occurred_at: datetime
    traceparent: str = ""


class RecordedEvent(NamedTuple):
    """One event of the log, decoded once and given to every follower.

    ``position`` is a 64-bit integer: log epoch in the high bits, stream sequence in the low.
    ``kind`` is the aggregate's word in the subject (``job``, ``node`` ...), ``body`` the stored
    JSON bytes as they were hashed. ``stored_at`` is the log server's own time, cut to whole
    microseconds, which ``asOf`` goes by; ``recorded_at`` that of the service that wrote the event.
    """

    event: Fact
    envelope: Envelope
    position: int
    kind: str
    aggregate_id: UUID
    version: int
    event_id: str
    recorded_at: datetime
    stored_at: datetime
    topic: str
    schema_version: int
    previous_hash: str
    hash: str
    body: bytes

"""The short way from a message of the log to its event, for those that tell all as our writer does.

What differs in anything, and all that cannot be read, takes the long way by its record, which alone
says what is wrong with it. Both ways lead to the same event.
"""

from datetime import datetime
from functools import lru_cache
from re import compile as pattern
from uuid import UUID

from domain.shared.recorded import Envelope, RecordedEvent
from ops.eventstore.envelope import HASH, actor_of
from ops.eventstore.mapper import event_from
from ops.eventstore.raw import RawEvent

ALWAYS = ("Imewe-Version", "Imewe-Topic", "Imewe-Event", "Imewe-Recorded", "Imewe-Schema", HASH)
WRITTEN = (
    "Imewe-Version",
    "Imewe-Topic",
    "Imewe-Prev",
    "Imewe-Event",
    "Imewe-Command",
    "Imewe-Cause",
    "Imewe-Story",
    "Imewe-Org",
    "Imewe-Site",
    "Imewe-Actor-Kind",
    "Imewe-Actor",
    "Imewe-Occurred",
    "Imewe-Trace",
    "Imewe-Recorded",
    "Imewe-Prev-Hash",
    "Imewe-Schema",
    HASH,
)
"""The order in which headers are written; those that would be empty are left out."""


@lru_cache(maxsize=8192)
def _place(subject: str) -> tuple[str, UUID]:
    """Kind and id; events of one aggregate come again and again."""
    _, kind, token = subject.rsplit(".", 2)
    return kind, UUID(token)


def _line(name: str) -> str:
    line = rf"\r\n{name}:([^\r]*+)"
    return line if name in ALWAYS else f"(?:{line})?+"


_HEAD = pattern(r"NATS/1\.0" + "".join(map(_line, WRITTEN)) + "(?=\r\n)")
"""Possessive throughout: the next line tells whether one is there, so nothing is tried twice."""

_OURS = "\r\nImewe-"


def decoded(raw: RawEvent) -> RecordedEvent | None:
    """The event, or ``None`` when it takes the long way."""
    try:
        return _decoded(raw)
    except Exception:  # the long way tells what it was
        return None


def _decoded(raw: RawEvent) -> RecordedEvent | None:
    text = raw.head.decode()
    told = _HEAD.match(text)
    if told is None or text.find(_OURS, told.end()) >= 0:
        return None
    (
        version_text, topic, _, event_id, command, cause, story, organisation, site, actor_kind,
        actor, occurred, trace, recorded, previous_hash, schema, hash_text,
    ) = told.groups("")  # fmt: skip
    kind, aggregate_id = _place(raw.subject)
    version, schema_version = int(version_text), int(schema)
    occurred_at = datetime.fromisoformat(occurred or recorded)
    return RecordedEvent(
        event=event_from(
            aggregate_id,
            version,
            topic=topic,
            body=raw.body,
            occurred_at=occurred_at,
            schema_version=schema_version,
            command=command,
        ),
        envelope=Envelope(
            command_id=command,
            causation_id=cause,
            correlation_id=story,
            organisation_id=organisation,
            site_id=site,
            actor=actor_of(actor_kind, actor),
            occurred_at=occurred_at,
            traceparent=trace,
        ),
        position=raw.sequence,
        kind=kind,
        aggregate_id=aggregate_id,
        version=version,
        event_id=event_id,
        recorded_at=datetime.fromisoformat(recorded),
        stored_at=raw.stored_at,
        topic=topic,
        schema_version=schema_version,
        previous_hash=previous_hash,
        hash=hash_text,
        body=raw.body,
    )

"""The stored form of one event: a fixed list of headers, a body, and a hash over both.

The hash is ``sha256:`` and the hex digest over these byte strings, each after its own length as
eight bytes, most significant first: the subject, the headers of ``FIELDS`` in that order (the
aggregate version is the first of them; a header that is not there counts as empty), the body as
it is stored. Headers whose name begins with ``Nats-`` belong to the server and are not covered.
``Imewe-Prev-Hash`` is the hash of the same aggregate's previous event, empty for its first.

``Imewe-Prev`` lists stream sequences of the aggregate's previous events, the newest last, at most
``WINDOW`` of them: every version since the last multiple of ``WINDOW``, that one included. An
entry below zero counts back from the event's own sequence (its predecessors in one atomic batch).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from re import compile as pattern
from urllib.parse import quote, unquote
from uuid import UUID

from domain.shared import identifiers
from domain.shared.errors import InvalidInputError
from domain.shared.recorded import Actor, Envelope
from ops.eventstore.wire import Message, parse_headers

WINDOW = 50

FIELDS = (
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
    "Imewe-Recorded",
    "Imewe-Schema",
    "Imewe-Trace",
    "Imewe-Prev-Hash",
)
HASH = "Imewe-Hash"
STORED = "Nats-Time-Stamp"

_TOPIC = pattern(r"imewe\.([a-z_]+):")
_UNSAFE = pattern(r"[\x00-\x1f\x7f]|^\s|\s$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message of the log as it is stored."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def version(self) -> int:
        return int(self.headers["Imewe-Version"])

    @property
    def topic(self) -> str:
        return self.headers["Imewe-Topic"]

    @property
    def hash(self) -> str:
        return self.headers[HASH]

    @property
    def previous_hash(self) -> str:
        return self.headers.get("Imewe-Prev-Hash", "")

    @property
    def previous(self) -> tuple[int, ...]:
        """Stream sequences of earlier events of the aggregate, the newest last."""
        listed = self.headers.get("Imewe-Prev", "")
        entries = [int(entry) for entry in listed.split(",")] if listed else []
        return tuple(entry if entry > 0 else self.sequence + entry for entry in entries)

    @property
    def stored_at(self) -> datetime:
        """When the log server took it, by its clock; cut to whole microseconds."""
        return datetime.fromisoformat(self.headers[STORED].strip())

    @property
    def aggregate(self) -> str:
        """The last token of the subject."""
        return self.subject.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """The aggregate's word in the subject."""
        return self.subject.rsplit(".", 2)[1]


def record_of(message: Message) -> Record:
    """Read a message that came from a direct get."""
    headers = parse_headers(message.head)
    return Record(
        sequence=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"].strip(),
        headers=headers,
        body=message.body,
    )


def headers_of(envelope: Envelope | None) -> dict[str, str]:
    """The part of the headers that the envelope gives. Raises ``InvalidInputError``."""
    if envelope is None:
        return {}
    given = {
        "Imewe-Command": envelope.command_id,
        "Imewe-Cause": envelope.causation_id,
        "Imewe-Story": envelope.correlation_id,
        "Imewe-Org": envelope.organisation_id,
        "Imewe-Site": envelope.site_id,
        "Imewe-Actor-Kind": envelope.actor.kind,
        "Imewe-Actor": envelope.actor.id,
        "Imewe-Occurred": time_text(envelope.occurred_at),
        "Imewe-Trace": envelope.traceparent,
    }
    for name, value in given.items():
        if _UNSAFE.search(value):
            raise InvalidInputError(f"{name} may not hold control characters", field=name)
    return given


def envelope_of(headers: Mapping[str, str], *, occurred_at: datetime) -> Envelope:
    """The envelope of a stored event; what was never given is empty."""
    get = headers.get
    return Envelope(
        command_id=get("Imewe-Command", ""),
        causation_id=get("Imewe-Cause", ""),
        correlation_id=get("Imewe-Story", ""),
        organisation_id=get("Imewe-Org", ""),
        site_id=get("Imewe-Site", ""),
        actor=actor_of(get("Imewe-Actor-Kind", ""), get("Imewe-Actor", "")),
        occurred_at=occurred_at,
        traceparent=get("Imewe-Trace", ""),
    )


@lru_cache(maxsize=1024)
def actor_of(kind: str, actor_id: str) -> Actor:
    """A few people and services do everything."""
    return Actor(kind=kind, id=actor_id)


def head_block(headers: Mapping[str, str]) -> bytes:
    """A NATS header block of the values that are not empty."""
    lines = [f"{name}:{value}" for name, value in headers.items() if value != ""]
    return ("NATS/1.0\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def hash_of(subject: str, headers: Mapping[str, str], body: bytes) -> str:
    """The hash of one event, as the head of this module says."""
    covered = [subject.encode(), *(headers.get(name, "").encode() for name in FIELDS), body]
    parts = [part for value in covered for part in (len(value).to_bytes(8, "big"), value)]
    return "sha256:" + sha256(b"".join(parts)).hexdigest()


def time_text(moment: datetime) -> str:
    """UTC with milliseconds, ``2026-11-21T10:00:00.123Z``. A time without a zone is refused."""
    if moment.tzinfo is None:
        raise InvalidInputError("a time needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def kind_of(topic: str) -> str:
    """The aggregate's word in ``imewe.<word>:<Event>``; ``other`` for foreign topics."""
    found = _TOPIC.match(topic)
    return found[1] if found else "other"


def token_of(originator_id: UUID | str) -> str:
    """The subject token of an aggregate's id; a text that is no UUID is escaped after ``s-``."""
    if isinstance(originator_id, UUID):
        return str(originator_id)
    return "s-" + quote(originator_id, safe="").replace(".", "%2E")


def id_of(token: str) -> UUID | str:
    """The id again, of the type it had."""
    return unquote(token[2:]) if token.startswith("s-") else UUID(token)


def event_id(token: str, version: int) -> str:
    """An event's id follows from its aggregate and version, so a retry names the same event."""
    return identifiers.event_id(token, version)


def previous_text(trail: Sequence[int], index: int) -> str:
    """Write a trail for the event at ``index`` of its batch.

    Entries above zero are stream sequences; ``-1 - i`` stands for the batch's own event ``i``.
    """
    return ",".join(str(e if e > 0 else -1 - e - index) for e in trail)

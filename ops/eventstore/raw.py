"""Messages of the log as a reader finds them, before anybody takes their headers apart."""

from datetime import UTC, datetime, timedelta
from re import compile as pattern
from typing import NamedTuple

from domain.shared.errors import UnavailableError
from ops.eventstore.envelope import STORED, Record
from ops.eventstore.wire import Message, parse_headers

SECOND_NS = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOLD_BY_SERVER = b"\r\nNats-Stream: "
_PLACE = pattern(
    rb"\S+\r\nNats-Subject: (\S+)\r\nNats-Sequence: (\d+)\r\nNats-Time-Stamp: ([^\r]+)\r\n"
)


class RawEvent(NamedTuple):
    """One message of the log. ``head`` is the block its writer made, without what the server adds
    to an answer; ``stored_ns`` is when the server took it, in nanoseconds since 1970."""

    sequence: int
    stored_ns: int
    subject: str
    head: bytes
    body: bytes

    @property
    def stored_at(self) -> datetime:
        """Cut to whole microseconds."""
        return datetime.fromtimestamp(self.stored_ns // 1000 / 1_000_000, UTC)


def raw_of(message: Message) -> RawEvent:
    """An answer to a direct get. Raises ``UnavailableError`` when it does not tell its place."""
    own, _, told = message.head.rpartition(_TOLD_BY_SERVER)
    place = _PLACE.match(told)
    if place is None:
        raise UnavailableError("the log answers without the place of the event")
    subject, sequence, stored = place.groups()
    return RawEvent(
        int(sequence),
        nanoseconds(stored.decode()),
        subject.decode(),
        own + b"\r\n\r\n",
        message.body,
    )


def record_of_raw(raw: RawEvent) -> Record:
    """Its record, with the writer's headers and the time at which it was stored."""
    headers = parse_headers(raw.head)
    headers[STORED] = time_stamp(raw.stored_ns)
    return Record(sequence=raw.sequence, subject=raw.subject, headers=headers, body=raw.body)


def nanoseconds(text: str) -> int:
    """``2026-11-21T10:00:00.12Z`` in nanoseconds since 1970."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int((datetime.fromisoformat(whole + "+00:00") - _EPOCH).total_seconds())
    return seconds * SECOND_NS + int(f"{fraction:0<9}")


def time_stamp(since_1970: int) -> str:
    """The same text again, as the server writes it: no zeros at its end."""
    seconds, fraction = divmod(since_1970, SECOND_NS)
    whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"

"""What goes into the recorder and what comes out of it, as the library's ``StoredEvent``."""

from dataclasses import dataclass
from datetime import datetime

from eventsourcing.persistence import Notification, StoredEvent

from ops.eventstore.envelope import Record, id_of


@dataclass(frozen=True)
class OutgoingEvent(StoredEvent):
    """What our mapper adds for the headers; the envelope's own time goes before this one."""

    occurred_at: datetime
    schema_version: int


class _Same:
    """Equal to any ``StoredEvent`` that tells the same fact; the conformance cases compare so."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(self, StoredEvent) or not isinstance(other, StoredEvent):
            return NotImplemented
        return (
            self.originator_id == other.originator_id
            and self.originator_version == other.originator_version
            and self.topic == other.topic
            and self.state == other.state
        )

    def __hash__(self) -> int:
        raise TypeError("a stored event is no key")


@dataclass(frozen=True, eq=False)
class ReadEvent(_Same, StoredEvent):
    """An event as it was read, with its place and headers."""

    record: Record


@dataclass(frozen=True, eq=False)
class ReadNotification(_Same, Notification):
    """The same as a notification; ``id`` is the stream sequence."""

    record: Record


def read_event(record: Record) -> ReadEvent:
    return ReadEvent(
        originator_id=id_of(record.aggregate),
        originator_version=record.version,
        topic=record.topic,
        state=record.body,
        record=record,
    )


def notification(record: Record) -> ReadNotification:
    return ReadNotification(
        originator_id=id_of(record.aggregate),
        originator_version=record.version,
        topic=record.topic,
        state=record.body,
        id=record.sequence,
        record=record,
    )

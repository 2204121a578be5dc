"""Events as plain JSON, described by ``schema/events``; everything else is in the headers.

The body holds an event's own fields and nothing more. A field annotated as something JSON does not
know comes back as what the annotation says, so that a replay folds the values the first fold saw.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import orjson
from eventsourcing.domain import CanInitAggregate, CanSnapshotAggregate, DomainEventProtocol
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    Mapper,
    MapperDeserialisationError,
    ProgrammingError,
    StoredEvent,
    Transcoder,
)
from eventsourcing.utils import get_topic, resolve_topic

from domain.shared.errors import InvalidInputError
from ops.eventstore.envelope import Record, time_text
from ops.eventstore.shapes import restored
from ops.eventstore.snapshot_state import packed, unpacked
from ops.eventstore.stored import OutgoingEvent, ReadEvent, ReadNotification

_IN_HEADERS = frozenset({"originator_id", "originator_version", "timestamp", "command"})


class ImeweMapper(Mapper[UUID]):
    """Between our events and their stored form; the library finds it by ``MAPPER_TOPIC``."""

    def __init__(
        self,
        transcoder: Transcoder,
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        super().__init__(transcoder, compressor, cipher)
        if compressor is not None or cipher is not None:
            raise ProgrammingError("the log holds plain JSON: no compressor, no cipher")

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """The body, and what the headers need beside the envelope."""
        topic = get_topic(type(domain_event))
        return OutgoingEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=topic,
            state=_body(domain_event, topic),
            occurred_at=cast("Any", domain_event).timestamp,
            schema_version=_class_version(type(domain_event)),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """The event again, with the name of the command that led to it."""
        if isinstance(stored_event, ReadEvent | ReadNotification):
            return cast("DomainEventProtocol[UUID]", event_of(stored_event.record))
        if not isinstance(stored_event, OutgoingEvent):
            raise ProgrammingError("this event was not read from the log")
        event = _event(
            stored_event,
            occurred_at=stored_event.occurred_at,
            schema_version=stored_event.schema_version,
            command="",
        )
        return cast("DomainEventProtocol[UUID]", event)


def event_of(record: Record) -> Any:
    """The event that a record tells. Raises ``MapperDeserialisationError``."""
    headers = record.headers
    try:
        return _event(
            StoredEvent(
                originator_id=UUID(record.aggregate),
                originator_version=record.version,
                topic=record.topic,
                state=record.body,
            ),
            occurred_at=occurred_at(record),
            schema_version=int(headers.get("Imewe-Schema", "1")),
            command=headers.get("Imewe-Command", ""),
        )
    except Exception as error:
        raise MapperDeserialisationError(
            f"sequence {record.sequence} cannot be read as an event: {error}"
        ) from error


def occurred_at(record: Record) -> datetime:
    """When it happened in the shop; when it was recorded, if nobody said."""
    headers = record.headers
    return datetime.fromisoformat(headers.get("Imewe-Occurred") or headers["Imewe-Recorded"])


def json_bytes(values: dict[str, Any]) -> bytes:
    """Compact JSON; times as UTC text with milliseconds, decimals and ids as text.

    Raises ``InvalidInputError`` for what is neither JSON nor one of those.
    """
    try:
        return orjson.dumps(values, default=_as_text, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError as error:
        raise InvalidInputError(f"not to be stored: {error.__cause__ or error}") from error


def aggregate_topic(event_topic: str) -> str:
    """By convention: ``imewe.purchase_order:Opened`` belongs to ``...:PurchaseOrder``."""
    prefix, _, _ = event_topic.partition(":")
    words = prefix.rpartition(".")[2].split("_")
    return f"{prefix}:{''.join(word.capitalize() for word in words)}"


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"an event cannot hold a {type(value).__qualname__}")


def _body(event: Any, topic: str) -> bytes:
    values = {k: v for k, v in vars(event).items() if k not in _IN_HEADERS}
    if isinstance(event, CanSnapshotAggregate):
        values["state"] = packed(values["state"])
    elif values.get("originator_topic") == aggregate_topic(topic):
        del values["originator_topic"]
    return json_bytes(values)


def _event(stored: StoredEvent, *, occurred_at: datetime, schema_version: int, command: str) -> Any:
    cls = resolve_topic(stored.topic)
    values: dict[str, Any] = orjson.loads(stored.state)
    for version in range(schema_version, _class_version(cls)):
        getattr(cls, f"upcast_v{version}_v{version + 1}")(values)
    if issubclass(cls, CanSnapshotAggregate):
        values["state"] = unpacked(values["state"])
    else:
        restored(cls, values)
        if issubclass(cls, CanInitAggregate):
            values.setdefault("originator_topic", aggregate_topic(stored.topic))
    values["originator_id"] = stored.originator_id
    values["originator_version"] = stored.originator_version
    values["timestamp"] = occurred_at
    if command:
        values["command"] = command
    event = object.__new__(cls)
    object.__setattr__(event, "__dict__", values)
    return event


def _class_version(cls: type[Any]) -> int:
    return int(getattr(cls, "class_version", 1))

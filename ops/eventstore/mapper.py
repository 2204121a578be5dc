"""Events as plain JSON, described by ``schema/events``; everything else is in the headers.

The body holds an event's own fields and nothing more. A field annotated as something JSON does not
know comes back as what the annotation says, so that a replay folds the values the first fold saw.
"""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from eventsourcing.domain import (
    CanInitAggregate,
    CanSnapshotAggregate,
    DomainEvent,
    DomainEventProtocol,
)
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    Mapper,
    MapperDeserialisationError,
    ProgrammingError,
    StoredEvent,
    Transcoder,
)
from eventsourcing.utils import TopicError, get_topic, resolve_topic

from domain.shared.aggregate import AggregateSnapshot
from domain.shared.errors import InvalidInputError, NewerVersionError
from ops.eventstore.envelope import Record, time_text
from ops.eventstore.shapes import restored
from ops.eventstore.snapshot_state import packed, unpacked
from ops.eventstore.stored import OutgoingEvent, ReadEvent, ReadNotification
from schema.registry import known_upcasters

OUR_TOPICS = "imewe."
_IN_HEADERS = frozenset({"originator_id", "originator_version", "timestamp", "command"})


class NewerEventError(NewerVersionError, MapperDeserialisationError):
    """An event of a later release: its topic or its version is not known here.

    Followers park its aggregate; the write side refuses to load it.
    """


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
            schema_version=version_of(type(domain_event)),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """The event again, with the name of the command that led to it."""
        if isinstance(stored_event, ReadEvent | ReadNotification):
            return cast("DomainEventProtocol[UUID]", event_of(stored_event.record))
        if not isinstance(stored_event, OutgoingEvent):
            raise ProgrammingError("this event was not read from the log")
        event = event_from(
            stored_event.originator_id,
            stored_event.originator_version,
            topic=stored_event.topic,
            body=stored_event.state,
            occurred_at=stored_event.occurred_at,
            schema_version=stored_event.schema_version,
            command="",
        )
        return cast("DomainEventProtocol[UUID]", event)


def event_of(record: Record) -> Any:
    """The event that a record tells; an older version is brought up to today's.

    Raises ``NewerEventError`` for what a later release wrote, else ``MapperDeserialisationError``.
    """
    headers = record.headers
    try:
        return event_from(
            _uuid(record.aggregate),
            record.version,
            topic=record.topic,
            body=record.body,
            occurred_at=occurred_at(record),
            schema_version=int(headers.get("Imewe-Schema", "1")),
            command=headers.get("Imewe-Command", ""),
        )
    except NewerVersionError as error:
        raise NewerEventError(
            f"sequence {record.sequence}: {error.message}", remedy=error.remedy
        ) from error
    except Exception as error:
        raise MapperDeserialisationError(
            f"sequence {record.sequence} cannot be read as an event: {error}"
        ) from error


def occurred_at(record: Record) -> datetime:
    """When it happened in the shop; when it was recorded, if nobody said."""
    headers = record.headers
    return datetime.fromisoformat(headers.get("Imewe-Occurred") or headers["Imewe-Recorded"])


def event_class(topic: str) -> type[Any]:
    """The class of an event or snapshot. Raises ``NewerVersionError`` for an unknown topic.

    A topic is never taken for the name of a Python module to import: a log may come from anywhere.
    """
    if not topic.startswith(OUR_TOPICS) and topic != get_topic(AggregateSnapshot):
        raise _newer(f"{topic[:80]!r} is no event of Imewe's")
    try:
        found = resolve_topic(topic)
    except TopicError as error:
        raise _newer(f"this program does not know the event {topic[:80]}") from error
    known: Any = found
    if not (isinstance(known, type) and _form_of(known).is_event):
        raise _newer(f"{topic[:80]} is no event")
    return known


def version_of(cls: type[Any]) -> int:
    """The version of its stored form that a class writes."""
    return int(getattr(cls, "class_version", 1))


def upcast(topic: str, values: dict[str, Any], before: int, after: int) -> dict[str, Any]:
    """A stored body of version ``before`` as ``after`` would have it."""
    return known_upcasters().apply(topic, values, from_version=before, to_version=after)


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


class _Form(NamedTuple):
    """What a class is, as far as its stored form goes."""

    is_event: bool
    is_snapshot: bool
    creates: bool


@lru_cache(maxsize=1024)
def _form_of(cls: Any) -> _Form:
    """To ask a class for its bases takes longer than to read the body of an event."""
    return _Form(
        is_event=issubclass(cls, DomainEvent),
        is_snapshot=issubclass(cls, CanSnapshotAggregate),
        creates=issubclass(cls, CanInitAggregate),
    )


_uuid = lru_cache(maxsize=8192)(UUID)
"""Events of one aggregate come again and again."""


def event_from(
    originator_id: UUID | str,
    originator_version: int,
    *,
    topic: str,
    body: bytes,
    occurred_at: datetime,
    schema_version: int,
    command: str,
) -> Any:
    """The event that stored values tell; raises whatever is wrong with them."""
    cls: Any = event_class(topic)
    values: dict[str, Any] = orjson.loads(body)
    form = _form_of(cls)
    if form.is_snapshot:
        values["state"] = unpacked(values["state"])
    else:
        values = restored(cls, _as_known(cls, topic, values, schema_version))
        if form.creates:
            values.setdefault("originator_topic", aggregate_topic(topic))
    values["originator_id"] = originator_id
    values["originator_version"] = originator_version
    values["timestamp"] = occurred_at
    if command:
        values["command"] = command
    event = object.__new__(cls)
    object.__setattr__(event, "__dict__", values)
    return event


def _as_known(
    cls: type[Any], topic: str, values: dict[str, Any], schema_version: int
) -> dict[str, Any]:
    known = version_of(cls)
    if schema_version > known:
        raise _newer(f"{topic} has version {schema_version}, this program knows {known}")
    return upcast(topic, values, schema_version, known) if schema_version < known else values


def _newer(words: str) -> NewerVersionError:
    return NewerVersionError(words, remedy="a later release wrote it: upgrade Imewe first")

"""The two event stores of the store bench, each with its own mapper, saving the same events.

Ours writes more: an envelope of seventeen headers and a hash over all of it. Both servers are on
one disk and synced before they acknowledge.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Protocol
from uuid import UUID, uuid4

from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Mapper,
    UUIDAsHex,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from domain.build.aggregate import Build
from ops.bench.servers import envelope
from ops.eventstore.client import Client, Publication
from ops.eventstore.envelope import head_block
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.mapper import ImeweMapper
from ops.eventstore.reader import STRETCH, LogReader
from ops.eventstore.streams import LogNames
from ops.eventstore.wire import Address

PAGE = 1000
HEADERS_BYTES = 700
"""About what the headers of one event take."""


class Side(Protocol):
    """One store of events, with its mapper."""

    label: str

    def save(self, events: Sequence[Build.Progressed]) -> None:
        """Record durably, all or none."""

    def load(self, aggregate: UUID) -> int:
        """Read and decode one aggregate's events; how many there are."""

    def replay(self, first: int, last: int) -> int:
        """Read, decode and fold the events from one position to another; how many there were."""


class Ours:
    """JetStream with our recorder, mapper, envelope and hash chain."""

    label = "JetStream, ours"

    def __init__(self, address: Address, names: LogNames | None = None) -> None:
        names = names or LogNames()
        self._factory = JetStreamFactory(
            {
                "NATS_HOST": address.host,
                "NATS_PORT": str(address.port),
                "NATS_USER": address.user,
                "NATS_PASSWORD": address.password,
                "NATS_STREAM": names.stream,
                "NATS_SUBJECTS": names.subjects,
                "NATS_LIVE": names.live,
                "NATS_SNAPSHOT_STREAM": names.snapshot_stream,
                "NATS_SNAPSHOT_SUBJECTS": names.snapshot_subjects,
            }
        )
        self._recorder = self._factory.application_recorder()
        self._mapper = ImeweMapper(JSONTranscoder())
        self._client = Client(address)
        self._reader = LogReader(self._client, names=names)
        self._envelope = envelope(datetime.now(UTC))

    def save(self, events: Sequence[Build.Progressed]) -> None:
        """See ``Side``."""
        stored = [self._mapper.to_stored_event(event) for event in events]
        self._recorder.insert_events(stored, envelope=self._envelope)

    def load(self, aggregate: UUID) -> int:
        """See ``Side``."""
        found = self._recorder.select_events(aggregate)
        return len([self._mapper.to_domain_event(each) for each in found])

    def replay(self, first: int, last: int) -> int:
        """See ``Side``; the fold is the newest percent of each build."""
        percents: dict[UUID, int] = {}
        position, count = first - 1, 0
        while position < last:
            events = self._reader.read(position, min(STRETCH, last - position))
            for recorded in events:
                percents[recorded.aggregate_id] = recorded.event.percent  # type: ignore[attr-defined]
            count += len(events)
            position = events[-1].position
        return count

    def close(self) -> None:
        """Close all connections."""
        self._reader.close()
        self._client.close()
        self._factory.close()


class Theirs:
    """The library's PostgreSQL recorder with the library's mapper."""

    label = "PostgreSQL, the library's"

    def __init__(self, conninfo: str, *, table: str) -> None:
        given = conninfo_to_dict(conninfo)
        self._datastore = PostgresDatastore(
            dbname=str(given["dbname"]),
            host=str(given["host"]),
            port=str(given.get("port") or 5432),
            user=str(given["user"]),
            password=str(given.get("password") or ""),
        )
        recorder = PostgresApplicationRecorder(self._datastore, events_table_name=table)
        recorder.create_table()
        self._recorder = recorder
        transcoder = JSONTranscoder()
        for each in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO()):
            transcoder.register(each)
        self._mapper: Mapper[UUID] = Mapper(transcoder)

    def save(self, events: Sequence[Build.Progressed]) -> None:
        """See ``Side``."""
        stored = [self._mapper.to_stored_event(event) for event in events]
        self._recorder.insert_events(stored)

    def load(self, aggregate: UUID) -> int:
        """See ``Side``."""
        found = self._recorder.select_events(aggregate)
        return len([self._mapper.to_domain_event(each) for each in found])

    def replay(self, first: int, last: int) -> int:
        """See ``Side``."""
        percents: dict[UUID, int] = {}
        position, count = first, 0
        decode = self._mapper.to_domain_event
        while position <= last:
            page = self._recorder.select_notifications(position, PAGE, last)
            for notification in page:
                event: Build.Progressed = decode(notification)  # type: ignore[assignment]
                percents[event.originator_id] = event.percent
            count += len(page)
            position = page[-1].id + 1
        return count

    def close(self) -> None:
        """Close all connections."""
        self._datastore.close()


def progressed(aggregate: UUID, version: int) -> Build.Progressed:
    """One event of the kind that a shop writes most of."""
    return Build.Progressed(
        originator_id=aggregate,
        originator_version=version,
        timestamp=datetime.now(UTC),
        percent=version % 100,  # type: ignore[call-arg]
    )


def ready_frames(saves: int, *, at_once: int) -> list[list[Publication]]:
    """Saves of one new object each, as large as ours, framed before the clock starts."""
    made = []
    for _ in range(saves):
        subject = f"imewe.events.build.{uuid4()}"
        batch = token_hex(6)
        frames = []
        for number in range(1, at_once + 1):
            headers = {"Imewe-Filling": "x" * HEADERS_BYTES}
            if number == 1:
                headers["Nats-Expected-Last-Subject-Sequence"] = "0"
            if at_once > 1:
                headers["Nats-Batch-Id"] = batch
                headers["Nats-Batch-Sequence"] = str(number)
                headers["Nats-Batch-Commit"] = "1" if number == at_once else ""
            frames.append(Publication(subject, head_block(headers), b'{"percent":35}'))
        made.append(frames)
    return made

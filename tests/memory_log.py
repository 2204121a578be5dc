"""The event log in memory, with envelopes and positions as the real one gives them.

``PERSISTENCE_MODULE=tests.memory_log`` makes the library use it."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from eventsourcing import popo
from eventsourcing.persistence import AggregateRecorder, StoredEvent

from ops.eventstore.envelope import STORED, Record, event_id, headers_of, time_text, token_of
from ops.eventstore.stored import OutgoingEvent, read_event

MODULE = "tests.memory_log"
MAPPER = "ops.eventstore.mapper:ImeweMapper"
ENVIRONMENT = {"PERSISTENCE_MODULE": MODULE, "MAPPER_TOPIC": MAPPER}


class MemoryLog(popo.POPOApplicationRecorder):
    """Call ``before`` or ``after`` around the next save, once each."""

    def __init__(self) -> None:
        super().__init__()
        self.before: deque[Callable[[], None]] = deque()
        self.after: deque[Callable[[], None]] = deque()
        self.records: list[Record] = []

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        if self.before:
            self.before.popleft()()
        envelope = headers_of(kwargs["envelope"])
        with self._database_lock:
            self._assert_uniqueness(stored_events)
            self._assert_contiguity(stored_events)
            first = len(self._stored_events) + 1
            records = [
                _record(stored, envelope, position)
                for position, stored in enumerate(stored_events, start=first)
            ]
            self.records += records
            positions = self._update_table([read_event(record) for record in records])
        if self.after:
            self.after.popleft()()
        return positions

    def _assert_contiguity(self, stored_events: Sequence[StoredEvent]) -> None:
        for stored in stored_events[:1]:
            known = self._stored_events_index[str(stored.originator_id)]
            assert stored.originator_version == len(known) + 1


class MemorySnapshots(popo.POPOAggregateRecorder):
    """Nothing else is asked of it."""


class MemoryFactory(popo.POPOFactory):
    """The only factory in this module, as the library demands."""

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return MemorySnapshots()

    def application_recorder(self) -> MemoryLog:
        return MemoryLog()


def _record(stored: StoredEvent, envelope: dict[str, str], position: int) -> Record:
    assert isinstance(stored, OutgoingEvent)
    assert isinstance(stored.originator_id, UUID)
    token = token_of(stored.originator_id)
    kind = stored.topic.partition(":")[0].rpartition(".")[2]
    headers = {
        "Imewe-Version": str(stored.originator_version),
        "Imewe-Topic": stored.topic,
        "Imewe-Event": event_id(token, stored.originator_version),
        "Imewe-Recorded": time_text(stored.occurred_at),
        "Imewe-Schema": str(stored.schema_version),
        STORED: time_text(stored.occurred_at),
        **envelope,
    }
    return Record(
        sequence=position,
        subject=f"imewe.events.{kind}.{token}",
        headers={name: value for name, value in headers.items() if value},
        body=stored.state,
    )

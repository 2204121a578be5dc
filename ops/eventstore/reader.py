"""Follows the log: decodes every event once and says when there is more.

Works on a LOG connection, and on an APP connection through the imported subjects ``imewe.log.get``
and ``imewe.log.info`` (``LogReader.through_import``).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError

from domain.aggregates import AGGREGATES
from domain.shared.errors import ForbiddenError, ImeweError, UnavailableError
from domain.shared.recorded import RecordedEvent
from ops.eventstore.client import Client, Pending, read_answer
from ops.eventstore.decoding import decoded
from ops.eventstore.envelope import Record, envelope_of
from ops.eventstore.loading import LogFiles
from ops.eventstore.mapper import event_of
from ops.eventstore.raw import RawEvent, record_of_raw
from ops.eventstore.scan import Scan
from ops.eventstore.streams import LogNames
from ops.eventstore.wakeup import WakeUp
from ops.eventstore.wire import ConnectionLostError, NoAnswerError

STRETCH = 125
"""Events in one question. A reader that wanted a whole one, and got it, will want more."""

READABLE = AGGREGATES
"""Their import makes the topics of every event known, whatever else a follower imports."""


class PoisonEventError(ImeweError):
    """One event of the log cannot be read here; those before it were delivered.

    Park the aggregate (``kind``, ``aggregate_id``) from ``position`` on and read again with
    ``after=position``.
    """

    code = "POISON_EVENT"

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(f"event {record.sequence} ({record.subject}) cannot be read: {reason}")
        self.position = record.sequence
        self.kind = record.kind
        self.aggregate_id = record.aggregate
        self.reason = reason


class _Ahead(NamedTuple):
    """What was asked before anybody wanted it."""

    after: int
    size: int
    pending: Pending


class LogReader:
    """Reads events in the order of the log. One caller at a time. Positions are sequences."""

    def __init__(
        self,
        client: Client,
        *,
        names: LogNames | None = None,
        get_subject: str = "",
        info_subject: str = "",
    ) -> None:
        names = names or LogNames()
        self._client = client
        self._scannable = "" if get_subject else names.stream
        self._info_subject = info_subject or f"$JS.API.STREAM.INFO.{names.stream}"
        self._wake_up = client.subscribe(f"{names.live}.>")
        self._ahead: _Ahead | None = None
        self._scan: Scan | None = None
        self._files = LogFiles(
            client,
            direct_get=get_subject or f"$JS.API.DIRECT.GET.{names.stream}",
            subjects=names.subjects,
        )

    @classmethod
    def through_import(cls, client: Client) -> Self:
        """A reader for users of the APP account."""
        return cls(client, get_subject="imewe.log.get", info_subject="imewe.log.info")

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        """Up to ``limit`` events after a position; empty when there are none yet.

        An event that cannot be read ends the list; when it would be the first,
        ``PoisonEventError`` is raised instead, so nothing is ever skipped in silence.
        """
        found: list[RecordedEvent] = []
        for stretch in self._stretches(after, limit):
            for raw in stretch:
                try:
                    found.append(decoded(raw) or recorded_event(record_of_raw(raw)))
                except PoisonEventError:
                    if not found:
                        raise
                    return found
        return found

    def read_raw(self, after: int, limit: int = 1000) -> list[Record]:
        """The stored form, for audit; nothing is decoded."""
        return [record_of_raw(raw) for found in self._stretches(after, limit) for raw in found]

    def last_position(self) -> int:
        """The position of the newest event, 0 for an empty log."""
        answer = read_answer(self._client.request(self._info_subject))
        return int(answer["state"]["last_seq"])

    def last_of(self, aggregate_id: UUID | str) -> Record | None:
        """The newest record of an aggregate."""
        return self._files.last(str(aggregate_id))

    def history_of(self, aggregate_id: UUID | str, *, upto: int = 0) -> list[Record]:
        """All records of an aggregate, the oldest first; ``upto`` is the last version wanted."""
        last = self.last_of(aggregate_id)
        if last is None:
            return []
        return self._files.history(last, above=-1, down_from=upto or last.version)

    def events_of(
        self, aggregate_id: str, *, first: int, upto: int
    ) -> tuple[list[RecordedEvent], PoisonEventError | None]:
        """An aggregate's events from one position to another, up to the first that cannot be
        read."""
        found: list[RecordedEvent] = []
        for record in self.history_of(aggregate_id):
            if first <= record.sequence <= upto:
                try:
                    found.append(recorded_event(record))
                except PoisonEventError as error:
                    return found, error
        return found, None

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a sign that there is more than was read."""
        self._forget_ahead()  # it may have been answered before what the sign is for
        self._forget_scan()
        return self._listen().wait(timeout)

    def stop(self) -> None:
        """End a waiting ``wait`` of another thread, and all later ones at once."""
        self._wake_up.stop()

    def close(self) -> None:
        """Close the wake-up's connection; the client belongs to the caller."""
        self._forget_ahead()
        self._forget_scan()
        self._wake_up.stop()

    def _stretches(self, after: int, limit: int) -> Iterator[list[RawEvent]]:
        """Up to ``limit`` events, a few at a time: they stay in the processor's cache, and the
        server finds the next ones while the caller is busy with these."""
        self._listen()
        while limit > 0:
            size = min(STRETCH, limit)
            found = self._next(after, size)
            limit = limit - size if len(found) == size else 0
            if len(found) == STRETCH:
                after = found[-1].sequence
                self._look_ahead(after, min(STRETCH, limit) or STRETCH)
            yield found

    def _next(self, after: int, size: int) -> list[RawEvent]:
        asked = self._asked_before(after, size)
        if asked is not None:
            return asked
        found = self._scanned(after, size)
        if len(found) < size:
            after = found[-1].sequence if found else after
            found += self._files.raw_stretch(after + 1, size - len(found))
        return found

    def _look_ahead(self, after: int, size: int) -> None:
        """Let the server find what follows: by a scan, where one may be made."""
        if self._scan is not None:
            return
        if self._scannable:
            try:
                self._scan = Scan(self._client, self._scannable, after=after)
            except ForbiddenError:
                self._scannable = ""
            except UnavailableError:
                pass  # the next question waits for the server as long as it may
            return
        self._ahead = _Ahead(after, size, self._files.begin_stretch(after + 1, size))

    def _scanned(self, after: int, size: int) -> list[RawEvent]:
        """The next events of the scan, when it is there; fewer when it has ended."""
        if self._scan is None:
            return []
        found = self._scan.take(size) if self._scan.after == after else []
        if len(found) < size:
            self._forget_scan()
        return found

    def _asked_before(self, after: int, size: int) -> list[RawEvent] | None:
        """The answer to the question asked ahead, when it was this one and was answered."""
        ahead = self._ahead
        if ahead is None or (ahead.after, ahead.size) != (after, size):
            self._forget_ahead()
            return None
        self._ahead = None
        try:
            return self._files.finish_stretch(ahead.pending)
        except (ConnectionLostError, NoAnswerError):
            return None

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.pending.abandon()
            self._ahead = None

    def _forget_scan(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan = None

    def _listen(self) -> WakeUp:
        """Listening begins before the first read, or an event between the two would be missed."""
        self._wake_up.begin()
        return self._wake_up


def recorded_event(record: Record) -> RecordedEvent:
    """Decode one record. Raises ``PoisonEventError``."""
    headers = record.headers
    try:
        event = event_of(record)
        return RecordedEvent(
            event=event,
            envelope=envelope_of(headers, occurred_at=event.timestamp),
            position=record.sequence,
            kind=record.kind,
            aggregate_id=event.originator_id,
            version=event.originator_version,
            event_id=headers["Imewe-Event"],
            recorded_at=datetime.fromisoformat(headers["Imewe-Recorded"]),
            stored_at=record.stored_at,
            topic=record.topic,
            schema_version=int(headers.get("Imewe-Schema", "1")),
            previous_hash=record.previous_hash,
            hash=record.hash,
            body=record.body,
        )
    except (MapperDeserialisationError, ValueError, KeyError) as error:
        raise PoisonEventError(record, str(error)) from error

"""The library's recorders on JetStream: stream sequence = notification id."""

from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProgrammingError,
    StoredEvent,
    Subscription,
)

from ops.eventstore.appending import Appender
from ops.eventstore.client import Client
from ops.eventstore.envelope import Record, token_of
from ops.eventstore.heads import HeadCache, head_of
from ops.eventstore.loading import LogFiles
from ops.eventstore.stored import notification, read_event
from ops.eventstore.wakeup import WakeUp

SELECT_LIMIT = 500
FALLBACK_S = 5.0
"""A follower looks at least this often, even if no wake-up came."""


class JetStreamAggregateRecorder(AggregateRecorder):
    """Records and reads the events of single aggregates."""

    def __init__(self, appender: Appender, files: LogFiles, heads: HeadCache) -> None:
        self._appender = appender
        self._files = files
        self._heads = heads

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record all or none. ``envelope=`` gives the headers; the adapter demands none."""
        self._append(stored_events, kwargs)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The aggregate's events; two round trips per window of 50 events at most."""
        token = token_of(originator_id)
        last = self._files.last(token)
        if last is None:
            return []
        self._heads.put(token, head_of(last))
        above = -1 if gt is None else gt
        down_from = last.version if lte is None else min(lte, last.version)
        if limit is not None and desc:
            above = max(above, down_from - limit)
        records = self._files.history(last, above=above, down_from=down_from)
        if desc:
            records.reverse()
        return [read_event(record) for record in records[:limit]]

    def _append(self, stored_events: Sequence[StoredEvent], given: dict[str, Any]) -> list[int]:
        if given.get("tracking") is not None:
            raise ProgrammingError("the log takes no tracking; positions live with the read models")
        return self._appender.append(stored_events, given.get("envelope"))


class JetStreamApplicationRecorder(JetStreamAggregateRecorder, ApplicationRecorder):
    """Records the events of all aggregates in one total order."""

    def __init__(
        self,
        appender: Appender,
        files: LogFiles,
        heads: HeadCache,
        *,
        client: Client,
        stream: str,
        live: str,
    ) -> None:
        super().__init__(appender, files, heads)
        self._client = client
        self._stream = stream
        self._live = live

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record all or none; the events' positions."""
        return self._append(stored_events, kwargs)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events in the order of the log. Topics are filtered here: subjects know only kinds."""
        first = (start or 0) if start is None or inclusive_of_start else start + 1
        found: list[Notification] = []
        while len(found) < limit:
            records, first = self.stretch(first, limit if not topics else max(limit, SELECT_LIMIT))
            wanted = [r for r in records if stop is None or r.sequence <= stop]
            found += [notification(r) for r in wanted if not topics or r.topic in topics]
            if len(wanted) < len(records) or not records:
                break
        return found[:limit]

    def max_notification_id(self) -> int | None:
        """The last position, or ``None`` for an empty log."""
        answer = self._client.api(f"STREAM.INFO.{self._stream}")
        return int(answer["state"]["last_seq"]) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Events after ``gt``, for ever; ``stop()`` ends a waiting iteration too."""
        wake_up = self._client.subscribe(self._live)
        wake_up.begin()
        return JetStreamSubscription(self, wake_up, gt=gt, topics=topics)

    def stretch(self, first: int, limit: int) -> tuple[list[Record], int]:
        """Up to ``limit`` records from ``first`` on, and where the next stretch begins."""
        records = self._files.stretch(first, limit)
        return records, records[-1].sequence + 1 if records else first


class JetStreamSubscription(Subscription[ApplicationRecorder]):
    """Follows the log in the caller's own thread."""

    def __init__(
        self,
        recorder: JetStreamApplicationRecorder,
        wake_up: WakeUp,
        *,
        gt: int | None,
        topics: Sequence[str],
    ) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._log = recorder
        self._wake_up = wake_up
        self._next = (gt or 0) + 1
        self._ready: deque[Notification] = deque()

    def stop(self) -> None:
        super().stop()
        self._wake_up.stop()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._ready:
                return self._ready.popleft()
            records, self._next = self._log.stretch(self._next, SELECT_LIMIT)
            topics = self._topics
            self._ready.extend(notification(r) for r in records if not topics or r.topic in topics)
            if not records:
                self._wake_up.wait(FALLBACK_S)
        raise StopIteration

"""Where a runner's events come from."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from domain.shared.recorded import RecordedEvent
from ops.eventstore.reader import PoisonEventError
from ops.projecting.applying import Batch, Unreadable

BATCH_LIMIT = 1000


class EventSource(Protocol):
    """The log as a follower meets it: ``ops.eventstore.reader.LogReader``."""

    def read(self, after: int, limit: int = BATCH_LIMIT) -> list[RecordedEvent]:
        """Events after a position; raises ``PoisonEventError`` for one that cannot be read."""

    def events_of(
        self, aggregate_id: str, *, first: int, upto: int
    ) -> tuple[list[RecordedEvent], PoisonEventError | None]:
        """An aggregate's events between two positions, up to the first that cannot be read."""

    def last_position(self) -> int:
        """The position of the newest event, 0 for an empty log."""

    def wait(self, timeout: float) -> bool:
        """Wait until there may be more, at most ``timeout`` seconds."""


def ahead(
    source: EventSource, after: int, *, limit: int = BATCH_LIMIT
) -> Generator[Batch, None, None]:
    """All batches behind a position; the next is read while the one before is folded."""
    with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as reading:
        coming = reading.submit(next_batch, source, after, limit=limit)
        while (batch := coming.result()) is not None:
            coming = reading.submit(next_batch, source, batch.upto, limit=limit)
            yield batch


def next_batch(source: EventSource, after: int, *, limit: int = BATCH_LIMIT) -> Batch | None:
    """What follows a position, or ``None`` at the end of the log."""
    try:
        events = source.read(after, limit)
    except PoisonEventError as error:
        poison = Unreadable(error.position, error.kind, str(error.aggregate_id), error.reason)
        return Batch((), error.position, poison)
    return Batch(events, events[-1].position) if events else None

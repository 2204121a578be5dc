"""Where stored events come from: a running installation, a stopped one, or a gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ops.eventstore.envelope import Record
from ops.messaging.serving import served
from ops.projecting.wiring import log_reader
from ops.settings import Settings

PAGE = 1000

Pages = Iterator[tuple[list[Record], int]]
"""Records in order, and the position up to which they are all that the source shows."""


class StoredLog(Protocol):
    """A log that gives its events as they are stored: ``ops.eventstore.reader.LogReader``."""

    def last_position(self) -> int:
        """The position of the newest event, 0 for an empty log."""

    def read_raw(self, after: int, limit: int = PAGE) -> list[Record]:
        """What follows a position."""


@contextmanager
def log_of(settings: Settings) -> Iterator[StoredLog]:
    """The log of an installation, whether it runs or is stopped; raises what ``served`` does."""
    with served(settings), log_reader(settings) as reader:
        yield reader


def pages_of(log: StoredLog, *, first: int, last: int) -> Pages:
    """The events of positions ``first`` to ``last``."""
    after = first - 1
    while after < last:
        records = [each for each in log.read_raw(after, PAGE) if each.sequence <= last]
        if not records:
            return
        after = records[-1].sequence
        yield records, after

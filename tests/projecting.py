"""What the tests of the read side share: a migrated database and a runner over a list."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg

from domain.shared.recorded import RecordedEvent
from ops.database.migrations import migrate
from ops.projecting.applying import Batch, apply, parked_keys
from ops.projecting.comparing import canonical
from ops.projecting.places import Connection, settle
from ops.projecting.runner import Announcement, Runner
from ops.projecting.source import EventSource
from projections.catalogue import CATALOGUE
from projections.projection import Projection
from tests.stories import MemoryLog


def migrated(database_url: str) -> Connection:
    connection = psycopg.connect(database_url, autocommit=True)
    try:
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def project(
    connection: Connection,
    events: list[RecordedEvent],
    *,
    projections: Iterable[Projection] = CATALOGUE,
    size: int = 1000,
) -> None:
    """Fold all events that a projection has not seen, in batches of ``size``."""
    for projection in projections:
        place = settle(connection, projection)
        parked = parked_keys(connection, place.schema)
        position = place.position
        while position < len(events):
            batch = events[position : position + size]
            apply(
                connection,
                projection,
                place.schema,
                Batch(batch, batch[-1].position),
                after=position,
                parked=parked,
            )
            position = batch[-1].position


def dumped(connection: Connection, projections: Iterable[Projection] = CATALOGUE) -> list[bytes]:
    """Everything the projections hold, in canonical form."""
    return [b"".join(canonical(connection, each)) for each in projections]


class SmallBatches(MemoryLog):
    """A log that gives at most ``size`` events at once and waits a little at its end."""

    def __init__(self, events: list[RecordedEvent], *, size: int) -> None:
        super().__init__(events)
        self.size = size

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        return super().read(after, min(limit, self.size))

    def wait(self, timeout: float) -> bool:
        time.sleep(0.02)
        return False


@contextmanager
def running(
    source: EventSource,
    database_url: str,
    *,
    projections: Sequence[Projection] = CATALOGUE,
    heard: list[Announcement] | None = None,
    **options: Any,
) -> Iterator[Runner]:
    """A runner in a thread; it must end when it is told to."""
    said = [] if heard is None else heard
    runner = Runner(
        source,
        projections,
        connect=partial(psycopg.connect, database_url, autocommit=True),
        announce=said.append,
        **options,
    )
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(30)
        assert not thread.is_alive()


def positions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT p.name, s.position FROM imewe.projections p JOIN imewe.positions s USING (schema)"
    ).fetchall()
    return dict(rows)


def until_all_at(connection: Connection, position: int, *, seconds: float = 60) -> None:
    """Wait until every projection has come to a position."""
    until = time.monotonic() + seconds
    while True:
        found = positions(connection)
        if len(found) == len(CATALOGUE) and min(found.values()) >= position:
            return
        assert time.monotonic() < until, found
        time.sleep(0.02)

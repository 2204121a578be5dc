"""Fills a schema that nobody reads, much faster than one is kept up to date.

Three things go on at once: the log is read ahead, a batch is folded, the one before it is written.
Rows stay in memory between batches, and those that are new go in by COPY. Commits do not wait for
the disk: a crash of PostgreSQL takes the last ones back whole, positions and all, and the build
goes on from there.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from ops import failpoints
from ops.projecting.applying import (
    REFUSED,
    Batch,
    Folded,
    Stand,
    apply,
    fold_into,
    move,
    note_parked,
    parked_keys,
    say_parked,
    wanted_of,
)
from ops.projecting.places import Connection, Place, look_at
from projections.postgres import prefetch
from projections.projection import Projection
from projections.remembering import ROWS_LIMIT, RememberedRows
from projections.rows import Rows

FILLING_LIMIT = 4000
"""Events in one transaction: memory and what a kill repeats, against statements an event."""


class _Step(NamedTuple):
    """A batch that is folded and not written."""

    batch: Batch
    after: int
    rows: Rows
    folded: Folded


class Filler:
    """Brings one schema forward. A context manager, which waits for what it has begun.

    ``position`` is how far it has come, all of it written. Raises ``FencedError`` when the schema
    was dropped or somebody else moved it.
    """

    def __init__(
        self,
        connection: Connection,
        projection: Projection,
        place: Place,
        *,
        rows_limit: int = ROWS_LIMIT,
    ) -> None:
        self.position = place.position
        self.parked = parked_keys(connection, place.schema)
        self._connection = connection
        self._projection = projection
        self._schema = place.schema
        self._rows = RememberedRows(whole=place.position == 0, limit=rows_limit)
        self._rows_limit = rows_limit
        self._unwritten: _Step | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write behind")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.shutdown()

    def take(self, batch: Batch) -> None:
        """Fold what follows in the log, and write what was folded before."""
        self._look_up(batch)
        before = self._unwritten
        if before is None:
            self._unwritten = self._folded(batch)
            return
        writing = self._writer.submit(self._write, before)
        self._unwritten = self._folded(batch)
        if not self._is_written(writing, before):
            self._look_up(batch)
            self._unwritten = self._folded(batch)

    def finish(self) -> None:
        """Write what was folded last."""
        if self._unwritten is not None:
            last, self._unwritten = self._unwritten, None
            self._is_written(self._writer.submit(self._write, last), last)

    def _look_up(self, batch: Batch) -> None:
        """Load the rows that are needed and not remembered. What is folded and not written yet is
        remembered, so it is not missed here."""
        needs = self._projection.needs
        wanted = wanted_of(self._projection, batch)
        lacking = self._rows.lacking(need for event in wanted for need in needs(event))
        if lacking:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                look_at(cursor, self._schema)
                prefetch(cursor, lacking, self._rows)

    def _folded(self, batch: Batch) -> _Step:
        before = self._unwritten
        parked = self.parked | before.folded.parked.keys() if before else self.parked
        folded = fold_into(self._rows, self._projection, batch, parked=parked)
        after = before.batch.upto if before else self.position
        return _Step(batch, after, self._rows.detach(), folded)

    def _is_written(self, writing: Future[None], step: _Step) -> bool:
        """Wait for it. What PostgreSQL refuses is folded again with care, and what was folded on
        top of it is void."""
        try:
            writing.result()
        except REFUSED:
            self._rows = RememberedRows(whole=False, limit=self._rows_limit)
            self._unwritten = None
            apply(
                self._connection,
                self._projection,
                self._schema,
                step.batch,
                after=step.after,
                parked=self.parked,
            )
            self.position = step.batch.upto
            return False
        self.position = step.batch.upto
        self.parked.update(step.folded.parked)
        say_parked(self._projection, step.folded)
        return True

    def _write(self, step: _Step) -> None:
        """In a thread of its own."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            move(cursor, self._schema, Stand(step.after), upto=step.batch.upto)
            look_at(cursor, self._schema)
            cursor.execute("SET LOCAL synchronous_commit = off")
            self._projection.flush(cursor, step.rows)
            note_parked(cursor, self._schema, step.folded)
            failpoints.reach("projections.rows.flushed")
        failpoints.reach("projections.rows.committed")

"""Which messages are new, and what is missing between them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.telemetry.messages import Batch
from projections.postgres import Cursor
from projections.telemetry.known import Head, Known
from projections.telemetry.partitions import DAY_MS

DROPPED: Final = "DROPPED"
MISSING: Final = "MISSING"


class _Gap(NamedTuple):
    number: int
    begun: int
    ended: int
    first: int
    last: int


def take_new(cursor: Cursor, known: Known, batches: Sequence[Batch]) -> list[Batch]:
    """The messages that were not taken before; gaps are written, narrowed and closed by them."""
    found: list[Batch] = []
    seen: set[tuple[str, int, int, int]] = set()
    for batch in batches:
        name = batch.node_id, batch.epoch, batch.seq, batch.begun
        if name not in seen and _is_new(cursor, known, batch):
            found.append(batch)
        seen.add(name)
    keys = sorted({(batch.node_id, batch.epoch) for batch in found})
    cursor.executemany(
        "INSERT INTO telemetry.heads (node_id, epoch, seq, ended) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (node_id, epoch) DO UPDATE SET seq = excluded.seq, ended = excluded.ended",
        [(*key, *known.heads[key]) for key in keys],
    )
    return found


def _is_new(cursor: Cursor, known: Known, batch: Batch) -> bool:
    key = batch.node_id, batch.epoch
    head = known.heads.get(key)
    if head is not None and batch.seq <= head.seq:
        if _fills_gap(cursor, batch):
            _tell_dropped(cursor, batch, since=batch.begun)
            return True
        if _was_taken(cursor, batch):
            return False
        if batch.begun <= head.ended:
            return True
        head = None  # the bridge lost its journal and counts anew
    since = head.ended if head else batch.begun
    expected = head.seq + 1 if head else 1
    if batch.seq > expected:
        _missing(cursor, batch, since=since, first=expected, last=batch.seq - 1)
    _tell_dropped(cursor, batch, since=since)
    known.heads[key] = Head(batch.seq, max(batch.ended, since))
    return True


def _was_taken(cursor: Cursor, batch: Batch) -> bool:
    """Of days that lie in cold files the chunks are not here; what comes again is not new there."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM telemetry.chunks WHERE node_id = %s AND epoch = %s"
        " AND seq = %s AND begun = %s) OR EXISTS (SELECT FROM telemetry.cold"
        " WHERE day = %s AND %s = ANY(nodes))",
        [
            *(batch.node_id, batch.epoch, batch.seq, batch.begun),
            *(batch.begun - batch.begun % DAY_MS, batch.node_id),
        ],
    )
    return cursor.fetchone() == (True,)


def _fills_gap(cursor: Cursor, batch: Batch) -> bool:
    cursor.execute(
        "DELETE FROM telemetry.gaps WHERE node_id = %s AND epoch = %s AND cause = 'MISSING'"
        " AND %s BETWEEN first_seq AND last_seq RETURNING id, begun, ended, first_seq, last_seq",
        [batch.node_id, batch.epoch, batch.seq],
    )
    gaps = [_Gap(*row) for row in cursor.fetchall()]
    for gap in gaps:
        if gap.first < batch.seq:
            _write(
                cursor, batch, MISSING, (gap.begun, batch.begun), seqs=(gap.first, batch.seq - 1)
            )
        if batch.seq < gap.last:
            _write(cursor, batch, MISSING, (batch.ended, gap.ended), seqs=(batch.seq + 1, gap.last))
    return bool(gaps)


def _missing(cursor: Cursor, batch: Batch, *, since: int, first: int, last: int) -> None:
    _write(cursor, batch, MISSING, (since, batch.begun), seqs=(first, last))


def _tell_dropped(cursor: Cursor, batch: Batch, *, since: int) -> None:
    if batch.gap:
        _write(cursor, batch, DROPPED, (since, batch.begun), readings=batch.gap)


def _write(
    cursor: Cursor,
    batch: Batch,
    cause: str,
    span: tuple[int, int],
    *,
    readings: int | None = None,
    seqs: tuple[int, int] | tuple[None, None] = (None, None),
) -> None:
    cursor.execute(
        "INSERT INTO telemetry.gaps"
        " (node_id, epoch, begun, ended, cause, readings, first_seq, last_seq)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [batch.node_id, batch.epoch, min(span), max(span), cause, readings, *seqs],
    )

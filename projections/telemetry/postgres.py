"""Writes messages of telemetry: chunks, roll-ups, gaps and the position, in one transaction."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from domain.shared.errors import ConflictError
from domain.telemetry.messages import Batch
from projections.postgres import Cursor
from projections.telemetry.chunks import encode, pieces
from projections.telemetry.known import Known
from projections.telemetry.order import take_new
from projections.telemetry.partitions import DAY_MS, Stretch, day_of, ensure, month_of
from projections.telemetry.rollups import Rollups, minutes, seconds

MOST_SERIES: Final = 1000
"""Channels of one machine. Who sends new names for ever fills no table."""
_SAMPLE: Final = 1000

_CHUNK: Final = (
    "COPY telemetry.chunks (node_id, epoch, seq, begun, ended, build_id, series, columns)"
    " FROM STDIN (FORMAT BINARY)"
)
_CHUNK_TYPES: Final = ("uuid", "int8", "int8", "int8", "int8", "text", "int4[]", "bytea")
_ROLLUP: Final = """
INSERT INTO telemetry.{table} AS known (series, at, low, high, total, number, last, last_at)
SELECT * FROM unnest(%s::int[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[],
    %s::bigint[], %s::float8[], %s::bigint[])
ON CONFLICT (series, at) DO UPDATE SET
    low = least(known.low, excluded.low),
    high = greatest(known.high, excluded.high),
    total = known.total + excluded.total,
    number = known.number + excluded.number,
    last = CASE WHEN (excluded.last_at, excluded.last) > (known.last_at, known.last)
        THEN excluded.last ELSE known.last END,
    last_at = greatest(known.last_at, excluded.last_at)
"""
_NEWEST: Final = """
UPDATE telemetry.series AS known
SET first_at = least(known.first_at, told.first_at),
    last = CASE WHEN known.last IS NULL OR told.last_at >= known.last_at
        THEN told.last ELSE known.last END,
    last_at = greatest(known.last_at, told.last_at)
FROM unnest(%s::int[], %s::bigint[], %s::float8[], %s::bigint[])
    AS told (id, first_at, last, last_at)
WHERE known.id = told.id
"""


class TelemetryFencedError(ConflictError):
    """Another writer has moved the position."""

    code = "TELEMETRY_FENCED"


class Refusal(NamedTuple):
    """A message that is none: where it came from, why, and its bytes."""

    node_id: str
    fault: str
    detail: str
    sequence: int
    received: int
    body: bytes


def write(
    cursor: Cursor,
    known: Known,
    *,
    upto: int,
    batches: Sequence[Batch],
    refusals: Iterable[Refusal] = (),
) -> int:
    """Take in messages up to sequence `upto` of the stream; returns how many readings were new.

    Call it in a transaction, and throw `known` away when that fails. Raises
    `TelemetryFencedError`.
    """
    cursor.execute(
        "UPDATE telemetry.ingests SET sequence = %s WHERE stream = %s AND sequence = %s",
        [upto, known.stream, known.position],
    )
    if cursor.rowcount != 1:
        raise TelemetryFencedError(f"somebody else has taken in telemetry after {known.position}")
    new = take_new(cursor, known, batches)
    placed = []
    for batch in new:
        series = _series(cursor, known, batch)
        if series is None:
            refusals = [*refusals, _too_many(batch, upto)]
        elif batch.t:
            placed.append((batch, series))
    _copy(cursor, known, placed)
    _roll_up(cursor, known, seconds(placed))
    for refusal in refusals:
        refuse(cursor, refusal)
    known.position = upto
    return sum(len(batch.t) for batch, _ in placed)


def refuse(cursor: Cursor, refusal: Refusal) -> None:
    """Count a message that is none, and keep the beginning of it."""
    cursor.execute(
        "INSERT INTO telemetry.refused AS known"
        " (node_id, fault, number, first_at, last_at, sequence, detail, sample)"
        " VALUES (%s, %s, 1, %s, %s, %s, %s, %s) ON CONFLICT (node_id, fault) DO UPDATE SET"
        " number = known.number + 1, last_at = excluded.last_at, sequence = excluded.sequence,"
        " detail = excluded.detail, sample = excluded.sample",
        [
            refusal.node_id,
            refusal.fault,
            refusal.received,
            refusal.received,
            refusal.sequence,
            refusal.detail[:_SAMPLE].replace("\0", ""),
            refusal.body[:_SAMPLE],
        ],
    )


def _too_many(batch: Batch, sequence: int) -> Refusal:
    detail = f"the machine would have more than {MOST_SERIES} channels"
    return Refusal(batch.node_id, "TOO_MANY_CHANNELS", detail, sequence, batch.received, b"")


def _series(cursor: Cursor, known: Known, batch: Batch) -> list[int] | None:
    """The series of the message's channels in their order; `None` when they would be too many."""
    mine = known.series.setdefault(batch.node_id, {})
    missing = [channel for channel in batch.channels if channel not in mine]
    if missing:
        if len(mine) + len(missing) > MOST_SERIES:
            return None
        cursor.execute(
            "INSERT INTO telemetry.series (node_id, channel, first_at, last_at)"
            " SELECT %s, channel, %s, %s FROM unnest(%s::text[]) AS channel RETURNING channel, id",
            [batch.node_id, batch.begun, batch.begun, missing],
        )
        mine.update(dict(cursor.fetchall()))
    return [mine[channel] for channel in batch.channels]


def _copy(cursor: Cursor, known: Known, placed: Sequence[tuple[Batch, list[int]]]) -> None:
    placed = [(piece, series) for batch, series in placed for piece in pieces(batch)]
    if not placed:
        return
    for day in {batch.begun // DAY_MS for batch, _ in placed}:
        _ensure(cursor, known, "chunks", day_of(day * DAY_MS, table="chunks"))
    with cursor.copy(_CHUNK) as copy:
        copy.set_types(_CHUNK_TYPES)
        for batch, series in placed:
            copy.write_row(
                (
                    UUID(batch.node_id),
                    batch.epoch,
                    batch.seq,
                    batch.begun,
                    batch.ended,
                    batch.build_id,
                    series,
                    encode(batch),
                )
            )


def _roll_up(cursor: Cursor, known: Known, rolled: Rollups) -> None:
    if not rolled:
        return
    for day in {at // DAY_MS for _, at in rolled}:
        _ensure(cursor, known, "seconds", day_of(day * DAY_MS, table="seconds"))
        _ensure(cursor, known, "minutes", month_of(day * DAY_MS, table="minutes"))
    _upsert(cursor, "seconds", rolled)
    _upsert(cursor, "minutes", minutes(rolled))
    _note_newest(cursor, rolled)


def _note_newest(cursor: Cursor, rolled: Rollups) -> None:
    newest: dict[int, tuple[int, float, int]] = {}
    for (series, at), rollup in rolled.items():
        first_at, last, last_at = newest.get(series, (at, rollup.last, rollup.last_at))
        last_at, last = max((last_at, last), (rollup.last_at, rollup.last))
        newest[series] = (min(first_at, at), last, last_at)
    columns = zip(*newest.values(), strict=True)
    cursor.execute(_NEWEST, [_array(newest), *map(_array, columns)])


def _upsert(cursor: Cursor, table: str, rolled: Rollups) -> None:
    """In the order of the key, as every writer does: two never wait for one another crosswise."""
    rows = sorted((*place, *rollup) for place, rollup in rolled.items())
    columns = zip(*rows, strict=True)
    cursor.execute(_ROLLUP.format(table=table).encode(), list(map(_array, columns)))


def _array(numbers: Iterable[float]) -> str:
    """PostgreSQL's text of an array of numbers: the driver looks at each one for six times as
    long."""
    return f"{{{','.join(map(repr, numbers))}}}"


def _ensure(cursor: Cursor, known: Known, table: str, stretch: Stretch) -> None:
    if stretch.name not in known.partitions:
        ensure(cursor, table, stretch)
        known.partitions.add(stretch.name)

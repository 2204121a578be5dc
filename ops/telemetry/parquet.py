"""Days of readings as Apache Parquet, one row a reading: cold storage, and food for notebooks.

Columns: `chunk` (int32, counts the messages of the file), `node_id`, `build_id` (empty at rest),
`epoch`, `seq`, `at` (UTC, ms), `channel`, `value` (float64), `quality` (0 GOOD, 1 STALE, 2 BAD).
Rows are in the order of (machine, epoch, seq), so that one machine's lie together; a row group
holds whole messages. The metadata hold what the file is, under `imewe_telemetry`. Needs the extra
`parquet`; import it only where a file is written or read.
"""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.shared.errors import UnavailableError
from domain.telemetry.messages import QUALITIES
from ops.telemetry.digest import DayDigest
from projections.telemetry.partitions import moment
from projections.telemetry.rows import Asked, Reading

GROUP_ROWS: Final = 100_000
META: Final = b"imewe_telemetry"
_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_SCHEMA: Final = pa.schema(
    [
        ("chunk", pa.int32()),
        ("node_id", _NAME),
        ("build_id", _NAME),
        ("epoch", pa.int64()),
        ("seq", pa.int64()),
        ("at", pa.timestamp("ms", tz="UTC")),
        ("channel", _NAME),
        ("value", pa.float64()),
        ("quality", pa.uint8()),
    ]
)


class Chunk(NamedTuple):
    """One message as it is kept."""

    node_id: str
    build_id: str
    epoch: int
    seq: int
    channels: list[str]
    t: "array[int]"
    v: "array[float]"
    q: bytes


class DayFile:
    """Writes a day; the file has its name only once it is whole and on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_suffix(".unfinished")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._unfinished, _SCHEMA, compression="zstd")
        self._columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        self._digest = DayDigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is not None:
            self._unfinished.unlink()

    def write(self, chunk: Chunk) -> None:
        """One more message, in the order of (machine, epoch, seq)."""
        count = len(chunk.channels)
        columns = self._columns
        columns["chunk"] += [self._digest.chunks] * count
        for name in ("node_id", "build_id", "epoch", "seq"):
            columns[name] += [getattr(chunk, name)] * count
        columns["at"] += chunk.t
        columns["channel"] += chunk.channels
        columns["value"] += chunk.v
        columns["quality"] += chunk.q
        self._digest.take(chunk[:4], channels=chunk.channels, t=chunk.t, v=chunk.v, q=chunk.q)
        if len(columns["chunk"]) >= GROUP_ROWS:
            self._flush()

    def finish(self, **about: Any) -> DayDigest:
        """Close the file, read it again, and give it its name.

        Raises `UnavailableError` when what was read is not what was written.
        """
        self._flush()
        told = {**about, "digest": self._digest.text, "readings": self._digest.readings}
        self._writer.add_key_value_metadata({META: orjson.dumps(told)})
        self._writer.close()
        if digest_of(self._unfinished).text != self._digest.text:
            raise UnavailableError(f"{self._path} does not hold what was written into it")
        _sync(self._unfinished)
        self._unfinished.rename(self._path)
        _sync(self._path.parent)
        return self._digest

    def _flush(self) -> None:
        if self._columns["chunk"]:
            self._writer.write_table(pa.table(self._columns, schema=_SCHEMA))
            self._columns = {name: [] for name in _SCHEMA.names}


def digest_of(path: Path) -> DayDigest:
    """The digest of what a file holds. Raises `UnavailableError`."""
    digest = DayDigest()
    for chunk in chunks_of(path):
        digest.take(chunk[:4], channels=chunk.channels, t=chunk.t, v=chunk.v, q=chunk.q)
    return digest


def chunks_of(path: Path) -> Iterator[Chunk]:
    """The messages of a file. Raises `UnavailableError` for what is none of ours."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from _chunks(_plain(file.read_row_group(group)))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from error


def readings_of(
    path: Path, *, node_id: str, asked: Asked, channels: frozenset[str]
) -> dict[str, list[Reading]]:
    """See `ColdTier`. Only row groups that may hold what is wanted are read."""
    wanted = (
        (pc.field("node_id") == node_id)
        & pc.field("channel").isin(sorted(channels))
        & (pc.field("at") >= pa.scalar(moment(asked.since), _SCHEMA.field("at").type))
        & (pc.field("at") < pa.scalar(moment(asked.until), _SCHEMA.field("at").type))
    )
    if asked.build_id:
        wanted &= pc.field("build_id") == asked.build_id
    try:
        names = ["at", "channel", "value", "quality"]
        table = pq.read_table(path, columns=names, filters=wanted)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    found: dict[str, list[Reading]] = {channel: [] for channel in channels}
    columns = _plain(table)
    for at, channel, value, quality in zip(*(columns[name] for name in names), strict=True):
        found[channel].append((at, value, QUALITIES[quality]))
    for readings in found.values():
        readings.sort(key=lambda reading: reading[0])
    return found


def _plain(table: Any) -> dict[str, list[Any]]:
    """Columns as lists, times as Unix ms."""
    plain = table.set_column(table.schema.get_field_index("at"), "at", table["at"].cast(pa.int64()))
    return {name: plain[name].to_pylist() for name in plain.column_names}


def _chunks(columns: dict[str, list[Any]]) -> Iterator[Chunk]:
    numbers = columns["chunk"]
    begin = 0
    while begin < len(numbers):
        end = begin
        while end < len(numbers) and numbers[end] == numbers[begin]:
            end += 1
        yield Chunk(
            columns["node_id"][begin],
            columns["build_id"][begin],
            columns["epoch"][begin],
            columns["seq"][begin],
            columns["channel"][begin:end],
            array("q", columns["at"][begin:end]),
            array("d", columns["value"][begin:end]),
            bytes(columns["quality"][begin:end]),
        )
        begin = end


def _unreadable(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(f"{path} cannot be read: {error}")


def _sync(path: Path) -> None:
    """Let what was written to a file, or named in a folder, outlive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

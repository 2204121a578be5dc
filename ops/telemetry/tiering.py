"""Moves days of readings from PostgreSQL to Parquet files. Roll-ups stay.

A day is written to a file and read again before its rows go, and its rows go in the transaction
that names the file: whenever it is broken off, the readings are in one of the two.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from domain.shared.errors import UnavailableError
from ops.telemetry.parquet import Chunk, DayFile, digest_of
from projections.telemetry.chunks import decode
from projections.telemetry.partitions import DAY_MS, drop, milliseconds, moment, partitions

Connection = psycopg.Connection[TupleRow]

LOCK: Final = 0x7E1F
LOCK_TIMEOUT: Final = "5s"
FETCH: Final = 500
"""Chunks; up to 13 kB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A day that has left the database. `path` is relative to the folder of cold files."""

    day: str
    part: int
    path: str
    chunks: int
    readings: int
    bytes: int
    digest: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def due(connection: Connection, *, before: int) -> list[str]:
    """Partitions of days that ended before a time (Unix ms), the oldest first."""
    with connection.cursor() as cursor:
        found = partitions(cursor, "chunks")
    return [name for name in found if _day(name) + DAY_MS <= before]


def tier(
    connection: Connection,
    folder: Path,
    *,
    before: int,
    progress: Callable[[str], None] = lambda _text: None,
) -> list[Moved]:
    """Move every day that ended before a time (Unix ms); `connection` is on autocommit.

    Raises `UnavailableError` when a file does not hold what was written, and psycopg's
    `LockNotAvailable` when the database is too busy to let a day go: try again then.
    """
    held = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
    if held != (True,):
        return []
    try:
        moved = []
        for name in due(connection, before=before):
            progress(f"moving {name.removeprefix('chunks_')}")
            found = _move(connection, folder, name)
            moved += [found] if found else []
        return moved
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def verify(connection: Connection, folder: Path) -> Iterator[tuple[str, str]]:
    """Every cold file with what is wrong with it; empty when it holds what was moved there."""
    rows = connection.execute("SELECT path, digest FROM telemetry.cold ORDER BY day, part")
    for path, digest in rows.fetchall():
        yield path, _fault(folder / path, digest)


def _fault(path: Path, digest: str) -> str:
    if not path.is_file():
        return "it is not there"
    try:
        same = digest_of(path).text == digest
    except UnavailableError as error:
        return error.message
    return "" if same else "it does not hold what was moved there"


def _move(connection: Connection, folder: Path, name: str) -> Moved | None:
    day = _day(name)
    part = _next_part(connection, day)
    when = moment(day)
    path = Path(f"{when:%Y}") / f"{when:%Y-%m-%d}.{part}.parquet"
    with DayFile(folder / path) as file:
        nodes: set[str] = set()
        for chunk in _chunks(connection, name):
            nodes.add(chunk.node_id)
            file.write(chunk)
        digest = file.finish(day=f"{when:%Y-%m-%d}", part=part)
    moved = Moved(
        day=f"{when:%Y-%m-%d}",
        part=part,
        path=str(path),
        chunks=digest.chunks,
        readings=digest.readings,
        bytes=(folder / path).stat().st_size,
        digest=digest.text,
    )
    if _let_go(connection, name, day, moved, sorted(nodes)) and moved.chunks:
        return moved
    (folder / path).unlink()
    return None


def _let_go(connection: Connection, name: str, day: int, moved: Moved, nodes: list[str]) -> bool:
    """Name the file and drop the rows; not when a late message has come meanwhile."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
        table = sql.Identifier("telemetry", name)
        cursor.execute("LOCK TABLE telemetry.chunks IN ACCESS EXCLUSIVE MODE")
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
        if cursor.fetchone() != (moved.chunks,):
            return False
        if moved.chunks:
            cursor.execute(
                "INSERT INTO telemetry.cold (day, part, path, readings, chunks, bytes, digest,"
                " nodes) VALUES (%s, %s, %s, %s, %s, %s, %s, %s::uuid[])",
                [
                    *(day, moved.part, moved.path, moved.readings, moved.chunks, moved.bytes),
                    *(moved.digest, nodes),
                ],
            )
        drop(cursor, name)
    return True


def _next_part(connection: Connection, day: int) -> int:
    row = connection.execute(
        "SELECT coalesce(max(part), 0) + 1 FROM telemetry.cold WHERE day = %s", [day]
    ).fetchone()
    return int(row[0]) if row else 1


def _chunks(connection: Connection, name: str) -> Iterator[Chunk]:
    channels: dict[int, str] = dict(
        connection.execute("SELECT id, channel FROM telemetry.series").fetchall()
    )
    statement = sql.SQL(
        "SELECT node_id::text, build_id, epoch, seq, begun, series, columns FROM {}"
        " ORDER BY node_id, epoch, seq, begun"
    ).format(sql.Identifier("telemetry", name))
    with connection.transaction(), connection.cursor(name="a day of telemetry") as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(FETCH):
            for node_id, build_id, epoch, seq, begun, series, stored in rows:
                t, c, v, q = decode(stored, begun=begun)
                names = [channels[one] for one in series]
                yield Chunk(
                    *(node_id, build_id, epoch, seq),
                    [names[code] for code in c],
                    t,
                    v,
                    bytes(q) if q else bytes(len(t)),
                )


def _day(name: str) -> int:
    return milliseconds(datetime.strptime(name, "chunks_%Y%m%d").replace(tzinfo=UTC))

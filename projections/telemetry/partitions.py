"""Partitions by time: made when the first row of a stretch comes, dropped as a whole."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from psycopg import sql

from projections.postgres import Cursor

DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Stretch(NamedTuple):
    """A partition: its name, and the times (Unix ms) that lie in it, `until` not among them."""

    name: str
    since: int
    until: int


def day_of(at: int, *, table: str) -> Stretch:
    """The partition of one day (UTC)."""
    since = at - at % DAY_MS
    return Stretch(f"{table}_{moment(since):%Y%m%d}", since, since + DAY_MS)


def month_of(at: int, *, table: str) -> Stretch:
    """The partition of one month (UTC)."""
    begin = moment(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + timedelta(days=32)).replace(day=1)
    return Stretch(f"{table}_{begin:%Y%m}", milliseconds(begin), milliseconds(end))


def moment(at: int) -> datetime:
    """Unix ms as a moment."""
    return _EPOCH + timedelta(milliseconds=at)


def milliseconds(when: datetime) -> int:
    """A moment as Unix ms."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


def ensure(cursor: Cursor, table: str, stretch: Stretch) -> None:
    """Make a partition where there is none; made apart and attached, so that no reader waits."""
    name, parent = sql.Identifier("telemetry", stretch.name), sql.Identifier("telemetry", table)
    cursor.execute("SELECT to_regclass(%s) IS NULL", [f"telemetry.{stretch.name}"])
    if cursor.fetchone() != (True,):
        return
    cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(name, parent))
    cursor.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, name, sql.Literal(stretch.since), sql.Literal(stretch.until)
        )
    )


def partitions(cursor: Cursor, table: str) -> list[str]:
    """The names of a table's partitions, the oldest first."""
    cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass ORDER BY 1",
        [f"telemetry.{table}"],
    )
    return [name for (name,) in cursor.fetchall()]


def drop(cursor: Cursor, name: str) -> None:
    """Drop a partition with all that is in it."""
    cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("telemetry", name)))

"""Where a projection's rows lie: one schema for each version, and the pointer to the one in use.

The first schema of a version is ``<name>_v<version>``, that of its n-th rebuild
``<name>_v<version>_r<n>``. ``create`` and ``retire`` alone make and drop them.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from domain.shared.errors import ConflictError, RebuildRunningError, UnavailableError
from projections.past import drop_past
from projections.projection import Projection

Connection = psycopg.Connection[TupleRow]

READERS_TIMEOUT_S = 30.0
LOOK_S = 0.02
ITSELF = "service/projections"
"""Who built what nobody asked for: a new version in a release."""

BUILDING, BUILT, LIVE, PREVIOUS, FAILED = "BUILDING", "BUILT", "LIVE", "PREVIOUS", "FAILED"


class Place(NamedTuple):
    """A schema, how far it has come and whether readers look there.

    ``unattended``: the runner itself fills it. ``epoch`` counts what was done past the runners.
    """

    schema: str
    position: int
    in_use: bool
    state: str = LIVE
    unattended: bool = False
    epoch: int = 0
    version: int = 0

    @property
    def is_fed(self) -> bool:
        """Whether a runner keeps it up to date."""
        return self.in_use or self.state in (BUILT, PREVIOUS) or self.is_arriving

    @property
    def is_arriving(self) -> bool:
        """A new version that the runner itself brings up."""
        return not self.in_use and self.state == BUILDING and self.unattended


_PLACES = (
    "SELECT b.schema, s.position, p.schema IS NOT NULL,"
    " CASE WHEN p.schema IS NOT NULL THEN 'LIVE' ELSE b.state END, b.unattended, s.epoch, b.version"
    " FROM imewe.builds b JOIN imewe.positions s USING (schema)"
    " LEFT JOIN imewe.projections p ON p.schema = b.schema"
)


def places(connection: Connection, name: str) -> list[Place]:
    """All schemas of a projection that are kept, the newest first."""
    rows = connection.execute(
        f"{_PLACES} WHERE b.name = %s ORDER BY b.changed_at DESC, b.schema DESC".encode(), [name]
    ).fetchall()
    return [Place(*row) for row in rows]


def live(connection: Connection, name: str) -> Place | None:
    """The one that readers look at."""
    return next((each for each in places(connection, name) if each.in_use), None)


@contextmanager
def alone(connection: Connection, name: str) -> Iterator[None]:
    """Hold the projection's lock; it ends with the connection.

    Raises ``RebuildRunningError`` when another operation holds it.
    """
    lock = f"rebuild {name}"
    row = connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [lock]).fetchone()
    if not row or not row[0]:
        raise RebuildRunningError(
            f"{name} is being rebuilt, compared or switched already",
            remedy="wait for it, or drop what it builds",
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [lock])


def settle(connection: Connection, projection: Projection) -> Place:
    """The place of this version; made when there is none.

    A version of which no schema is in use is built beside the one that readers see; see
    ``switch``. One that somebody rolled back from is not built again by itself: then it is the
    place in use, whatever its version.
    """
    with connection.transaction():
        # Two runners that start together make one place.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [projection.name])
        known = places(connection, projection.name)
        kept = [each for each in known if each.state != FAILED]
        of_this = [each for each in kept if each.version == projection.version]
        if of_this:
            return next((each for each in of_this if each.in_use), of_this[0])
        if any(each.in_use for each in known) and _refused(connection, projection):
            return next(each for each in known if each.in_use)
        schema = _fresh_name(connection, projection)
        create(connection, projection, schema, unattended=True)
        if not any(each.in_use for each in known):
            _point(connection, projection.name, projection.version, schema)
    return next(each for each in places(connection, projection.name) if each.schema == schema)


def create(
    connection: Connection,
    projection: Projection,
    schema: str,
    *,
    by: str = ITSELF,
    unattended: bool = False,
    bare: bool = False,
) -> None:
    """Make an empty schema at position 0; what a killed builder left there goes first. ``bare``:
    for a builder, without the keys that it makes at the end."""
    name = sql.Identifier(schema)
    with connection.transaction():
        connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [schema])
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        look_at(connection, schema)
        connection.execute((projection.bare_schema if bare else projection.schema).encode())
        connection.execute(projection.past(schema).encode())
        connection.execute(
            "INSERT INTO imewe.positions (schema, position) VALUES (%s, 0)", [schema]
        )
        connection.execute(
            "INSERT INTO imewe.builds (schema, name, version, state, unattended, started_by)"
            " VALUES (%s, %s, %s, 'BUILDING', %s, %s)",
            [schema, projection.name, projection.version, unattended, by],
        )


def next_rebuild(connection: Connection, projection: Projection) -> str:
    """A name for the next rebuild's schema."""
    stem = f"{projection.name}_v{projection.version}"
    known = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
    pattern = re.compile(re.escape(stem) + r"(?:_r(\d+))?")
    numbers = [int(m[1] or 1) for (name,) in known if (m := pattern.fullmatch(name))]
    return f"{stem}_r{max(numbers, default=1) + 1}"


def switch(connection: Connection, projection: Projection, schema: str) -> str | None:
    """Let readers look at ``schema`` from now on and return the schema they looked at before,
    which becomes the previous one.

    The epochs of both count up in the same transaction, which fences runners that still take the
    one for the other. Raises ``ConflictError`` when it was dropped meanwhile.
    """
    with connection.transaction():
        _demand(connection, schema)
        before = connection.execute(
            "SELECT schema FROM imewe.projections WHERE name = %s FOR UPDATE", [projection.name]
        ).fetchone()
        _point(connection, projection.name, projection.version, schema)
        old = str(before[0]) if before and before[0] != schema else None
        if old:
            mark(connection, old, PREVIOUS)
        connection.execute(
            "UPDATE imewe.positions SET epoch = epoch + 1 WHERE schema = ANY(%s)", [[schema, old]]
        )
    return old


def mark(connection: Connection, schema: str, state: str, *, error: str = "") -> None:
    """Say what a schema is from now on."""
    connection.execute(
        "UPDATE imewe.builds SET state = %s, error = %s, unattended = false,"
        " changed_at = clock_timestamp() WHERE schema = %s",
        [state, error[:1000].replace("\0", ""), schema],
    )


def refuse(connection: Connection, name: str, version: int | None) -> None:
    """The version that does not come again by itself."""
    connection.execute("UPDATE imewe.projections SET refused = %s WHERE name = %s", [version, name])


def retire(connection: Connection, schema: str, *, timeout: float = READERS_TIMEOUT_S) -> bool:
    """Drop a schema once every transaction that may still read it has ended.

    Returns False after ``timeout`` seconds; then nothing was done. Raises ``ConflictError`` when
    somebody let readers look at it meanwhile.
    """
    until = time.monotonic() + timeout
    now = connection.execute("SELECT clock_timestamp()").fetchone()
    while _older(connection, now):
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    with connection.transaction():
        _forget(connection, schema)  # first, as runners take their locks in this order too
        connection.execute(drop_past(schema).encode())
        connection.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        )
    return True


def _demand(connection: Connection, schema: str) -> None:
    """It is there, and stays until the end of this transaction."""
    row = connection.execute(
        "SELECT 1 FROM imewe.positions WHERE schema = %s FOR UPDATE", [schema]
    ).fetchone()
    if row is None:
        raise ConflictError(f"{schema} is not there any more", field="schema")


def _forget(connection: Connection, schema: str) -> None:
    """Who fills it is fenced; who switched to it a moment ago has won."""
    connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [schema])
    in_use = connection.execute("SELECT 1 FROM imewe.projections WHERE schema = %s", [schema])
    if in_use.fetchone() is not None:
        raise ConflictError(f"{schema} is what readers look at", field="schema")


def retire_now(connection: Connection, schema: str, *, timeout: float = READERS_TIMEOUT_S) -> None:
    """``retire``; raises ``UnavailableError`` when somebody reads for longer."""
    if not retire(connection, schema, timeout=timeout):
        raise UnavailableError(
            f"{schema} was not dropped: a transaction that may read it has not ended in"
            f" {timeout:g} s",
            remedy="look at pg_stat_activity, end that session, then drop again",
        )


def leftovers(connection: Connection, name: str) -> list[str]:
    """Schemas of this projection that nobody keeps: a killed builder or a lost database did."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace"
        " WHERE nspname NOT IN (SELECT schema FROM imewe.builds) ORDER BY nspname"
    ).fetchall()
    pattern = re.compile(re.escape(name) + r"_v\d+(_r\d+)?")
    return [found for (found,) in rows if pattern.fullmatch(found)]


def position_of(connection: Connection, schema: str) -> int | None:
    """How far a schema has come, or ``None`` when there is none."""
    row = connection.execute(
        "SELECT position FROM imewe.positions WHERE schema = %s", [schema]
    ).fetchone()
    return int(row[0]) if row else None


def look_at(connection: Connection | psycopg.Cursor[TupleRow], schema: str) -> None:
    """Until the end of this transaction unqualified tables are those of ``schema``."""
    connection.execute("SELECT set_config('search_path', quote_ident(%s), true)", [schema])


def _refused(connection: Connection, projection: Projection) -> bool:
    row = connection.execute(
        "SELECT refused = %s FROM imewe.projections WHERE name = %s",
        [projection.version, projection.name],
    ).fetchone()
    return bool(row and row[0])


def _fresh_name(connection: Connection, projection: Projection) -> str:
    first = f"{projection.name}_v{projection.version}"
    taken = position_of(connection, first) is not None
    return next_rebuild(connection, projection) if taken else first


def _point(connection: Connection, name: str, version: int, schema: str) -> None:
    connection.execute(
        "INSERT INTO imewe.projections (name, version, schema) VALUES (%s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version, schema = EXCLUDED.schema",
        [name, version, schema],
    )
    mark(connection, schema, LIVE)


def _older(connection: Connection, than: TupleRow | None) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start <= %s"
        " LIMIT 1",
        than,
    )
    return found.fetchone() is not None

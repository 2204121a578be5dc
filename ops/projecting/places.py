"""Where a projection's rows lie: one schema for each version, and the pointer to the one in use.

The first schema of a version is ``<name>_v<version>``, that of its n-th rebuild
``<name>_v<version>_r<n>``.
"""

import re
import time
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from projections.past import drop_past
from projections.projection import Projection

Connection = psycopg.Connection[TupleRow]

READERS_TIMEOUT_S = 30.0


class Place(NamedTuple):
    """A schema, how far it has come and whether readers look there."""

    schema: str
    position: int
    in_use: bool


def settle(connection: Connection, projection: Projection) -> Place:
    """The place where a runner goes on; made when there is none.

    A version of which no schema is in use is built beside the one that readers see; see
    ``switch``.
    """
    with connection.transaction():
        # Two runners that start together make one place.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [projection.name])
        pointer = connection.execute(
            "SELECT p.version, p.schema, s.position FROM imewe.projections p"
            " JOIN imewe.positions s USING (schema) WHERE p.name = %s",
            [projection.name],
        ).fetchone()
        if pointer is not None and pointer[0] == projection.version:
            return Place(pointer[1], pointer[2], in_use=True)
        schema = f"{projection.name}_v{projection.version}"
        position = position_of(connection, schema)
        if position is None:
            create(connection, projection, schema)
        if pointer is None:
            _point(connection, projection, schema)
        return Place(schema, position or 0, in_use=pointer is None)


def create(connection: Connection, projection: Projection, schema: str) -> None:
    """Make an empty schema at position 0; what a killed builder left there goes first."""
    name = sql.Identifier(schema)
    with connection.transaction():
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        look_at(connection, schema)
        connection.execute(projection.schema.encode())
        connection.execute(projection.past(schema).encode())
        connection.execute(
            "INSERT INTO imewe.positions (schema, position) VALUES (%s, 0)", [schema]
        )


def next_rebuild(connection: Connection, projection: Projection) -> str:
    """A name for the next rebuild's schema."""
    stem = f"{projection.name}_v{projection.version}"
    known = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
    pattern = re.compile(re.escape(stem) + r"(?:_r(\d+))?")
    numbers = [int(m[1] or 1) for (name,) in known if (m := pattern.fullmatch(name))]
    return f"{stem}_r{max(numbers, default=1) + 1}"


def switch(connection: Connection, projection: Projection, schema: str) -> str | None:
    """Let readers look at ``schema`` from now on and return the schema they looked at before.

    The old position goes in the same transaction, which fences a runner that still fills it.
    """
    with connection.transaction():
        before = connection.execute(
            "SELECT schema FROM imewe.projections WHERE name = %s FOR UPDATE", [projection.name]
        ).fetchone()
        _point(connection, projection, schema)
        if before is None or before[0] == schema:
            return None
        connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [before[0]])
    return str(before[0])


def retire(connection: Connection, schema: str, *, timeout: float = READERS_TIMEOUT_S) -> bool:
    """Drop a schema once every transaction that may still read it has ended.

    Returns False after ``timeout`` seconds; the schema stays, and the next rebuild drops it.
    """
    until = time.monotonic() + timeout
    now = connection.execute("SELECT clock_timestamp()").fetchone()
    while _older(connection, now):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    connection.execute(drop_past(schema).encode())
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    return True


def leftovers(connection: Connection, projection: Projection) -> list[str]:
    """Schemas of this projection that no pointer names: of old versions or killed rebuilds."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace"
        " WHERE nspname NOT IN (SELECT schema FROM imewe.projections) ORDER BY nspname"
    ).fetchall()
    pattern = re.compile(re.escape(projection.name) + r"_v\d+(_r\d+)?")
    return [name for (name,) in rows if pattern.fullmatch(name)]


def forget(connection: Connection, schema: str) -> None:
    """Remove the position of a schema that nobody fills any more."""
    connection.execute("DELETE FROM imewe.positions WHERE schema = %s", [schema])


def position_of(connection: Connection, schema: str) -> int | None:
    """How far a schema has come, or ``None`` when there is none."""
    row = connection.execute(
        "SELECT position FROM imewe.positions WHERE schema = %s", [schema]
    ).fetchone()
    return int(row[0]) if row else None


def look_at(connection: Connection | psycopg.Cursor[TupleRow], schema: str) -> None:
    """Until the end of this transaction unqualified tables are those of ``schema``."""
    connection.execute("SELECT set_config('search_path', quote_ident(%s), true)", [schema])


def _point(connection: Connection, projection: Projection, schema: str) -> None:
    connection.execute(
        "INSERT INTO imewe.projections (name, version, schema) VALUES (%s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version, schema = EXCLUDED.schema",
        [projection.name, projection.version, schema],
    )


def _older(connection: Connection, than: TupleRow | None) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start <= %s"
        " LIMIT 1",
        than,
    )
    return found.fetchone() is not None

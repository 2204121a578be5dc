"""What a switch would change: the schema in use and the candidate, row by row, at one position.

The database compares: a full join on the key of each table in one snapshot, in which both schemas
stand at the same position. Counts are exact; of the rows that differ the first of each table are
kept, to be shown page by page.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import orjson
from psycopg import sql

from domain.shared.errors import NotFoundError, UnavailableError
from ops.projecting.places import Connection, Place, live
from ops.projecting.source import EventSource
from ops.projecting.steps import candidate_of, catch_up, folded_by, level, standing_still
from ops.projecting.versions import Versions

KEPT = 10_000
"""Rows that are kept of each table."""
PATIENCE_S = 60.0

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, and how much there is."""


class Shape(NamedTuple):
    """A table as the database has it: types by column, and the key."""

    columns: dict[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """How many rows of one table a switch would add, remove and change, and columns likewise.

    Columns that only one side has are not compared.
    """

    of: str
    added: int
    removed: int
    changed: int
    columns_added: list[str]
    columns_removed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The last diff of a projection: both schemas stood at ``position``."""

    name: str
    live: str
    candidate: str
    position: int
    tables: list[TableDiff]


def compare(
    connection: Connection,
    snapshot: Connection,
    source: EventSource,
    versions: Versions,
    name: str,
    *,
    progress: Progress,
) -> Comparison:
    """Compare and keep the result in place of the last one; two connections, both autocommit.

    Raises ``NotFoundError`` without a candidate, ``ConflictError`` when the two cannot be brought
    to one position.
    """
    shown, candidate = live(connection, name), candidate_of(connection, name)
    if shown is None:
        raise NotFoundError(f"projection {name} is not there yet", field="name")
    progress("catching up", 0, 0)
    with _at_one_position(
        connection, snapshot, source, versions, name, shown=shown, candidate=candidate
    ) as position:
        snapshot.execute("DELETE FROM imewe.comparisons WHERE name = %s", [name])
        snapshot.execute(
            "INSERT INTO imewe.comparisons (name, live, candidate, position, tables)"
            " VALUES (%s, %s, %s, %s, '[]')",
            [name, shown.schema, candidate.schema, position],
        )
        before, after = shapes(snapshot, shown.schema), shapes(snapshot, candidate.schema)
        tables = []
        names = sorted(before.keys() | after.keys())
        for number, each in enumerate(names):
            progress(f"comparing {each}", number, len(names))
            tables.append(
                _compare_table(
                    snapshot,
                    name,
                    each,
                    Side(shown.schema, before.get(each)),
                    Side(candidate.schema, after.get(each)),
                )
            )
        told = orjson.dumps([asdict(each) for each in tables]).decode()
        snapshot.execute("UPDATE imewe.comparisons SET tables = %s WHERE name = %s", [told, name])
    return Comparison(
        name=name,
        live=shown.schema,
        candidate=candidate.schema,
        position=position,
        tables=tables,
    )


@contextmanager
def _at_one_position(
    connection: Connection,
    snapshot: Connection,
    source: EventSource,
    versions: Versions,
    name: str,
    *,
    shown: Place,
    candidate: Place,
) -> Iterator[int]:
    """A transaction of ``snapshot`` that sees both schemas at one position; the runners wait only
    until it has begun."""
    until = time.monotonic() + PATIENCE_S
    while True:
        level(connection, source, versions, name, ahead=shown, behind=candidate)
        level(connection, source, versions, name, ahead=candidate, behind=shown)
        with standing_still(connection, shown.schema, candidate.schema) as positions:
            goal = max(positions.values())
            if min(positions.values()) == goal:
                snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                snapshot.execute("SELECT 1")
                break
            for place in (shown, candidate):
                if positions[place.schema] < goal:
                    behind = place._replace(position=positions[place.schema])
                    projection = folded_by(versions, name, behind)
                    catch_up(connection, source, projection, behind, upto=goal)
        if time.monotonic() > until:
            raise UnavailableError("the two never stood at one position", remedy="try again")
    try:
        yield goal
    except BaseException:
        snapshot.execute("ROLLBACK")
        raise
    snapshot.execute("COMMIT")


def shapes(connection: Connection, schema: str) -> dict[str, Shape]:
    """The tables of a schema by name."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),"
        " array_position(i.indkey::int2[], a.attnum)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
        " WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY c.relname, a.attnum",
        [schema],
    ).fetchall()
    found: dict[str, tuple[dict[str, str], dict[int, str]]] = {}
    for table, column, kind, place in rows:
        columns, key = found.setdefault(table, ({}, {}))
        columns[column] = kind
        if place is not None:
            key[place] = column
    return {
        table: Shape(columns, tuple(key[place] for place in sorted(key)))
        for table, (columns, key) in found.items()
    }


class Side(NamedTuple):
    """One of the two schemas, and the table in it if it is there."""

    schema: str
    shape: Shape | None


def _compare_table(connection: Connection, name: str, of: str, old: Side, new: Side) -> TableDiff:
    shape = new.shape or old.shape
    if shape is None:
        raise LookupError(of)
    before = old.shape.columns if old.shape else {}
    after = new.shape.columns if new.shape else {}
    statement = sql.SQL(_COMPARE).format(
        pairs=_pairs(of, old, new, shape.key),
        name=sql.Literal(name),
        of=sql.Literal(of),
        kept=sql.Literal(KEPT),
        key=_key_of(shape.key),
        order=sql.SQL(", ").join(
            sql.SQL("coalesce(o.{0}, n.{0})").format(sql.Identifier(each)) for each in shape.key
        ),
        first=sql.Identifier(shape.key[0]),
    )
    added, removed, changed = connection.execute(statement).fetchone() or (0, 0, 0)
    both = bool(before and after)
    return TableDiff(
        of=of,
        added=added,
        removed=removed,
        changed=changed,
        columns_added=[each for each in after if each not in before] if both else [],
        columns_removed=[each for each in before if each not in after] if both else [],
    )


_COMPARE = """
WITH differing AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY {order}) AS number, {key} AS key,
        CASE WHEN o.{first} IS NOT NULL THEN to_jsonb(o) END AS before,
        CASE WHEN n.{first} IS NOT NULL THEN to_jsonb(n) END AS after
    FROM {pairs}),
kept AS (
    INSERT INTO imewe.differences (name, of, number, key, before, after)
    SELECT {name}, {of}, number, key, before, after FROM differing WHERE number <= {kept})
SELECT count(*) FILTER (WHERE before IS NULL), count(*) FILTER (WHERE after IS NULL),
    count(*) FILTER (WHERE before IS NOT NULL AND after IS NOT NULL)
FROM differing
"""


def _pairs(of: str, old: Side, new: Side, key: tuple[str, ...]) -> sql.Composable:
    """The join whose rows are those that differ."""
    o, n = (_source(side, of, other) for side, other in ((old, new), (new, old)))
    if old.shape is None or new.shape is None:
        on: sql.Composable = sql.SQL("false")
        differ: sql.Composable = sql.SQL("true")
    else:
        same = [sql.SQL("o.{0} = n.{0}").format(sql.Identifier(each)) for each in key]
        known = all(each in old.shape.columns for each in key)
        on = sql.SQL(" AND ").join(same) if known else sql.SQL("false")
        differ = differing(old.shape, new.shape)
    return sql.SQL("{o} o FULL JOIN {n} n ON {on} WHERE {differ}").format(
        o=o, n=n, on=on, differ=differ
    )


def _source(side: Side, of: str, other: Side) -> sql.Composable:
    """The table; nothing in its form where there is none."""
    if side.shape is not None:
        return sql.Identifier(side.schema, of)
    return sql.SQL("(SELECT * FROM {} WHERE false)").format(sql.Identifier(other.schema, of))


def differing(old: Shape, new: Shape) -> sql.Composable:
    """A condition on rows ``o`` and ``n``: they are not the same byte for byte, or one is not
    there."""
    shared = [each for each in new.columns if each in old.columns]
    texts = {each for each in shared if _as_text(old.columns[each], new.columns[each])}

    def listed(row: str) -> sql.Composable:
        cells = (
            sql.SQL("{}.{}::text" if each in texts else "{}.{}").format(
                sql.Identifier(row), sql.Identifier(each)
            )
            for each in shared
        )
        return sql.SQL("ROW({})").format(sql.SQL(", ").join(cells))

    return sql.SQL("{} IS DISTINCT FROM {}").format(listed("o"), listed("n"))


def _as_text(old: str, new: str) -> bool:
    return old != new or old in ("json", "jsonb")


def _key_of(key: tuple[str, ...]) -> sql.Composable:
    pairs: list[Any] = []
    for each in key:
        pairs.append(sql.Literal(each))
        pairs.append(sql.SQL("coalesce(o.{0}, n.{0})").format(sql.Identifier(each)))
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))

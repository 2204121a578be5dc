"""Rows and PostgreSQL: definitions, one look per batch, set-based writes.

Tables are named without their schema; the caller's ``search_path`` says which version is meant.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from projections.copying import copied
from projections.past import history_definition, history_key
from projections.rows import Need, Rows
from projections.table import Column, Key, Table

Cursor = psycopg.Cursor[TupleRow]


def definition(table: Table[Any], *, past: bool = True) -> str:
    """DDL of a table, of its indexes and, unless its past shall not be kept, of its history."""
    keys = "".join(text for _, text in later_keys(table, past=past))
    return bare_definition(table, past=past) + keys


def bare_definition(table: Table[Any], *, past: bool = True) -> str:
    """DDL of the same without ``later_keys``."""
    columns = ", ".join(column.definition for column in table.columns)
    history = history_definition(table) if past else ""
    if table.only_appended:
        return f"CREATE TABLE {table.name} ({columns});{history}"
    key = f", PRIMARY KEY ({', '.join(table.key)})"
    return f"CREATE TABLE {table.name} ({columns}{key});{_indexes(table)}{history}"


def later_keys(table: Table[Any], *, past: bool = True) -> Iterator[tuple[str, str]]:
    """Tables that only grow, and DDL of their keys and indexes.

    Nobody looks anything up there while they are filled, and one sort of all rows is much less
    work than a place in the index for each.
    """
    if table.only_appended:
        key = f"ALTER TABLE {table.name} ADD PRIMARY KEY ({', '.join(table.key)});"
        yield table.name, key + _indexes(table)
    if table.history and past:
        yield f"{table.name}_history", history_key(table)


def _indexes(table: Table[Any]) -> str:
    return "".join(f"CREATE INDEX ON {table.name} ({each});" for each in table.indexes)


def prefetch(cursor: Cursor, needs: Iterable[Need], rows: Rows) -> None:
    """Load what is needed: one statement for each table and list of columns."""
    wanted: dict[tuple[Table[Any], tuple[str, ...]], dict[Key, None]] = {}
    for need in needs:
        wanted.setdefault((need.table, need.columns), {})[need.values] = None
    for (table, columns), values in wanted.items():
        arrays = ", ".join(f"%s::{table.type_of(column)}[]" for column in columns)
        cursor.execute(
            f"SELECT {', '.join(table.names)} FROM {table.name}"
            f" WHERE ({', '.join(columns)}) IN (SELECT * FROM unnest({arrays}))".encode(),
            [list(column) for column in zip(*values, strict=True)],
        )
        found = [dict(zip(table.names, each, strict=True)) for each in cursor.fetchall()]
        rows.load(table, [table.row(**each) for each in found])


def write(cursor: Cursor, rows: Rows, *, past: bool = True) -> None:
    """Write everything that a batch did; without ``past`` no history."""
    for table, fresh in rows.fresh():
        _copy(cursor, table.name, table.columns, map(table.values, fresh))
    for table, changed in rows.changed():
        _upsert(cursor, table, changed, "{0} = EXCLUDED.{0}")
    for table, sums in rows.sums():
        _upsert(cursor, table, sums, f"{{0}} = {table.name}.{{0}} + EXCLUDED.{{0}}")
    for table, lines in rows.lines() if past else ():
        columns, states = table.history_columns, table.history_values(lines)
        _copy(cursor, f"{table.name}_history", columns, states)
    for table, appended in rows.appended():
        _copy(cursor, table.name, table.columns, map(table.values, appended))


def _upsert(cursor: Cursor, table: Table[Any], rows: list[Any], assignment: str) -> None:
    kept = [name for name in table.names if name not in table.key]
    cursor.execute(
        f"INSERT INTO {table.name} ({', '.join(table.names)})"
        f" SELECT * FROM unnest({', '.join(map(_array, table.columns))})"
        f" ON CONFLICT ({', '.join(table.key)})"
        f" DO UPDATE SET {', '.join(assignment.format(name) for name in kept)}".encode(),
        table.cells(rows),
    )


def _array(column: Any) -> str:
    return "%s::text[]::jsonb[]" if column.type == "jsonb" else f"%s::{column.type}[]"


def _copy(
    cursor: Cursor, name: str, columns: Sequence[Column], rows: Iterable[tuple[Any, ...]]
) -> None:
    text = copied(columns, rows)
    names = ", ".join(column.name for column in columns)
    with cursor.copy(f"COPY {name} ({names}) FROM STDIN".encode()) as copy:
        copy.write(text)

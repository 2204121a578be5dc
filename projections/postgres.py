"""Rows and PostgreSQL: definitions, one look per batch, set-based writes.

Tables are named without their schema; the caller's ``search_path`` says which version is meant.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from projections.past import history_definition
from projections.rows import Need, Rows
from projections.table import Key, Table

Cursor = psycopg.Cursor[TupleRow]


def definition(table: Table[Any], *, past: bool = True) -> str:
    """DDL of a table, of its indexes and, unless its past shall not be kept, of its history."""
    columns = ", ".join(column.definition for column in table.columns)
    text = f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY ({', '.join(table.key)}));"
    text += "".join(f"CREATE INDEX ON {table.name} ({each});" for each in table.indexes)
    return text + (history_definition(table) if past else "")


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
    for table, changed in rows.changed():
        _upsert(cursor, table, changed, "{0} = EXCLUDED.{0}")
    for table, sums in rows.sums():
        _upsert(cursor, table, sums, f"{{0}} = {table.name}.{{0}} + EXCLUDED.{{0}}")
    for table, lines in rows.lines() if past else ():
        name = f"{table.name}_history"
        _copy(cursor, name, table.history_names, table.history_cells(lines))
    for table, appended in rows.appended():
        _copy(cursor, table.name, table.names, table.cells(appended))


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


def _copy(cursor: Cursor, name: str, columns: Iterable[str], cells: list[list[Any]]) -> None:
    with cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN".encode()) as copy:
        for row in zip(*cells, strict=True):
            copy.write_row(row)

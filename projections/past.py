"""Read models as they were: views beside the tables, with the same names.

The views lie in ``<schema>_past``. A transaction whose ``search_path`` names that schema and whose
``imewe.as_of`` holds a position sees with every query the rows as they were when the event at that
position had been folded, and no later one.

A view goes from the live rows, which are never deleted, to the newest state that each had by then.
So its key and what is fixed of a row come from the live table with its indexes, a page stops when
it is full, and the history needs no index but its own key.
"""

from collections.abc import Iterable
from typing import Any

from projections.table import Past, Table

AS_OF = "imewe.as_of"
"""The setting that holds the position."""
_POSITION = f"current_setting('{AS_OF}')::bigint"


def past_of(schema: str) -> str:
    """The schema of the views."""
    return f"{schema}_past"


def drop_past(schema: str) -> str:
    """DDL that drops the views; to be done before the schema itself is dropped."""
    return f'DROP SCHEMA IF EXISTS "{past_of(schema)}" CASCADE;'


def history_definition(table: Table[Any]) -> str:
    """DDL of the table that keeps states or amounts, without its key; empty where there is none."""
    if not table.history:
        return ""
    kept = [column for column in table.columns if column.name in table.history_names]
    columns = ", ".join(column.definition for column in kept)
    return f"CREATE TABLE {table.name}_history ({columns}, as_of bigint NOT NULL);"


def history_key(table: Table[Any]) -> str:
    """DDL of that table's key, its only index."""
    return f"ALTER TABLE {table.name}_history ADD PRIMARY KEY ({', '.join(table.key)}, as_of);"


def past_definition(schema: str, tables: Iterable[Table[Any]]) -> str:
    """DDL of all views of a schema; their texts name it, whatever the ``search_path`` is."""
    past = past_of(schema)
    views = (_view(schema, table) for table in tables if table.past is not Past.NONE)
    made = "".join(f'CREATE VIEW "{past}".{view};' for view in views)
    return f'{drop_past(schema)}CREATE SCHEMA "{past}";{made}'


def _view(schema: str, table: Table[Any]) -> str:
    source = f'"{schema}".{table.name}'
    if table.past is Past.GROWS:
        columns = ", ".join(table.names)
        return f"{table.name} AS SELECT {columns} FROM {source} WHERE position <= {_POSITION}"
    moving = {column.name for column in table.moving}
    columns = ", ".join(f"{'was' if each in moving else 'live'}.{each}" for each in table.names)
    began = f" WHERE live.created <= {_POSITION}" if "created" in table.fixed else ""
    return (
        f"{table.name} AS SELECT {columns} FROM {source} live"
        f" CROSS JOIN LATERAL ({_then(schema, table)}) was{began}"
    )


def _then(schema: str, table: Table[Any]) -> str:
    """The state of one row at the position; no row where it did not exist yet."""
    same = " AND ".join(f"h.{name} = live.{name}" for name in table.key)
    source = f'FROM "{schema}".{table.name}_history h WHERE {same} AND h.as_of <= {_POSITION}'
    if table.past is Past.SUMS:
        sums = ", ".join(f"sum(h.{each.name})::bigint AS {each.name}" for each in table.moving)
        return f"SELECT {sums} {source} HAVING count(*) > 0"
    columns = ", ".join(f"h.{each}" for each in table.history_names)
    return f"SELECT {columns} {source} ORDER BY h.as_of DESC LIMIT 1"

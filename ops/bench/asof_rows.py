"""A long history for ``asof``: one template row each, multiplied by PostgreSQL."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_type_hints

from psycopg import sql

from domain.account.roles import Role
from domain.shared.scope import Grant, Scope
from ops.projecting.places import Connection, look_at, settle
from projections.catalogue import projection_named
from projections.history.projector import EVENTS
from projections.jobs.tables import JOBS
from projections.nodes.projector import NODES
from projections.table import Table

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""The log of the bench takes one event a millisecond from here."""
ORGANISATION = "workshop"
SCOPE = Scope(account_id="ada", grants=(Grant(role=Role.ADMIN, organisation_id=ORGANISATION),))
_OF_MACHINES = "(ARRAY['IDLE','ASSIGNED','EXECUTING','COMPLETED'])"
_OF_ORDERS = "(ARRAY['SUBMITTED','SCHEDULED','IN_PROGRESS','COMPLETED'])"


def fill(connection: Connection, rows: int, *, machines: int, states: int) -> None:
    """``rows`` states of ``machines`` and of orders with ``states`` each, and as many events."""
    for name in ("nodes", "jobs", "history"):
        place = settle(connection, projection_named(name))
        with connection.transaction():
            look_at(connection, place.schema)
            match name:
                case "nodes":
                    _multiply(connection, NODES, "machine ", rows, machines, _OF_MACHINES)
                case "jobs":
                    _multiply(connection, JOBS, "order ", rows, rows // states, _OF_ORDERS)
                case _:
                    _events(connection, rows)
            connection.execute(
                "UPDATE imewe.positions SET position = %s WHERE schema = %s", [rows, place.schema]
            )
        connection.execute(sql.SQL("VACUUM ANALYZE"))


def _multiply(
    connection: Connection, table: Table[Any], stem: str, rows: int, objects: int, states: str
) -> None:
    """Object n has its states at the positions n, n + objects, n + 2 objects ..."""

    def status(position: str) -> str:
        return f"{states}[1 + (({position}) / {objects} + {position})::int %% 4]"

    last = f"g + {rows - objects}"
    of_object = {"id": f"'{stem}' || g", "created": "g", "position": last, "status": status(last)}
    _insert(connection, table.name, table, table.names, of_object, "", objects)
    source = f"JOIN {table.name} o ON o.created = (g - 1) %% {objects} + 1"
    of_state = {name: f"o.{name}" for name in table.history_names}
    of_state |= {
        "position": "g",
        "as_of": "g",
        "status": status("g"),
        "version": f"g / {objects} + 1",
    }
    name = f"{table.name}_history"
    _insert(connection, name, table, table.history_names, of_state, source, rows)


def _events(connection: Connection, rows: int) -> None:
    moment = f"'{BEGIN.isoformat()}'::timestamptz + g * interval '1 ms'"
    told = {
        "position": "g",
        "event_id": "'event ' || g",
        "aggregate_id": "'machine ' || g %% 1000",
        "stored_at": moment,
        "body": "'{}'",
    }
    _insert(connection, EVENTS.name, EVENTS, EVENTS.names, told, "", rows)


def _insert(
    connection: Connection,
    name: str,
    table: Table[Any],
    columns: tuple[str, ...],
    told: Mapping[str, str],
    source: str,
    count: int,
) -> None:
    """What is not told has the template's value."""
    template = _template(table)
    values = ", ".join(told.get(each) or f"%({each})s::{table.type_of(each)}" for each in columns)
    connection.execute(
        f"INSERT INTO {name} ({', '.join(columns)}) SELECT {values}"
        f" FROM generate_series(1, {count}) g {source}".encode(),
        template,
    )


def _template(table: Table[Any]) -> dict[str, Any]:
    hints = get_type_hints(table.row)
    (cells,) = zip(*table.cells([table.row(**_plain(table, hints))]), strict=True)
    return dict(zip(table.names, cells, strict=True))


def _plain(table: Table[Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"organisation_id": ORGANISATION, "body": b"{}"}
    empty = {"text": "", "bigint": 0, "boolean": False, "timestamptz": BEGIN}
    found = {}
    for column, field in zip(table.columns, fields(table.row), strict=True):
        kind: Any = hints[field.name]
        made: Any = [] if getattr(kind, "__origin__", kind) is list else {}
        found[column.name] = known.get(column.name, empty.get(column.type, made))
    return found

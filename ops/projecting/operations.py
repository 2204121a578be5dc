"""What is being done to each projection, or was done last: durable, so that every copy of the
service can tell, and one that was killed leaves no riddle."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from domain.shared.errors import ImeweError
from ops.projecting.places import Connection

RUNNING, DONE, FAILED = "RUNNING", "DONE", "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``done`` of ``goal`` events or tables of ``phase``. ``result`` holds what the verb answers,
    ``error`` code, message, field and remedy."""

    name: str
    verb: str
    started_by: str
    state: str
    phase: str
    done: int
    goal: int
    began_at: datetime
    changed_at: datetime
    result: dict[str, Any] | None
    error: dict[str, str] | None


def begin(connection: Connection, name: str, verb: str, *, by: str) -> None:
    """Note that it is under way, in place of the one before."""
    connection.execute(
        "INSERT INTO imewe.operations (name, verb, started_by, state)"
        " VALUES (%s, %s, %s, 'RUNNING')"
        " ON CONFLICT (name) DO UPDATE SET verb = EXCLUDED.verb, state = 'RUNNING',"
        " started_by = EXCLUDED.started_by, phase = '', done = 0, goal = 0,"
        " began_at = clock_timestamp(), changed_at = clock_timestamp(),"
        " result = NULL, error = NULL",
        [name, verb, by],
    )


def advance(connection: Connection, name: str, *, phase: str, done: int, goal: int) -> None:
    """Note how far it is."""
    connection.execute(
        "UPDATE imewe.operations SET phase = %s, done = %s, goal = %s,"
        " changed_at = clock_timestamp() WHERE name = %s",
        [phase, done, goal, name],
    )


def finish(connection: Connection, name: str, result: dict[str, Any]) -> None:
    """It is done."""
    connection.execute(
        "UPDATE imewe.operations SET state = 'DONE', result = %s, phase = '',"
        " changed_at = clock_timestamp() WHERE name = %s",
        [orjson.dumps(result).decode(), name],
    )


def fail(connection: Connection, name: str, error: ImeweError) -> None:
    """It was refused, or went wrong."""
    told = {
        "code": error.code,
        "message": error.message[:1000].replace("\0", ""),
        "field": error.field,
        "remedy": error.remedy,
    }
    connection.execute(
        "UPDATE imewe.operations SET state = 'FAILED', error = %s, changed_at = clock_timestamp()"
        " WHERE name = %s",
        [orjson.dumps(told).decode(), name],
    )


def operations(connection: Connection) -> dict[str, Operation]:
    """The last one of each projection."""
    fields = tuple(Operation.__dataclass_fields__)
    rows = connection.execute(f"SELECT {', '.join(fields)} FROM imewe.operations".encode())
    return {row[0]: Operation(**dict(zip(fields, row, strict=True))) for row in rows.fetchall()}


def operation(connection: Connection, name: str) -> Operation | None:
    """The last one of a projection."""
    return operations(connection).get(name)

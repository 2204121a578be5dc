"""One consistent look at the read models: pointers, positions and rows of one snapshot."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from domain.shared.errors import UnavailableError
from projections.past import AS_OF, past_of
from projections.querying import Connection

PATIENCE_S = 5.0
SHORTEST_WAIT_S = 0.004
LONGEST_WAIT_S = 0.05
LAST = 2**63 - 1
"""No position is larger."""
TIMES = "history"
"""The projection that knows when the log took each event."""

When = int | datetime
"""A moment as it is asked for: a position, or a time of the log's clock."""

LogEnd = Callable[[], Awaitable[int]]
"""Asks the log for the position of its newest event."""

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_POINTERS = """
WITH pointers AS MATERIALIZED (
    SELECT p.name, p.schema, s.position,
        (SELECT min(k.position) FROM imewe.parked_keys k WHERE k.schema = p.schema) AS stale_since
    FROM imewe.projections p JOIN imewe.positions s USING (schema)
    WHERE p.name = ANY(%(names)s) OR p.name = %(times)s)
SELECT name, schema, position, stale_since,
    set_config('search_path', (SELECT string_agg(quote_ident(schema), ',')
        FROM pointers WHERE name = ANY(%(names)s)), true)
FROM pointers
"""
_AT_TIME = """
WITH next AS MATERIALIZED (
    SELECT position FROM {events} WHERE stored_at > %(when)s ORDER BY stored_at, position LIMIT 1)
SELECT (SELECT position FROM {events}
        WHERE stored_at <= %(when)s AND position < coalesce((SELECT position FROM next), %(last)s)
        ORDER BY position DESC LIMIT 1),
    (SELECT position FROM next)
"""
_AT_POSITION = """
SELECT stored_at FROM {events} WHERE position <= %(when)s ORDER BY position DESC LIMIT 1
"""
# Nothing is compiled for a look at the past: the plans' costs are overrated, their rows are few.
_LOOK = """
SELECT set_config('search_path', %(path)s, true), set_config(%(setting)s, %(as_of)s, true),
    set_config('jit', 'off', true)
"""


class NotReachedError(UnavailableError):
    """The read models have not come as far as was asked in the time given."""

    code = "POSITION_NOT_REACHED"


class NotBuiltError(UnavailableError):
    """A read model does not exist yet: its projection has not run."""

    code = "PROJECTION_NOT_BUILT"


class Moment(NamedTuple):
    """A moment that is looked at.

    ``time``: the one that was asked for, or the log's time of the event at ``position``; ``None``
    before the first event.
    """

    position: int
    time: datetime | None


@dataclass(slots=True)
class Reading:
    """``connection`` sees the tables of the projections asked for, unqualified.

    ``positions`` says how far each has come; ``stale_since`` holds, for those with an event that
    could not be folded, the position of the first.
    """

    connection: Connection
    positions: dict[str, int]
    stale_since: dict[str, int]
    schemas: list[str]
    times: tuple[str, int] | None
    """Schema and position of the projection that knows when the log took each event."""
    moment: Moment | None = None
    """What the queries see; ``None`` is the present."""

    @property
    def position(self) -> int:
        """All of them have come at least this far."""
        return min(self.positions.values())

    @property
    def furthest_past(self) -> int:
        """The last position that can be looked at."""
        return min(self.position, self.times[1] if self.times else 0)

    async def moment_of(self, when: When, log_end: LogEnd | None = None) -> tuple[Moment, int]:
        """What is meant, and how far the rows must have come for that to be certain.

        A time is the last position that the log had stored by then. While nothing later was
        folded, ``log_end`` says what may still be on its way. While the log's clock is set back, a
        time may mean either pass. Raises ``NotBuiltError`` while nobody knows the times.
        """
        if self.times is None:
            raise NotBuiltError(f"projection {TIMES} is not there yet", remedy="start projections")
        events = sql.Identifier(self.times[0], "events")
        if isinstance(when, datetime):
            values = {"when": when, "last": LAST}
            position, later = await self._one(sql.SQL(_AT_TIME).format(events=events), values)
            end = await log_end() if log_end and later is None else 0
            return Moment(position or 0, when), max(position or 0, end)
        found = await self._one(sql.SQL(_AT_POSITION).format(events=events), {"when": when})
        return Moment(when, found[0]), when

    async def look(self, moment: Moment | None) -> None:
        """Let all queries from now on see another moment; ``None`` is the present again."""
        if moment == self.moment:
            return
        path = ",".join(f'"{past_of(each) if moment else each}"' for each in self.schemas)
        as_of = str(moment.position) if moment else ""
        values = {"path": path, "setting": AS_OF, "as_of": as_of}
        await self.connection.execute(_LOOK, values)
        self.moment = moment

    async def _one(self, statement: sql.Composed, values: dict[str, Any]) -> tuple[Any, ...]:
        cursor = await self.connection.execute(statement, values)
        return await cursor.fetchone() or (None,)


@asynccontextmanager
async def reading(
    pool: AsyncConnectionPool[Any],
    names: Sequence[str],
    *,
    at_least: int | None = None,
    as_of: When | None = None,
    log_end: LogEnd | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - the caller's own, not a cancellation
) -> AsyncIterator[Reading]:
    """A read-only snapshot of the projections ``names``; ``pool`` gives autocommit connections.

    With ``as_of`` it shows what was so at that moment; ``log_end`` makes a time certain that lies
    behind all that was folded. With ``at_least``, or a moment that they
    have not reached, it waits until all have come to that position. Raises ``NotReachedError``
    after ``timeout`` seconds, ``NotBuiltError`` when there is no such projection.
    """
    timeout = PATIENCE_S if timeout is None else timeout
    until = time.monotonic() + timeout
    wait = SHORTEST_WAIT_S
    while True:
        async with pool.connection() as connection:
            found = await _begin(connection, names)
            try:
                moment, needed = None, 0
                if as_of is not None:
                    moment, needed = await found.moment_of(as_of, log_end)
                if found.position >= (at_least or 0) and found.furthest_past >= needed:
                    await found.look(moment)
                    yield found
                    return
            finally:
                await connection.execute("ROLLBACK")
        if time.monotonic() + wait > until:
            raise _not_reached(found, at_least, needed, timeout=timeout)
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_S)


def _not_reached(
    found: Reading, at_least: int | None, needed: int, *, timeout: float
) -> NotReachedError:
    field, wanted, reached = "asOf", needed, found.furthest_past
    if at_least is not None and at_least > found.position:
        field, wanted, reached = "atLeast", at_least, found.position
    return NotReachedError(
        f"position {wanted} was not reached in {timeout:g} s; it is {reached}",
        field=field,
        remedy=f"ask again, or read without {field}",
    )


async def _begin(connection: Connection, names: Sequence[str]) -> Reading:
    async with connection.pipeline():
        await connection.execute(_BEGIN)
        cursor = await connection.execute(_POINTERS, {"names": list(names), "times": TIMES})
    rows = [row[:4] for row in await cursor.fetchall()]
    times = next(((schema, position) for name, schema, position, _ in rows if name == TIMES), None)
    rows = [row for row in rows if row[0] in names]
    if len(rows) < len(set(names)):
        await connection.execute("ROLLBACK")
        missing = sorted(set(names) - {row[0] for row in rows})
        raise NotBuiltError(f"projection {missing[0]} is not there yet", remedy="start projections")
    return Reading(
        connection,
        positions={name: position for name, _, position, _ in rows},
        stale_since={name: since for name, _, _, since in rows if since is not None},
        schemas=[schema for _, schema, _, _ in rows],
        times=times,
    )

"""One consistent look at the read models: pointers, positions and rows of one snapshot."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg_pool import AsyncConnectionPool

from domain.shared.errors import UnavailableError
from projections.querying import Connection

SHORTEST_WAIT_S = 0.004
LONGEST_WAIT_S = 0.05

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_POINTERS = """
WITH pointers AS MATERIALIZED (
    SELECT p.name, p.schema, s.position,
        (SELECT min(k.position) FROM imewe.parked_keys k WHERE k.schema = p.schema) AS stale_since
    FROM imewe.projections p JOIN imewe.positions s USING (schema)
    WHERE p.name = ANY(%(names)s))
SELECT name, position, stale_since,
    set_config('search_path', (SELECT string_agg(quote_ident(schema), ',') FROM pointers), true)
FROM pointers
"""


class NotReachedError(UnavailableError):
    """The read models have not come as far as was asked in the time given."""

    code = "POSITION_NOT_REACHED"


class NotBuiltError(UnavailableError):
    """A read model does not exist yet: its projection has not run."""

    code = "PROJECTION_NOT_BUILT"


@dataclass(frozen=True, slots=True)
class Reading:
    """``connection`` sees the tables of the projections asked for, unqualified.

    ``positions`` says how far each has come; ``stale_since`` holds, for those with an event that
    could not be folded, the position of the first.
    """

    connection: Connection
    positions: dict[str, int]
    stale_since: dict[str, int]

    @property
    def position(self) -> int:
        """All of them have come at least this far."""
        return min(self.positions.values())


@asynccontextmanager
async def reading(
    pool: AsyncConnectionPool[Any],
    names: Sequence[str],
    *,
    at_least: int | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109 - the caller's own, not a cancellation
) -> AsyncIterator[Reading]:
    """A read-only snapshot of the projections ``names``; ``pool`` gives autocommit connections.

    With ``at_least`` it waits until all have come to that position. Raises ``NotReachedError``
    after ``timeout`` seconds, ``NotBuiltError`` when there is no such projection.
    """
    until = time.monotonic() + timeout
    wait = SHORTEST_WAIT_S
    while True:
        async with pool.connection() as connection:
            found = await _begin(connection, names)
            try:
                if at_least is None or found.position >= at_least:
                    yield found
                    return
            finally:
                await connection.execute("ROLLBACK")
        if time.monotonic() + wait > until:
            raise NotReachedError(
                f"position {at_least} was not reached in {timeout:g} s; it is {found.position}",
                field="atLeast",
                remedy="ask again, or read without atLeast",
            )
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_S)


async def _begin(connection: Connection, names: Sequence[str]) -> Reading:
    async with connection.pipeline():
        await connection.execute(_BEGIN)
        cursor = await connection.execute(_POINTERS, {"names": list(names)})
    rows = await cursor.fetchall()
    if len(rows) < len(set(names)):
        await connection.execute("ROLLBACK")
        missing = sorted(set(names) - {row[0] for row in rows})
        raise NotBuiltError(f"projection {missing[0]} is not there yet", remedy="start projections")
    positions = {name: position for name, position, _, _ in rows}
    stale = {name: since for name, _, since, _ in rows if since is not None}
    return Reading(connection, positions, stale)

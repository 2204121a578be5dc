"""The read models as one request sees them: one moment for all of its fields."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from domain.shared.errors import UnavailableError
from projections.querying import Connection
from projections.reading import LogEnd, Moment, Reading, When, reading


class Reads:
    """Opened when the first field asks, kept until ``close``: all fields see the same moment.

    A look at the past goes through the same snapshot, so that fields may look at different ones.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], *, log_end: LogEnd | None = None) -> None:
        self._pool = pool
        self._log_end = log_end
        self._open: dict[tuple[str, ...], Reading] = {}
        self._moments: dict[When, Moment] = {}
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(
        self,
        names: Sequence[str],
        *,
        at_least: int | None = None,
        as_of: When | None = None,
    ) -> AsyncIterator[Connection]:
        """A connection that sees the projections ``names``, at ``at_least`` or later, and with
        ``as_of`` as they were then.

        Its fields take turns on it. Raises ``UnavailableError`` when the database does not answer
        or the position is not reached in time.
        """
        async with self._turn:
            try:
                found = await self._reading(tuple(names), at_least, as_of)
                yield found.connection
            except (psycopg.OperationalError, PoolTimeout) as error:
                raise UnavailableError(
                    "the read models do not answer", remedy="ask again in a moment"
                ) from error

    def moment_of(self, as_of: When | None) -> Moment | None:
        """What a look at the past has turned out to mean; ``None`` is the present."""
        return None if as_of is None else self._moments.get(as_of)

    async def close(self) -> None:
        """Give every connection back; the next field that asks sees a new moment.

        A connection that broke meanwhile cannot end its snapshot, and has none any more: the field
        that used it has said so, the pool throws it away, and the answer goes out.
        """
        async with self._turn:
            self._open.clear()
            self._moments.clear()
            with suppress(psycopg.OperationalError):
                await self._stack.aclose()

    async def _reading(
        self, names: tuple[str, ...], at_least: int | None, as_of: When | None
    ) -> Reading:
        """A time means one position for the whole request, whichever snapshot was asked first."""
        moment = self.moment_of(as_of)
        needed = moment.position if moment else 0
        known = self._open.get(names)
        if known is not None and as_of is not None and moment is None:
            moment, needed = await known.moment_of(as_of, self._log_end)
        if known is None or known.position < (at_least or 0) or known.furthest_past < needed:
            asked = self._moments[as_of].position if as_of in self._moments else as_of
            known = self._open[names] = await self._fresh(names, at_least=at_least, as_of=asked)
            moment = self.moment_of(as_of) or known.moment
        if as_of is not None and moment is not None:
            self._moments[as_of] = moment
        await known.look(moment)
        return known

    async def _fresh(
        self,
        names: tuple[str, ...],
        *,
        at_least: int | None = None,
        as_of: When | None = None,
    ) -> Reading:
        """A pool notices a broken connection only by using it: after a failure it looks through
        all of them, and the reading is tried once more. That costs nothing while all is well."""
        try:
            return await self._stack.enter_async_context(
                reading(self._pool, names, at_least=at_least, as_of=as_of, log_end=self._log_end)
            )
        except PoolTimeout:
            raise
        except psycopg.OperationalError:
            await self._pool.check()
            return await self._stack.enter_async_context(
                reading(self._pool, names, at_least=at_least, as_of=as_of, log_end=self._log_end)
            )

"""Accounts that are closed although tokens of theirs live on: what the read model last said.

The commands service asks its own store at every command; reading goes by this set, which follows
the committed rows by a moment.
"""

import asyncio
from typing import Any

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from domain.shared.errors import ImeweError
from gateways.graphql.live import LiveHub
from projections.accounts import queries as people
from projections.reading import reading

AGAIN_S = 1.0

log = structlog.get_logger()


class Departed:
    """Call it with an account's id; ``follow`` keeps it right."""

    def __init__(self) -> None:
        self._ids: frozenset[str] = frozenset()

    def __call__(self, account_id: str) -> bool:
        """Whether the account is closed."""
        return account_id in self._ids

    async def follow(self, pool: AsyncConnectionPool[Any], hub: LiveHub) -> None:
        """Look whenever accounts changed, and now and then, for ever."""
        with hub.watching("accounts") as watch:
            while True:
                try:
                    await self._look(pool)
                except (ImeweError, psycopg.Error, PoolTimeout) as error:
                    log.debug("closed accounts cannot be read", problem=str(error))
                    await asyncio.sleep(AGAIN_S)
                else:
                    await watch.changed()

    async def _look(self, pool: AsyncConnectionPool[Any]) -> None:
        async with reading(pool, people.READS) as found:
            self._ids = await people.closed_ids(found.connection)

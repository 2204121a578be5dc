"""The gateway's look at the read models when the database goes away under it."""

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.shared.errors import UnavailableError
from gateways.graphql.reads import Reads
from projections.jobs.queries import READS
from tests.projecting import migrated, project


@pytest.fixture
def database(database_url: str) -> str:
    """A database with empty read models."""
    with migrated(database_url) as connection:
        project(connection, [])
    return database_url


async def test_a_connection_lost_in_a_field_fails_that_field_and_not_the_whole_answer(
    database: str,
) -> None:
    async with AsyncConnectionPool(
        database, min_size=1, max_size=1, open=False, kwargs={"autocommit": True}
    ) as pool:
        reads = Reads(pool)
        with pytest.raises(UnavailableError, match="do not answer"):
            async with reads.use(READS) as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await reads.close()
        async with reads.use(READS) as connection:
            row = await (await connection.execute("SELECT count(*) FROM jobs")).fetchone()
        await reads.close()
    assert row == (0,)

"""The embedded nats-server and PostgreSQL: start, kill, odd places."""

import psycopg

from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings


def test_a_fresh_database_is_empty_and_speaks_utc(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        found = connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone()
        assert found == (0,)


async def test_a_user_of_the_contract_connects(
    nats_server: EmbeddedNats, settings: Settings
) -> None:
    client = await connect(settings, "gateway", allow_reconnect=False)
    assert client.is_connected
    await client.close()
    assert nats_server.poll() is None

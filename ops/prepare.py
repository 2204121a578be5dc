"""What must exist before a service may start: streams, buckets and tables."""

import asyncio

from ops.database.connection import connect as connect_database
from ops.database.migrations import migrate
from ops.eventstore.client import Client
from ops.eventstore.streams import ensure_streams
from ops.messaging.connection import address, connect
from ops.messaging.streams import ensure_app_streams
from ops.settings import Settings

FOREIGN_STORE = 10 << 30
"""Bytes to share out on a server that is not ours and whose bound we do not know."""


async def prepare_streams(settings: Settings, *, store_bytes: int | None = None) -> None:
    """Make the streams of both accounts; those that exist are left as they are."""
    await asyncio.to_thread(_prepare_log, settings)
    client = await connect(settings, "supervisor", allow_reconnect=False)
    try:
        await ensure_app_streams(client, store_bytes=store_bytes or FOREIGN_STORE)
    finally:
        await client.close()


def prepare_database(settings: Settings) -> list[str]:
    """Apply the migrations that are missing; returns their names."""
    with connect_database(settings) as connection:
        return migrate(connection)


def _prepare_log(settings: Settings) -> None:
    client = Client(address(settings, "log_supervisor"))
    try:
        ensure_streams(client)
    finally:
        client.close()

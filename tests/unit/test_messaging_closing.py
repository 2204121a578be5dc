"""Connections of nats-py whose handshake fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import nats.errors
import pytest

from ops.messaging.connection import connect
from ops.settings import Settings
from tests.waiting import until

INFO = b'INFO {"server_id": "x", "version": "2.11.0", "headers": true, "max_payload": 1000}\r\n'


class Stranger:
    """A server that speaks NATS to the first ``known`` callers, and then no more."""

    def __init__(self) -> None:
        self.known = 0
        self.came = 0
        self.went = 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        with suppress(ConnectionError):
            if self.came <= self.known:
                writer.write(INFO)
                await reader.readuntil(b"PING\r\n")
                writer.write(b"PONG\r\n")
                await writer.drain()
            else:
                writer.write(b"who are you?\r\n")
                await reader.read()
        self.went += 1
        writer.close()


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[tuple[Stranger, Settings]]:
    known = tmp_path / "credentials.json"
    known.write_text('{"gateway": "secret"}')
    stranger = Stranger()
    async with await asyncio.start_server(stranger.greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield (
            stranger,
            Settings(home=tmp_path, nats_url=f"nats://127.0.0.1:{port}", nats_credentials=known),
        )


async def test_every_connection_whose_handshake_failed_is_closed(
    stranger: tuple[Stranger, Settings],
) -> None:
    server, settings = stranger
    server.known = 1
    client = await connect(settings, "gateway", reconnect_time_wait=0.01)
    await until(lambda: server.came >= 4)
    await client.close()
    await until(lambda: server.went == server.came)


async def test_a_connection_that_is_refused_is_closed(stranger: tuple[Stranger, Settings]) -> None:
    server, settings = stranger
    with pytest.raises(nats.errors.Error, match="INFO"):
        await connect(settings, "gateway", allow_reconnect=False)
    await until(lambda: server.went == server.came == 1)

"""The gateway as its service builds it: what the settings say reaches the requests."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from domain.shared.errors import InvalidInputError
from gateways.app import create_app
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ensure_app_streams
from ops.services.gateway import built
from ops.settings import Settings

INTROSPECTION = {"query": "{ __schema { queryType { name } } }"}
NO_DATABASE = "postgresql://127.0.0.1:1/none"


async def program(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 10):
        yield b"G1 X1 F60\n"


@pytest.mark.parametrize("production", [False, True])
async def test_production_hides_the_schema(
    fresh_nats: EmbeddedNats, fresh_settings: Settings, production: bool
) -> None:
    settings = replace(fresh_settings, database_url=NO_DATABASE, production=production)
    async with built(settings) as (gateway, _):
        transport = httpx.ASGITransport(create_app(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            shown = (await client.post("/graphql", json=INTROSPECTION)).json()
            described = await client.get("/v1/openapi.json")
    assert ("errors" in shown) is production
    assert described.is_success is not production


async def test_one_limit_of_the_settings_holds_for_the_gateway_and_for_the_store(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    supervisor = await connect(fresh_settings, "supervisor")
    await ensure_app_streams(supervisor, store_bytes=fresh_nats.store_bytes)
    await supervisor.close()
    settings = replace(fresh_settings, database_url=NO_DATABASE, upload_limit_bytes=100)
    async with built(settings) as (gateway, _):
        assert gateway.upload_limit_bytes == 100
        kept = await gateway.artifacts.put(program(100), organisation_id="o1", name="a.gcode")
        assert kept.size == 100
        with pytest.raises(InvalidInputError, match="100 bytes"):
            await gateway.artifacts.put(program(110), organisation_id="o1", name="a.gcode")

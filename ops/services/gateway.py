"""The gateway service: HTTP and websockets in front of commands and read models."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.metadata import version
from uuid import uuid4

import structlog
import uvicorn
import uvloop
from nats.aio.client import Client
from psycopg_pool import AsyncConnectionPool

from commands.tokens import Signer, Verifier
from gateways.app import create_app
from gateways.graphql.live import LiveHub
from gateways.ports import Gateway
from gateways.security.denials import Denials
from gateways.security.departed import Departed
from gateways.security.exports import Exports
from gateways.security.sign_in import SignIn
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.database.connection import conninfo
from ops.eventstore.rows import event_of_row
from ops.hosting.entrance import gateway_url, http_port
from ops.keys import token_keys
from ops.messaging.administration import NatsAdministration
from ops.messaging.attending import NatsAttending
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.connection import connect, nats_options
from ops.messaging.gateway_links import (
    NatsAuditTrail,
    NatsEmergencyStops,
    NatsFaultClearing,
    NatsPasswordCheck,
    NatsPeople,
    NatsTelemetrySource,
    hear_projections,
)
from ops.messaging.services import register
from ops.messaging.space import demand_room
from ops.messaging.stored_events import StoredEvents
from ops.settings import Settings
from ops.telemetry.cold import ColdFiles, cold_folder

CONNECTIONS = 8
POOL_PATIENCE_S = 5.0
STOP_S = 2
SOCKET_MESSAGE_BYTES = 256 * 1024
BACKLOG = 2048

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    async with built(settings) as (gateway, client):
        server = _Server(
            uvicorn.Config(
                create_app(gateway, version=version("imewe")),
                host=settings.http_host,
                port=http_port(settings),
                backlog=BACKLOG,
                http="httptools",
                ws="websockets-sansio",
                ws_per_message_deflate=False,  # it costs 40 KB for every subscriber
                ws_max_size=SOCKET_MESSAGE_BYTES,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_S,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.ask_to_stop)
        registered = await register(
            client, settings, "gateway", metadata={"url": gateway_url(settings)}
        )
        log.info("the gateway serves", url=gateway_url(settings))
        await server.serve()
        await registered.stop()


@asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[tuple[Gateway, Client]]:
    """The gateway's parts on real connections, and the NATS connection among them."""
    clock = SystemClock()
    keys = token_keys(settings.home)
    async with AsyncConnectionPool(
        conninfo(settings),
        min_size=1,
        max_size=CONNECTIONS,
        timeout=POOL_PATIENCE_S,
        open=False,
        kwargs={"autocommit": True},
    ) as pool:
        hub: LiveHub | None = None
        told = nats_options(settings, "gateway")["reconnected_cb"]

        async def on_reconnect() -> None:
            await told()
            if hub:
                hub.wake_all()  # announcements were missed meanwhile

        client = await connect(settings, "gateway", reconnected_cb=on_reconnect)
        trail = NatsAuditTrail(client)
        denials = Denials(trail.tell)
        stored = StoredEvents(settings)
        departed = Departed()
        following: asyncio.Task[None] | None = None
        try:
            hub = LiveHub(NatsTelemetrySource(client))
            await hear_projections(client, hub)
            following = asyncio.create_task(departed.follow(pool, hub))
            yield (
                Gateway(
                    commands=NatsCommandClient(client, kind="service", principal_id="gateway"),
                    pool=pool,
                    artifacts=JetStreamArtifactStore(
                        client,
                        limit_bytes=settings.upload_limit_bytes,
                        demand_room=partial(demand_room, settings),
                    ),
                    stops=NatsEmergencyStops(client),
                    faults=NatsFaultClearing(client),
                    attending=NatsAttending(client),
                    people=NatsPeople(client),
                    trail=trail,
                    administration=NatsAdministration(client),
                    log=stored,
                    cold=ColdFiles(cold_folder(settings)),
                    denials=denials,
                    exports=Exports(trail.step),
                    sign_in=SignIn(
                        NatsPasswordCheck(client),
                        Signer(keys.private),
                        clock=clock,
                        new_id=_new_id,
                        ttl_s=settings.token_ttl_s,
                    ),
                    verifier=Verifier(keys.public, clock=clock, is_gone=departed),
                    live=hub,
                    clock=clock,
                    new_id=_new_id,
                    decode=event_of_row,
                    health=lambda: [] if client.is_connected else ["nats"],
                    production=settings.production,
                    upload_limit_bytes=settings.upload_limit_bytes,
                ),
                client,
            )
        finally:
            if following:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await denials.close()
            stored.close()
            await client.close()


class _Server(uvicorn.Server):
    """Signals stop it without being raised again afterwards, as uvicorn's own handlers do."""

    def ask_to_stop(self) -> None:
        """Answer what was asked, close every socket with 1012, then return from ``serve``."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: ``serve`` below listens to the signals."""
        yield


def _new_id() -> str:
    return str(uuid4())

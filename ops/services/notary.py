"""The notary service: signs the log, writes the heads out, and answers what it knows of them."""

import asyncio
import contextlib
import os
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.micro.service import Service

from commands.tokens import Verifier
from domain.shared.errors import ImeweError
from ops.clock import SystemClock
from ops.eventstore.chain import Flaw
from ops.eventstore.client import Client
from ops.hosting.service_loop import in_thread_beside, told_to_stop, until_told
from ops.keys import token_keys
from ops.messaging.administration import AdministrationDesk
from ops.messaging.command_client import report_step
from ops.messaging.connection import address, connect
from ops.messaging.services import register
from ops.notary.answering import NotaryDesk
from ops.notary.exporting_desk import ExportDesk
from ops.notary.head_stream import HeadStream
from ops.notary.ledger import Ledger
from ops.notary.log_source import LogSource
from ops.notary.notary import Notary
from ops.notary.publishing import Publisher
from ops.notary.status import Pace
from ops.settings import Settings

NAME: Final = "notary"
LOG_USER: Final = "log_notary"
STOP_S: Final = 3.0
AGAIN_S: Final = 5.0
YIELDING: Final = 10
"""Niceness: people's commands go before proofs of them."""

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.nice(YIELDING)
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    stopping, loop = told_to_stop(), asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        app = await connect(settings, NAME)
        stack.push_async_callback(app.close)
        announced = Announcement(app, settings)
        await announced.begin()
        stack.push_async_callback(announced.end)
        files = Client(address(settings, LOG_USER))
        stack.callback(files.close)
        stream, clock = HeadStream(files), SystemClock()
        source = LogSource(files)
        stack.callback(source.stop)
        notary = Notary(
            settings.home,
            source,
            lambda: Ledger(stream, settings.home, now=clock.now),
            pace=Pace(events=settings.head_events, seconds=settings.head_seconds),
            on_flaw=lambda flaw: announced.from_thread(flaw, loop),
        )
        publisher = Publisher(stream, settings.home)
        desk = AdministrationDesk(
            app,
            NAME,
            {
                **NotaryDesk(app, notary, stream, publisher).handlers(),
                **ExportDesk(app, files, settings.home).handlers(),
            },
            verifier=Verifier(token_keys(settings.home).public, clock=clock),
        )
        await desk.open()
        stack.push_async_callback(desk.close)
        async with (
            in_thread_beside(publisher.run, publisher.stop, patience_s=STOP_S),
            in_thread_beside(notary.run, notary.stop, patience_s=STOP_S) as ended,
        ):
            await until_told(stopping, ended, what="the notary")


class Announcement:
    """How the service shows itself to others; with a flaw, once there is one."""

    def __init__(self, client: NatsClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._service: Service | None = None
        self._telling: asyncio.Task[None] | None = None

    async def begin(self, **metadata: str) -> None:
        """Answer in the services protocol, with ``metadata``."""
        if self._service is not None:
            await self._service.stop()
        self._service = await register(self._client, self._settings, NAME, metadata=metadata)

    async def end(self) -> None:
        """Answer no more."""
        if self._telling is not None:
            self._telling.cancel()
        if self._service is not None:
            await self._service.stop()

    def from_thread(self, flaw: Flaw, loop: asyncio.AbstractEventLoop) -> None:
        """Tell everybody, from whatever thread."""
        loop.call_soon_threadsafe(self._begin_telling, flaw)

    def _begin_telling(self, flaw: Flaw) -> None:
        self._telling = asyncio.create_task(self._tell(flaw))

    async def _tell(self, flaw: Flaw) -> None:
        await self.begin(flaw=f"event {flaw.sequence}: {flaw.reason}")
        told = {
            "action": "notary.sign",
            "outcome": "failed",
            "resource": f"event {flaw.sequence}",
            "reason": flaw.reason,
        }
        while True:
            try:
                await report_step(self._client, told)
            except ImeweError as problem:
                log.warning("the audit trail was not told of the flaw", reason=problem.message)
                await asyncio.sleep(AGAIN_S)
            else:
                return

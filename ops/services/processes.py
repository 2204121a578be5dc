"""The processes service: one active runner among N copies."""

import asyncio
import contextlib
import os
from datetime import timedelta
from typing import Final

import structlog

from commands.processes.assessing import Assessor
from commands.processes.watchdog import ACCEPT_WITHIN
from domain.shared.errors import UnavailableError
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.fabrication.geometry import StoredInspector, WorkerGeometry
from ops.fabrication.slicer import PrusaSlicer
from ops.hosting.service_loop import until_cancelled
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.connection import address, connect
from ops.messaging.relay import WorkRelay
from ops.messaging.services import register
from ops.messaging.timers import Timers
from ops.processing.lease import Lease, LeaseLostError
from ops.processing.runner import Outside, Runner
from ops.settings import Settings

NAME: Final = "processes"
LOG_USER: Final = "log_processes"
AGAIN_S: Final = 1.0
YIELDING: Final = 10
"""Niceness: on a busy machine people's commands go before what follows from them."""
ANSWER_WITHIN_S: Final = 5.0
"""Then the same command is sent again: a server that was killed answers nobody."""

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.nice(YIELDING)
    asyncio.run(until_cancelled(serve(settings)))


async def serve(settings: Settings, *, accept_within: timedelta = ACCEPT_WITHIN) -> None:
    """Serve until cancelled: wait for the lease, run, and begin again when it was lost."""
    async with contextlib.AsyncExitStack() as stack:
        app = await connect(settings, NAME)
        stack.push_async_callback(app.close)
        log_connection = await connect(settings, LOG_USER)
        stack.push_async_callback(log_connection.close)
        store = JetStreamArtifactStore(app)
        geometry, slicer = WorkerGeometry(), PrusaSlicer(store)
        stack.push_async_callback(geometry.close)
        stack.push_async_callback(slicer.close)
        outside = Outside(
            commands=NatsCommandClient(
                app, kind="service", principal_id=NAME, timeout_s=ANSWER_WITHIN_S
            ),
            relay=WorkRelay(app),
            timers=Timers(log_connection),
            assessor=Assessor(inspector=StoredInspector(store, geometry), slicer=slicer),
            clock=SystemClock(),
        )
        registered = await register(app, settings, NAME)
        stack.push_async_callback(registered.stop)
        sweeping = asyncio.create_task(_sweep(store))
        stack.callback(sweeping.cancel)
        files = Client(address(settings, LOG_USER))
        stack.callback(files.close)
        while True:
            lease = Lease(log_connection, NAME)
            with contextlib.closing(LogReader(files)) as reader:
                await _run(Runner(outside, lease, reader, accept_within=accept_within))
            await asyncio.sleep(AGAIN_S)


async def _sweep(store: JetStreamArtifactStore) -> None:
    """Take away what killed uploads left; nothing waits for it, and the next start tries again."""
    try:
        removed = await store.sweep(SystemClock())
    except UnavailableError as problem:
        log.warning("abandoned uploads stay", reason=problem.message)
        return
    if removed:
        log.info("abandoned uploads were removed", uploads=removed)


async def _run(runner: Runner) -> None:
    try:
        await runner.run()
    except* (LeaseLostError, UnavailableError) as problems:
        reasons = [str(problem) for problem in problems.exceptions]
        log.warning("processes step back", reasons=reasons)

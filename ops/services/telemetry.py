"""The telemetry service: takes in what machines measure, apart from the projections.

For installations with much of it; set IMEWE_TELEMETRY_APART=1 for the projections service then.
Several copies stand by for one another.
"""

import asyncio
import os
import signal
import threading
from typing import Final

import structlog

from ops.messaging.connection import connect
from ops.messaging.services import register
from ops.projecting.wiring import NATS_USER
from ops.settings import Settings
from ops.telemetry.wiring import ingesting

YIELDING: Final = 5
LOOK_S: Final = 1.0

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.nice(YIELDING)
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    client = await connect(settings, NATS_USER)
    try:
        registered = await register(client, settings, "telemetry")
        with ingesting(settings) as thread:
            log.info("telemetry is taken in")
            await _until(stopping, thread)
        await registered.stop()
    finally:
        await client.close()


async def _until(stopping: asyncio.Event, thread: threading.Thread) -> None:
    while not stopping.is_set():
        if not thread.is_alive():
            raise RuntimeError("the ingest ended by itself")
        try:
            async with asyncio.timeout(LOOK_S):
                await stopping.wait()
        except TimeoutError:
            continue

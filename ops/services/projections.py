"""The projections service: one reader of the log, all projections, one connection each way."""

import asyncio
import os
import signal
import threading

import structlog

from ops.eventstore.reader import LogReader
from ops.messaging.connection import connect
from ops.messaging.services import register
from ops.projecting.announcing import Announcer
from ops.projecting.runner import Runner
from ops.projecting.wiring import NATS_USER, connected, log_reader
from ops.settings import Settings
from projections.catalogue import CATALOGUE

STOP_S = 2.0
YIELDING = 5
"""Niceness: on a busy machine people's commands go before the rows that follow from them."""

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
        with log_reader(settings) as reader:
            runner = Runner(
                reader,
                CATALOGUE,
                connect=lambda: connected(settings),
                announce=Announcer(client, loop),
            )
            registered = await register(client, settings, "projections")
            await _follow(runner, reader, stopping)
            await registered.stop()
    finally:
        await client.close()


async def _follow(runner: Runner, reader: LogReader, stopping: asyncio.Event) -> None:
    """The runner blocks, so it has a thread; the last batch is finished or rolled back."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def run() -> None:
        try:
            runner.run()
        finally:
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=run, name="projections", daemon=True).start()
    log.info("projections follow the log")
    waiting = [asyncio.create_task(each.wait()) for each in (stopping, ended)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    runner.stop()
    reader.close()
    await asyncio.wait(waiting[1:], timeout=STOP_S)
    for task in waiting:
        task.cancel()
    if not stopping.is_set():
        raise RuntimeError("the runner ended by itself")

"""How a service runs until it is told to stop, with blocking work in a thread beside the loop."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT from now on. Within a running loop of the main thread only."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Do work that ends by being cancelled: SIGTERM and SIGINT do it. Main thread only."""
    working = asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


@contextlib.asynccontextmanager
async def in_thread_beside(
    run: Callable[[], None], stop: Callable[[], None], *, patience_s: float
) -> AsyncIterator[asyncio.Event]:
    """``run`` in a thread for as long as the block is; the event says that it ended.

    At the end ``stop`` is called, and the thread has ``patience_s`` seconds.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def to_its_end() -> None:
        try:
            run()
        finally:
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=to_its_end, daemon=True).start()
    try:
        yield ended
    finally:
        stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await ended.wait()


async def until_told(stopping: asyncio.Event, ended: asyncio.Event, *, what: str) -> None:
    """Wait for the order to stop. Raises ``RuntimeError`` when ``what`` ended by itself before."""
    waiting = [asyncio.create_task(each.wait()) for each in (stopping, ended)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if not stopping.is_set():
        raise RuntimeError(f"{what} ended by itself")

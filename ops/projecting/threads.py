"""Long work beside an event loop: in threads that a process does not wait for at its end."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def beside(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Do it in a thread of its own; what nobody waits for any more is heeded where it is done."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
            future.exception()  # noted by whoever did the work, if nobody waits
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    in_thread(run)
    return future


def in_thread(work: Callable[[], None]) -> None:
    """Start a thread that ends with the process."""
    threading.Thread(target=work, name="projections", daemon=True).start()

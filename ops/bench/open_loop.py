"""An open-loop load: requests leave on schedule, whether or not earlier ones were answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOutcome:
    """Latencies in ms, counted from the planned moment, so that a stall is not hidden."""

    latencies_ms: list[float]
    failures: list[str]


async def open_loop(
    request: Callable[[int], Awaitable[None]], *, per_second: float, seconds: float
) -> LoadOutcome:
    """Send ``request(n)`` at a constant rate for a bounded time and wait for every answer.

    A request that raises counts as a failure, with its text.
    """
    outcome = LoadOutcome(latencies_ms=[], failures=[])
    begun = time.perf_counter()

    async def one(number: int, planned: float) -> None:
        try:
            await request(number)
        except Exception as error:
            outcome.failures.append(str(error)[:200])
        else:
            outcome.latencies_ms.append((time.perf_counter() - planned) * 1000)

    async with asyncio.TaskGroup() as running:
        for number in range(int(per_second * seconds)):
            planned = begun + number / per_second
            await asyncio.sleep(max(0.0, planned - time.perf_counter()))
            running.create_task(one(number, planned))
    return outcome

"""Waiting for a fact in the same event loop."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 30.0


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so; fails when it never is."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 the condition lies in other tasks
            await asyncio.sleep(0.002)

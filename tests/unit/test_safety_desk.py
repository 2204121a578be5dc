"""The socket on which a bridge is told to stop, when the bridge ends while it opens it."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from device_bridge.safety.desk import open_desk


async def stop(node: str, by: str) -> list[dict[str, Any]]:
    return []


async def serve(folder: Path) -> None:
    async with open_desk(folder, stop):
        await asyncio.Event().wait()


@pytest.mark.parametrize("steps", range(8))
async def test_a_bridge_that_ends_at_any_moment_of_its_start_leaves_no_socket(
    tmp_path: Path, steps: int
) -> None:
    serving = asyncio.create_task(serve(tmp_path))
    for _ in range(steps):
        await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    gc.collect()  # one that was left open is an error now

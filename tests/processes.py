"""Whether a process still lives: asked so that one which ends meanwhile is no error."""

import asyncio
import time
from collections.abc import Iterable

import psutil
import pytest

PATIENCE_S = 30.0


def alive(process: psutil.Process | int) -> bool:
    """Whether a process, or the one with this pid, runs; a zombie has ended."""
    try:
        each = psutil.Process(process) if isinstance(process, int) else process
        return each.is_running() and each.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(processes: Iterable[psutil.Process | int]) -> bool:
    """Whether every one has ended."""
    return not any(alive(each) for each in processes)


async def until_gone(pid: int) -> None:
    """Wait for the end of a process; fails when it does not come."""
    until = time.monotonic() + PATIENCE_S
    while alive(pid):
        if time.monotonic() > until:
            pytest.fail(f"process {pid} is still there")
        await asyncio.sleep(0.02)

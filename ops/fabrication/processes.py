"""A worker process that is there while there is work."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine
from typing import Any, Final

from domain.shared.errors import InvalidInputError, UnavailableError
from ops.settings import CHECKOUT, server_environment

IDLE_S: Final = 10.0
LONGEST_ANSWER: Final = 1024 * 1024
_OURS: Final = {-signal.SIGKILL, -signal.SIGTERM}
"""Ends that say nothing of the file: somebody, or a machine out of memory, ended the worker."""


class Worker:
    """Runs ``ops.fabrication.worker`` on demand, one request at a time, and ends it when idle.

    ``memory_bytes`` bounds its address space, ``timeout_s`` each request. For one event loop.
    """

    def __init__(self, *, memory_bytes: int, timeout_s: float, idle_s: float = IDLE_S) -> None:
        self._memory = memory_bytes
        self._timeout = timeout_s
        self._idle_s = idle_s
        self._process: Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[int]] = set()
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The running worker's process id, ``None`` at rest."""
        return self._process.pid if self._process else None

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        Raises ``InvalidInputError`` when the file is at fault and ``UnavailableError`` when it
        took too long; the worker is then ended with all it started.
        """
        async with self._turn:
            self._stay()
            process = self._process = self._process or await self._start()
            try:
                async with asyncio.timeout(self._timeout):
                    line = await _exchange(process, request)
            except TimeoutError:
                await self._kill()
                raise UnavailableError(
                    f"Looking at the file took longer than {self._timeout:g} s.",
                    remedy="Reduce the model, or try again when the machine is less busy.",
                ) from None
            except asyncio.CancelledError:
                await self._kill()
                raise
            if not line:
                await self._explain_end()
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)
        return _judged(json.loads(line))

    async def close(self) -> None:
        """End the worker now."""
        self._stay()
        await self._kill()
        await asyncio.gather(*self._ending)

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "ops.fabrication.worker", str(self._memory)),
            env={
                **server_environment(),
                "PYTHONPATH": str(CHECKOUT),
                "OPENBLAS_NUM_THREADS": "1",
            },
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=LONGEST_ANSWER,
            start_new_session=True,
        )

    def _stay(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None

    def _end_idle(self) -> None:
        """Let go of the worker at once, so that the next request starts another."""
        task = asyncio.get_running_loop().create_task(self._kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _kill(self) -> Coroutine[Any, Any, int]:
        process, self._process = self._process, None
        return _end(process)

    async def _explain_end(self) -> None:
        code = await self._kill()
        if code in _OURS:
            raise UnavailableError("The worker that looked at the file was ended.")
        raise InvalidInputError(
            f"The file made the program that reads it fail (end code {code}).",
            field="file",
            remedy="Export the model again, with fewer triangles.",
        )


async def _end(process: Process | None) -> int:
    """End a worker's whole group and return the worker's own end code."""
    if process is None:
        return 0
    if process.stdin:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return await process.wait()


async def _exchange(process: Process, request: dict[str, Any]) -> bytes:
    if process.stdin is None or process.stdout is None:
        return b""
    with contextlib.suppress(ConnectionError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    return await process.stdout.readline()


def _judged(answer: dict[str, Any]) -> dict[str, Any]:
    if "refused" in answer:
        raise InvalidInputError(answer["refused"], field="file", remedy=answer["remedy"])
    done: dict[str, Any] = answer["done"]
    return done

"""Does what steps ask for: in order within a lane, lanes beside each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import structlog

from commands.processes.outputs import Ask, Output
from commands.processes.progress import Progress
from domain.shared.errors import ConflictError, UnavailableError

AT_ONCE = 4
"""Commands under way: fewer than the commands service has threads, so that people need not wait."""
OPEN_LIMIT = 2000
"""Positions under way before reading on waits."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0

Do = Callable[[Output], Awaitable[Output | None]]
log = structlog.get_logger()


class Lanes:
    """``do`` does one thing and returns what is to be done instead of the rest of its group.

    What cannot be done now is tried again until it can; other lanes go on meanwhile.
    """

    def __init__(self, do: Do, progress: Progress) -> None:
        self._do = do
        self._progress = progress
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[str, deque[tuple[int, deque[Output]]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._room.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    async def take(self, position: int, outputs: Iterable[Output]) -> None:
        """Line up a step's outputs; ``position`` 0 is for what follows from no event."""
        groups: dict[str, deque[Output]] = {}
        for output in outputs:
            groups.setdefault(output.lane, deque()).append(output)
        if position:
            self._progress.begin(position, len(groups))
        for lane, group in groups.items():
            self._waiting.setdefault(lane, deque()).append((position, group))
            if lane not in self._tasks:
                self._tasks[lane] = asyncio.create_task(self._run(lane))
        if self._progress.open >= OPEN_LIMIT:
            self._room.clear()
            await self._room.wait()

    async def patiently(self, output: Output) -> Output | None:
        """Do one thing now, in no lane; what is to be done instead when it was refused."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                if isinstance(output, Ask):  # waits for a machine, and holds up nobody
                    return await self._do(output)
                async with self._turns:
                    return await self._do(output)
            except (UnavailableError, ConflictError) as problem:
                if pause == LONGEST_PAUSE_S:
                    log.warning("still trying", lane=output.lane, problem=problem.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """Drop what is left: it is asked for again from the stored position."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, lane: str) -> None:
        groups = self._waiting[lane]
        while groups:
            position, group = groups[0]
            while group:
                instead = await self.patiently(group.popleft())
                if instead is not None:
                    group.clear()
                    group.append(instead)
            groups.popleft()
            if position:
                self._progress.done(position)
                if self._progress.open < OPEN_LIMIT:
                    self._room.set()
        del self._waiting[lane], self._tasks[lane]

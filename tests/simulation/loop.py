"""An event loop whose clock jumps to the next thing to do: hours in a second, the same each time.

Threads are played inline, so whatever runs on it depends on the seed alone.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any


class Life:
    """Everything that one process would be: what ends when it is killed."""

    def __init__(self) -> None:
        self.dead = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """In the order in which they began."""

    def demand_alive(self) -> None:
        """What a dead process would do does not happen."""
        if self.dead:
            raise asyncio.CancelledError

    def belongs(self, task: "asyncio.Task[Any]") -> None:
        """It ends with this life."""
        self.tasks[task] = None
        task.add_done_callback(lambda done: self.tasks.pop(done, None))

    def kill(self) -> None:
        """``kill -9``: no port of it has an effect any more, its last words included."""
        self.dead = True
        for task in list(self.tasks):
            task.cancel()


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """``at_tick`` is called between any two steps of any tasks."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.ticks = 0
        self.at_tick: Callable[[], None] = lambda: None
        self._now = 0.0
        self._chance = chance
        self.set_task_factory(_belonging)

    def time(self) -> float:
        """Seconds of the simulation."""
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """What a thread would do is done at once; the answer comes later."""
        done = self.create_future()
        try:
            result = func(*args)
        except Exception as problem:
            done.set_exception(problem)
        else:
            self.call_later(self._chance.choice((0.0, 0.001, 0.02)), _settle, done, result)
        return done

    def _run_once(self) -> None:
        self.ticks += 1
        self.at_tick()
        waiting: Any = self
        if not waiting._ready and waiting._scheduled:
            self._now = max(self._now, waiting._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def _settle(done: "asyncio.Future[Any]", result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _belonging(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, **named)
    life = LIFE.get()
    if life is not None:
        life.belongs(task)
    return task

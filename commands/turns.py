"""Lets the commands of one process that concern the same object wait for one another.

Correctness does not hang on it: the log refuses what was decided on an old state. It saves the
threads of one process from refusing each other for nothing.
"""

from threading import Lock
from types import TracebackType
from typing import Self
from uuid import UUID

STRIPES = 256


class Turns:
    """Locks by object; a few objects share one."""

    def __init__(self) -> None:
        self._locks = [Lock() for _ in range(STRIPES)]

    def turn(self) -> "Turn":
        """One command's place in the queues."""
        return Turn(self._locks)


class Turn:
    """Waits once, for the first object it is asked about: two locks could wait for each other."""

    def __init__(self, locks: list[Lock]) -> None:
        self._locks = locks
        self._held: Lock | None = None

    def wait_for(self, aggregate_id: UUID) -> None:
        """Wait until no other command of this process works on the object."""
        if self._held is None:
            lock = self._locks[aggregate_id.int % STRIPES]
            lock.acquire()
            self._held = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            self._held.release()

"""What the supervisor keeps running: servers and services, seen alike."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ops.hosting.children import Child, Program
from ops.hosting.home import log_folder
from ops.settings import Settings, service_environment


class Unit(Protocol):
    """One program that is kept running."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    def spawn(self) -> None: ...

    def is_ready(self) -> bool: ...

    def poll(self) -> int | None: ...

    def begin_stop(self) -> None: ...

    def finish_stop(self, timeout: float) -> None: ...


class ServiceProcess:
    """One of our own services as a child process; ``verbose`` leaves its log on our stderr.

    ``registers``: once it serves, it answers in the NATS services protocol. ``prepare`` is done
    before its first start, once all that has nothing to prepare answers; it may block and refuse.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        home: Path,
        *,
        verbose: bool = False,
        registers: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self.registers = registers
        self.prepare = prepare
        self._program = Program(
            command=command,
            log=None if verbose else log_folder(home) / f"{name}.log",
            environment=service_environment(),
            lifeline=True,
        )
        self._child: Child | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def spawn(self) -> None:
        if self._child:
            self._child.finish_stop(0)
        self._child = Child(self._program)

    def is_ready(self) -> bool:
        return True

    def poll(self) -> int | None:
        return self._child.poll() if self._child else -1

    def begin_stop(self) -> None:
        if self._child:
            self._child.begin_stop()

    def finish_stop(self, timeout: float) -> None:
        if self._child:
            self._child.finish_stop(timeout)
            self._child = None


def service_command(settings: Settings, name: str) -> list[str]:
    """``imewe run NAME`` in this interpreter, whatever lies in the working folder (``-P``)."""
    run = [sys.executable, "-P", "-m", "ops.cli.main", "run", name]
    return [*run, "--home", str(settings.home), "--supervised"]

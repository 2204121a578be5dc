"""What the supervisor keeps running: servers and services, seen alike."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from ops.hosting.account import Account
from ops.hosting.children import Child, Program
from ops.hosting.errors import HostingError
from ops.hosting.home import log_folder
from ops.settings import Settings, service_environment

READY_EVERY_S = 0.02
"""Between two looks whether a server answers."""


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


class ChildUnit:
    """What every unit does with its child process; ``spawn`` puts it into ``_child``."""

    _child: Child | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def poll(self) -> int | None:
        """The exit code, or ``None`` while it runs."""
        return self._child.poll() if self._child else -1

    def begin_stop(self) -> None:
        """Ask it to end."""
        if self._child:
            self._child.begin_stop()

    def finish_stop(self, timeout: float) -> None:
        """Wait for the end; after ``timeout`` seconds it is killed."""
        if self._child:
            self._child.finish_stop(timeout)
            self._child = None


class ServerUnit(ChildUnit, ABC):
    """An embedded server, which is waited for. ``title`` is what people call it; its own log is
    ``<name>.log`` in the home's folder of logs."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_s: ClassVar[float]

    def __init__(self, home: Path, account: Account | None) -> None:
        self._home = home
        self._account = account

    @abstractmethod
    def spawn(self) -> None:
        """Start without waiting. Main thread only."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers; raises ``HostingError`` when it has ended."""

    def start(self, timeout: float = 300.0) -> None:
        """Spawn and wait until it answers; a long log or recovery is given its time."""
        self.spawn()
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                self.stop()
                raise HostingError(f"{self.title} is not ready after {timeout:.0f} s")
            time.sleep(READY_EVERY_S)

    def stop(self, timeout: float | None = None) -> None:
        """Ask, wait, and kill after ``timeout`` seconds, by default as long as it may need."""
        self.begin_stop()
        self.finish_stop(self.stop_s if timeout is None else timeout)

    def kill(self) -> None:
        """As a crash would."""
        if self._child:
            self._child.kill()

    def demand_alive(self) -> None:
        """Raises ``HostingError`` with the end of its log when it has ended."""
        if (code := self.poll()) is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise HostingError(f"{self.title} ended with {code}: {' | '.join(lines[-4:])}")

    @property
    def log(self) -> Path:
        """Where its own words go."""
        return log_folder(self._home) / f"{self.name}.log"


class ServiceProcess(ChildUnit):
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

    @property
    def name(self) -> str:
        return self._name

    def spawn(self) -> None:
        if self._child:
            self._child.finish_stop(0)
        self._child = Child(self._program)

    def is_ready(self) -> bool:
        return True


def service_command(settings: Settings, name: str) -> list[str]:
    """``imewe run NAME`` in this interpreter, whatever lies in the working folder (``-P``)."""
    run = [sys.executable, "-P", "-m", "ops.cli.main", "run", name]
    return [*run, "--home", str(settings.home), "--supervised"]

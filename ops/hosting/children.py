"""Child processes that never outlive us."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.hosting.account import Account

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT = 16 << 20
"""Bytes; a longer log is set aside as ``.1`` when its program starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How to start one program. ``log`` ``None`` means our own standard error.

    ``death_signal`` is sent by the kernel when we die, ``stop_signal`` by us. Never SIGKILL for
    the first: the servers end as fast on a polite one and need no recovery then. ``guarded`` puts
    a small process between (where the kernel has no such wish); ``lifeline`` gives the program a
    pipe on standard input that ends with us, which it must watch itself.
    """

    command: Sequence[str]
    account: Account | None = None
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    guarded: bool = False
    lifeline: bool = False


class Child:
    """One running program. Start it from the main thread: the kernel's wish is the thread's."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process = _launch(program)
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, or ``None`` while it runs."""
        return self._process.poll()

    def begin_stop(self) -> None:
        """Ask it to end."""
        self._signal(self._program.stop_signal)

    def finish_stop(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for the end, then kill it with its process group."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            code = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def stop(self, timeout: float = 10.0) -> int:
        """Ask, wait, kill; returns the exit code."""
        self.begin_stop()
        return self.finish_stop(timeout)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)


def _launch(program: Program) -> subprocess.Popen[bytes]:
    who = program.account
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())]
    how = [
        str(int(program.death_signal)),
        str(who.uid if who else -1),
        str(who.gid if who else -1),
        "guard" if program.guarded else "exec",
    ]
    log = _open_log(program.log) if program.log else None
    try:
        return subprocess.Popen(
            [*launcher, *how, *program.command],
            cwd="/",
            env=dict(program.environment) if program.environment is not None else None,
            stdin=subprocess.PIPE if program.guarded or program.lifeline else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    finally:
        if log is not None:
            os.close(log)


def _open_log(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(path.suffix + ".1"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)

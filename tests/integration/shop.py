"""Runs `fake_shop.py` as a child, for tests that kill it or parts of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats.errors
import psutil
import pytest

from ops.hosting.account import Account, identity
from ops.messaging.connection import connect
from ops.settings import Settings

SCRIPT = Path(__file__).with_name("fake_shop.py")


class Shop:
    """One supervisor process; ``ready`` is the line it printed."""

    def __init__(
        self, home: Path, *, manners: str = "polite", account: Account | None = None
    ) -> None:
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(home), manners],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            **identity(account),
        )
        self.ready: dict[str, Any] = {}

    def wait_ready(self) -> "Shop":
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.end(signal.SIGTERM)[1]
        self.ready = json.loads(line)
        return self

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]

    def child(self, word: str) -> psutil.Process:
        """The newest direct child with ``word`` on its command line."""
        children = psutil.Process(self._process.pid).children()
        found = [each for each in children if any(word in part for part in _words(each))]
        return max(found, key=lambda each: each.create_time())

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; returns exit code and standard error once it has ended."""
        self._process.send_signal(number)
        _, error = self._process.communicate(timeout=30)
        return self._process.returncode, error

    def starts(self, name: str) -> int:
        """How often a service has been started."""
        lines = (self.home / "starts").read_text().splitlines()
        return sum(line.startswith(f"{name} ") for line in lines)

    def running(self) -> bool:
        return self._process.poll() is None


def eventually(check: Callable[[], bool], *, within: float = 30.0) -> bool:
    """Whether ``check`` comes true in time; what it raises counts as not yet."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if check():
                return True
        except (OSError, psutil.Error, ValueError):
            pass
        time.sleep(0.05)
    return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


def is_root() -> bool:
    return os.geteuid() == 0


def enlarge(disk: Path) -> None:
    """Give the fixture ``small_disk`` room again."""
    subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)


async def fill(settings: Settings) -> int:
    """Append to the log until its disk is full; returns the last sequence stored."""
    stored = 0
    with pytest.raises(nats.errors.TimeoutError):
        while stored < 200:
            stored = await append(settings, bytes(500_000))
    return stored


async def append(settings: Settings, body: bytes) -> int:
    """Store one message in the log as the writer; returns its sequence."""
    client = await connect(settings, "log_commands", allow_reconnect=False)
    try:
        answer = await client.request("imewe.events.job.full", body, timeout=1)
        return int(json.loads(answer.data)["seq"])
    finally:
        await client.close()

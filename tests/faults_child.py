"""A program of its own that can be let die or stand still at a fail point.

`python -m tests.faults_child POINTS projections CONNINFO JOBS`, `... POINTS notary HOME` or
`... POINTS processes HOME`.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg

from ops import failpoints
from ops.messaging import timers
from ops.processing.lease import Lease
from ops.projecting.runner import Runner
from ops.services import notary, processes
from ops.settings import CHECKOUT, Settings
from projections.catalogue import CATALOGUE
from tests.projecting import SmallBatches
from tests.stories import busy_shop

DEADLINE_S = 60.0


class Program:
    """One running child. ``points`` is its folder of fail points."""

    def __init__(self, points: Path, *words: str) -> None:
        self.points = points
        self.log = points.parent / f"{words[0]}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.faults_child", str(points), *words],
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def arm(self, point: str, what: str = "stop") -> None:
        """Let it stop (or die) when it next comes to a point."""
        (self.points / point).write_text(what)

    def until_stopped(self) -> None:
        """Wait until it stands still."""
        until = time.monotonic() + DEADLINE_S
        while _state(self.pid) != "T":
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, "it never stood still"
            time.sleep(0.02)

    def go_on(self) -> None:
        """Let it run again, as if no time had passed for it."""
        os.kill(self.pid, signal.SIGCONT)

    def until_said(self, words: str) -> None:
        """Wait until its log holds some words."""
        until = time.monotonic() + DEADLINE_S
        while words not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def until_dead(self) -> None:
        """Wait until it killed itself."""
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL, self.log.read_text()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def program(folder: Path, *words: str) -> Iterator[Program]:
    """A child until the end of the block."""
    points = folder / f"points-{words[0]}"
    points.mkdir()
    running = Program(points, *words)
    try:
        yield running
    finally:
        running.end()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _main(points: str, what: str, *words: str) -> None:
    failpoints.watch(Path(points))
    if what == "projections":
        Runner(
            SmallBatches(busy_shop(int(words[1])).events, size=40),
            CATALOGUE,
            connect=partial(psycopg.connect, words[0], autocommit=True),
            announce=lambda _announcement: None,
        ).run()
    elif what == "notary":
        notary.main(Settings(home=Path(words[0]), head_events=5, head_seconds=1))
    else:
        vars(processes)["Lease"] = partial(Lease, ttl_s=2.0)
        vars(timers)["PULL_S"] = 2.0
        asyncio.run(
            processes.serve(
                Settings(home=Path(words[0])),
                accept_within=timedelta(seconds=float(words[1])),
            )
        )


if __name__ == "__main__":
    _main(*sys.argv[1:])

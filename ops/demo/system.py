"""Starts the whole system as children of the demo, in a home of the demo's own."""

import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from ops.demo.shop import DemoError
from ops.hosting.children import Child, Program
from ops.hosting.units import service_command
from ops.settings import Settings

START_S = 120.0
STOP_S = 15.0


class Running:
    """A system that `imewe up` runs. ``url``, ``mail`` and ``password`` let a client in."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.home = settings.home
        self._settings = settings
        self._folder = folder
        self._log = folder / "up.log"
        up = ["up", "--home", str(settings.home), "--json"]
        command = [sys.executable, "-P", "-m", "ops.cli.main", *up]
        self._children = [Child(Program(command=command, log=self._log, stop_signal=signal.SIGINT))]
        ready = self._wait()
        self.url: str = ready["url"]
        self.mail: str = ready["admin"]["mail"]
        self.password: str = ready["admin"]["password"]

    def open_shop(self) -> None:
        """Start the virtual machines; their plan must be in the home."""
        command = service_command(self._settings, "virtual-shop")
        log = self._folder / "shop.log"
        self._children.append(Child(Program(command=command, log=log, lifeline=True)))

    def processes(self) -> list[psutil.Process]:
        """Every process of the system, servers and their children included."""
        own = [psutil.Process(child.pid) for child in self._children]
        return [*own, *(below for each in own for below in each.children(recursive=True))]

    def close(self) -> None:
        """Stop everything in order."""
        for child in self._children:
            child.begin_stop()
        for child in self._children:
            child.finish_stop(STOP_S)

    def _wait(self) -> dict[str, Any]:
        (supervisor,) = self._children
        until = time.monotonic() + START_S
        while time.monotonic() < until and supervisor.poll() is None:
            for line in self._log.read_text().splitlines():
                if line.startswith('{"url"'):
                    return dict(json.loads(line))
            time.sleep(0.1)
        self.close()
        tail = "\n".join(self._log.read_text().splitlines()[-15:])
        raise DemoError(f"the system did not come up:\n{tail}")


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """The system while the block runs. Raises ``DemoError`` when it does not come up."""
    with (
        tempfile.TemporaryDirectory(prefix="imewe-demo-") as folder,
        contextlib.closing(Running(settings, Path(folder))) as system,
    ):
        yield system

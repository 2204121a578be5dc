"""Starts the whole system as children of the demo, in a home of the demo's own."""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.demo.shop import DemoError
from ops.hosting.children import Child, Program
from ops.hosting.units import service_command
from ops.settings import Settings

START_S = 120.0
STOP_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started system. ``open_shop`` starts the virtual machines once their plan is written."""

    url: str
    mail: str
    password: str
    home: Path
    open_shop: Callable[[], None]


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """The system while the block runs; it is stopped in order afterwards.

    Raises ``DemoError`` with the end of the log when it does not come up.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    children: list[Child] = []
    log = settings.home / "demo-up.log"
    log.unlink(missing_ok=True)
    up = [sys.executable, "-P", "-m", "ops.cli.main", "up", "--home", str(settings.home), "--json"]
    supervisor = Child(Program(command=up, log=log, stop_signal=signal.SIGINT))
    children.append(supervisor)

    def open_shop() -> None:
        command = service_command(settings, "virtual-shop")
        own = settings.home / "virtual-shop.log"
        children.append(Child(Program(command=command, log=own, lifeline=True)))

    try:
        ready = _wait(supervisor, log)
        yield Running(
            url=ready["url"],
            mail=ready["admin"]["mail"],
            password=ready["admin"]["password"],
            home=settings.home,
            open_shop=open_shop,
        )
    finally:
        for child in children:
            child.begin_stop()
        for child in reversed(children):
            child.finish_stop(STOP_S)


def _wait(supervisor: Child, log: Path) -> dict[str, Any]:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if line.startswith('{"url"'):
                return dict(json.loads(line))
        if supervisor.poll() is not None:
            break
        time.sleep(0.1)
    tail = "\n".join(log.read_text().splitlines()[-15:])
    raise DemoError(f"the system did not come up:\n{tail}")

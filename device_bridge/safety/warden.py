"""The bridge's side of its watcher: starts it, tells it every second what is at work."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import structlog

from device_bridge.machines import MachineConfig
from device_bridge.safety.policy import SafetyPolicy
from device_bridge.safety.watchman import FOLDER

MOST_UNREAD = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """One machine that must not be left alone now."""

    machine: MachineConfig
    policy: SafetyPolicy


class Warden(Protocol):
    """Whoever looks after the machines when this process dies."""

    async def tell(self, at_work: Sequence[AtWork]) -> None:
        """The machines at work now; also the sign that the bridge lives."""

    async def farewell(self) -> None:
        """This process ends by itself; what is at work is made safe all the same."""

    def deed(self, node_id: str) -> dict[str, Any] | None:
        """What was done to a machine since the last bridge died; told once."""


class NoWarden:
    """For bridges in tests, where nothing may be started."""

    async def tell(self, at_work: Sequence[AtWork]) -> None:
        """See ``Warden``."""

    async def farewell(self) -> None:
        """See ``Warden``."""

    def deed(self, node_id: str) -> dict[str, Any] | None:
        """See ``Warden``."""
        return None


class ProcessWarden:
    """``Warden``: a process of its own, in a session of its own; started again when it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._process: asyncio.subprocess.Process | None = None
        self._log = structlog.get_logger("bridge.warden")

    async def tell(self, at_work: Sequence[AtWork]) -> None:
        """See ``Warden``."""
        if self._process is None or self._process.returncode is not None:
            try:
                await self._start()
            except OSError as problem:
                self._log.error("no_watcher", problem=str(problem))
                return
        self._write({"machines": [_described(each) for each in at_work], "hung_s": _hung(at_work)})

    async def farewell(self) -> None:
        """See ``Warden``."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b'{"farewell": true}\n')
                await process.stdin.drain()
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1.0)

    def deed(self, node_id: str) -> dict[str, Any] | None:
        """See ``Warden``."""
        path = self._folder / f"{quote(node_id, safe='')}.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            path.unlink()
        except (OSError, ValueError):
            return None
        return found

    async def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "device_bridge.safety.watchman",
            str(self._folder),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._log.info("watcher_started", pid=self._process.pid)

    def _write(self, word: dict[str, Any]) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is None or stdin.transport.get_write_buffer_size() > MOST_UNREAD:
            self._log.error("watcher_does_not_listen")
            return
        stdin.write(json.dumps(word).encode() + b"\n")


def _described(each: AtWork) -> dict[str, Any]:
    machine, policy = each.machine, each.policy
    return {
        "node_id": machine.node_id,
        "port": machine.port,
        "dialect": machine.dialect,
        "baudrate": machine.baudrate,
        "policy": policy.on_loss,
        "idle_heat_s": policy.idle_heat_s,
    }


def _hung(at_work: Sequence[AtWork]) -> float:
    return min((each.policy.hung_s for each in at_work), default=SafetyPolicy().hung_s)

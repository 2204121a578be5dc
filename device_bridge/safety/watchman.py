"""The watcher that outlives a bridge: ``python -m device_bridge.safety.watchman FOLDER``.

A small process that the bridge starts and feeds with lines of JSON through a pipe. It holds no
port. When the pipe ends without a farewell, or the bridge hangs while a machine is at work, it
opens the ports that the bridge has lost and makes the machines safe. What it did it writes to
``FOLDER/<node>.json`` for the next bridge to report.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from device_bridge.errors import DeviceError, PortError
from device_bridge.safety import bare

FOLDER = "safed"
"""Below ``home/bridge``."""
OPEN_S = 10.0
RETRY_S = 0.05


class Watchman:
    """Knows the newest word of the bridge. Times are monotonic."""

    def __init__(self, folder: Path, bridge: int) -> None:
        self._folder = folder
        self._bridge = bridge
        self._machines: list[dict[str, Any]] = []
        self._hung_s = 60.0
        self._heard = time.monotonic()
        self._gone = False

    def watch(self, pipe: int) -> None:
        """Return when nothing is left to do."""
        rest = b""
        while not self._gone:
            ready, _, _ = select.select([pipe], [], [], 1.0)
            if not ready:
                self._check_life()
                continue
            part = os.read(pipe, 65536)
            if not part:
                break
            self._heard = time.monotonic()
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
        self._make_all_safe()

    def _hear(self, word: dict[str, Any]) -> None:
        self._machines = word.get("machines", self._machines)
        self._hung_s = float(word.get("hung_s", self._hung_s))
        self._gone = bool(word.get("farewell"))

    def _check_life(self) -> None:
        """A bridge that hangs holds its ports: it must end before anybody can help."""
        silent = time.monotonic() - self._heard
        if silent < self._hung_s or not self._machines or os.getppid() != self._bridge:
            return
        _say("bridge_hangs", silent_s=round(silent, 1))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._bridge, signal.SIGKILL)

    def _make_all_safe(self) -> None:
        """All at once: one that cannot be reached holds up no other."""
        hands = [
            threading.Thread(target=self._make_safe, args=(machine,)) for machine in self._machines
        ]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()

    def _make_safe(self, machine: dict[str, Any]) -> None:
        policy = str(machine["policy"])
        self._write(machine, _done(machine, policy))
        if policy != "pause":
            return
        time.sleep(float(machine["idle_heat_s"]))
        if self._replaced():
            return
        cooled = _done(machine, "cool", open_s=0.0)
        if cooled["done"] != "nothing":  # else somebody else has its port
            self._write(machine, cooled)

    def _replaced(self) -> bool:
        """Whether a new bridge works in this home: then the machines are its own again."""
        try:
            with (self._folder.parent / "lock").open("r") as held:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _write(self, machine: dict[str, Any], deed: dict[str, Any]) -> None:
        told = {"node_id": machine["node_id"], "at": _now(), **deed}
        _say("made_safe", **told)
        path = self._folder / f"{quote(str(machine['node_id']), safe='')}.json"
        with contextlib.suppress(OSError):  # the home may be gone
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(told))
            fresh.replace(path)


def _done(machine: dict[str, Any], policy: str, *, open_s: float = OPEN_S) -> dict[str, Any]:
    """Try until the port is free; the dead bridge's lock on it goes with its process."""
    give_up = time.monotonic() + open_s
    while True:
        try:
            deed = bare.make_safe(
                str(machine["port"]),
                dialect=str(machine["dialect"]),
                baudrate=int(machine["baudrate"]),
                policy=policy,
            )
            return {**asdict(deed), "latency_ms": round(deed.latency_ms, 1)}
        except PortError as problem:
            if time.monotonic() >= give_up:
                return {"done": "nothing", "confirmed": False, "native_text": problem.message}
            time.sleep(RETRY_S)
        except DeviceError as problem:
            return {"done": "unknown", "confirmed": False, "native_text": problem.message}


def _say(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):
        line = json.dumps({"event": f"watchman_{event}", **facts}) + "\n"
        os.write(sys.stderr.fileno(), line.encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def main() -> None:
    """Ignore what ends the bridge: this process ends by itself when its work is done."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Watchman(Path(sys.argv[1]), os.getppid()).watch(sys.stdin.fileno())


if __name__ == "__main__":
    main()

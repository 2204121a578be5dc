"""Which machines are stopped until a person clears them: one small file each, outlasting a bridge.

Files of their own and not rows of the journal: a stop waits for no transaction, and the command
line can stop a machine whose bridge is dead.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from domain.ports import Clock

FOLDER = "stopped"
"""Below ``home/bridge``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """One emergency stop. ``at``: UTC. ``told``: its record is in the journal's outbox."""

    node_id: str
    stopped_by: str
    at: str
    latency_ms: float = 0.0
    confirmed: bool = False
    native_text: str = ""
    told: bool = False


class Latches:
    """The latches of one bridge. Methods block for one small file; ``thread`` runs them aside."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="latches")

    def find(self, node_id: str) -> Latch | None:
        """The latch of a machine; one that cannot be read is a latch all the same."""
        path = self._path(node_id)
        try:
            return Latch(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as problem:
            structlog.get_logger("bridge.latches").error("latch_damaged", problem=str(problem))
            return Latch(node_id=node_id, stopped_by="unknown", at=self._now())

    def begin(self, node_id: str, stopped_by: str) -> None:
        """A stop is on its way to the machine; one that stands already keeps its words."""
        if self.find(node_id) is None:
            self.keep(Latch(node_id=node_id, stopped_by=stopped_by, at=self._now()))

    def keep(self, latch: Latch) -> None:
        """Write it down for good: file and name are on disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(latch.node_id)
        fresh = path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(asdict(latch), file)
            if os.geteuid() == 0:  # root may stop machines in the home of the bridge's account
                owner = self._folder.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.chown(self._folder, owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        self._sync()

    def note(self, node_id: str, **facts: Any) -> Latch | None:
        """Add what became known; ``None`` when there is no latch (any more)."""
        if (latch := self.find(node_id)) is None:
            return None
        noted = replace(latch, **facts)
        self.keep(noted)
        return noted

    def lift(self, node_id: str) -> None:
        """A person cleared it."""
        self._path(node_id).unlink(missing_ok=True)
        if self._folder.exists():
            self._sync()

    def close(self) -> None:
        """Wait for what is being written."""
        self.thread.shutdown()

    def _path(self, node_id: str) -> Path:
        return self._folder / f"{quote(node_id, safe='')}.json"

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="milliseconds")

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""The core as a bridge meets it, kept in files so that another process can look at it."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.shared.errors import NotFoundError, StaleEpochError, UnavailableError

POLL_S = 0.02


@dataclass(slots=True)
class FileItem:
    """One message: a file until it is acknowledged."""

    path: Path

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()

    async def acknowledge(self) -> None:
        self.path.unlink(missing_ok=True)

    async def retry(self, delay_s: float) -> None:
        await asyncio.sleep(min(delay_s, 0.1))


class FileCore:
    """Commands, work queue, artifacts and telemetry in one folder. ``down`` in it: no answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("work", "builds", "artifacts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.samples: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []

    def order(self, build_id: str, node_id: str, gcode: str, *, epoch: int = 1) -> dict[str, Any]:
        """Store a program and send a build of it; returns the work message."""
        content = gcode.encode()
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "artifacts" / digest).write_bytes(content)
        told = {"node_id": node_id, "epoch": epoch, "digest": digest}
        (self.folder / "builds" / build_id).write_text(json.dumps(told))
        message = {
            "build_id": build_id,
            "node_id": node_id,
            "epoch": epoch,
            "organisation_id": "o1",
            "artifact": {"digest": digest, "size": len(content), "format": "gcode"},
            "material": "PLA",
            "density_mg_per_mm3": 1.24,
            "command": "start",
        }
        self.put(build_id, message)
        return message

    def put(self, name: str, message: dict[str, Any]) -> None:
        """Put a message on the queue of its node."""
        queue = self.folder / "work" / str(message["node_id"])
        queue.mkdir(exist_ok=True)
        fresh = queue / f".{name}"
        fresh.write_text(json.dumps(message))
        fresh.rename(queue / f"{name}.json")

    async def send(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        command_id: str,
        causation: str = "",
        correlation: str = "",
    ) -> dict[str, Any]:
        """``CommandPort``: refuses what the log does not know, obeys each name once."""
        if (self.folder / "down").exists():
            raise UnavailableError("the core is down")
        answer: dict[str, Any] = {"position": 1}
        if name == "AcceptBuild":
            known = self.folder / "builds" / payload["build_id"]
            if not known.exists():
                raise NotFoundError("no such build")
            answer |= json.loads(known.read_text())
            if payload["epoch"] < answer["epoch"]:
                raise StaleEpochError("passed by a later reservation")
        cause = {"causation": causation, "correlation": correlation}
        line = json.dumps({"name": name, "id": command_id, **cause, **payload})
        with (self.folder / "commands.jsonl").open("a") as log:
            log.write(f"{line}\n")
            log.flush()
            os.fsync(log.fileno())
        return answer

    async def pull(self, node_id: str) -> FileItem:
        """``WorkQueue``"""
        while True:
            found = sorted((self.folder / "work" / node_id).glob("[!.]*.json"))
            if found:
                return FileItem(found[0])
            await asyncio.sleep(POLL_S)

    async def open(self, digest: str, *, organisation_id: str) -> AsyncIterator[bytes]:
        """``ArtifactStore``"""
        yield (self.folder / "artifacts" / digest).read_bytes()

    async def publish(self, node_id: str, columns: dict[str, Any]) -> None:
        """``TelemetryFeed``"""
        self.samples.append(columns)

    async def beat(self, beat: dict[str, Any]) -> None:
        """The heartbeat."""
        self.beats.append(beat)

    def commands(self, name: str = "") -> list[dict[str, Any]]:
        """What was obeyed, each name of a command once, in order."""
        path = self.folder / "commands.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        obeyed = {line["id"]: line for line in map(json.loads, lines)}
        return [line for line in obeyed.values() if name in ("", line["name"])]

    async def told(self, name: str, *, within_s: float = 60.0, count: int = 1) -> dict[str, Any]:
        """Wait for the ``count``-th command of a name."""
        async with asyncio.timeout(within_s):
            while len(found := self.commands(name)) < count:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        return found[count - 1]

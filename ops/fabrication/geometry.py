"""Looks into meshes and programs, outside this process."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from domain.part.formats import MESHES
from domain.ports import GcodeReport, GeometryReport
from ops.artifacts.store import JetStreamArtifactStore
from ops.fabrication.files import fetch
from ops.fabrication.processes import Worker

MEMORY_BYTES: Final = 4 * 1024**3
TIMEOUT_S: Final = 120.0
REPORT_VERSION: Final = "3"
"""Raise it when a report would come out differently, and old notes are no longer read."""


class WorkerGeometry:
    """``Geometry`` in a worker process."""

    def __init__(self, worker: Worker | None = None) -> None:
        self._worker = worker or Worker(memory_bytes=MEMORY_BYTES, timeout_s=TIMEOUT_S)

    async def measure(self, path: str, format: str) -> GeometryReport:
        """Measure a mesh on disk. Raises ``InvalidInputError`` for what is no mesh."""
        return _geometry(
            await self._worker.ask({"task": "measure", "path": path, "format": format})
        )

    async def read(self, path: str) -> GcodeReport:
        """Read a G-code program on disk. Raises ``InvalidInputError`` for what is none."""
        return _gcode(await self._worker.ask({"task": "read", "path": path}))

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()


class StoredInspector:
    """``ArtifactInspector``: reports are kept beside the files, so each is made once."""

    def __init__(self, store: JetStreamArtifactStore, geometry: WorkerGeometry) -> None:
        self._store = store
        self._geometry = geometry

    async def inspect(self, digest: str, *, organisation_id: str) -> GeometryReport | GcodeReport:
        """Measure a stored mesh or read a stored program; see ``ArtifactInspector``."""
        ref = await self._store.info(digest, organisation_id=organisation_id)
        mesh = ref.format in MESHES
        key = f"report/{REPORT_VERSION}/{digest}"
        kept = await self._store.recall(key, organisation_id=organisation_id)
        if kept is not None:
            fields = json.loads(kept)
            return _geometry(fields) if mesh else _gcode(fields)
        with tempfile.TemporaryDirectory(prefix="imewe-look-") as folder:
            path = Path(folder, f"file.{ref.format}")
            await fetch(self._store, digest, path, organisation_id=organisation_id)
            report = await (
                self._geometry.measure(str(path), ref.format)
                if mesh
                else self._geometry.read(str(path))
            )
        text = json.dumps(asdict(report))
        await self._store.remember(key, text, organisation_id=organisation_id)
        return report


def _geometry(fields: dict[str, Any]) -> GeometryReport:
    return GeometryReport(**{**fields, "size_mm": tuple(fields["size_mm"])})


def _gcode(fields: dict[str, Any]) -> GcodeReport:
    lists = ("size_mm", "lower_mm", "upper_mm", "unsafe", "remarks")
    return GcodeReport(**{**fields, **{name: tuple(fields[name]) for name in lists}})

"""Slices stored meshes with PrusaSlicer's command line, outside this process."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from domain.part.formats import MESHES
from domain.ports import ArtifactRef, SliceProfile, SliceReport
from domain.shared.errors import InvalidInputError, UnavailableError
from ops.artifacts.store import JetStreamArtifactStore
from ops.fabrication.files import fetch, pieces
from ops.fabrication.processes import Worker
from ops.fabrication.settings_text import settings_hash, settings_text
from ops.settings import server_environment

PROGRAMS: Final = ("prusa-slicer", "PrusaSlicer")
MEMORY_BYTES: Final = 6 * 1024**3
TIMEOUT_S: Final = 600.0


class PrusaSlicer:
    """``Slicer``: the same model and profile are sliced once per organisation.

    ``program`` is found on the path at each use, so that installing it needs no restart.
    """

    def __init__(
        self,
        store: JetStreamArtifactStore,
        *,
        programs: tuple[str, ...] = PROGRAMS,
        worker: Worker | None = None,
    ) -> None:
        self._store = store
        self._programs = programs
        self._worker = worker or Worker(memory_bytes=MEMORY_BYTES, timeout_s=TIMEOUT_S)
        self._turn = asyncio.Lock()

    async def slice(
        self, digest: str, profile: SliceProfile, *, organisation_id: str
    ) -> SliceReport:
        """Slice a stored mesh, or return what came of it before.

        Raises ``NotFoundError``, ``InvalidInputError`` when the slicer refuses the model, and
        ``UnavailableError`` when there is no slicer or it took too long.
        """
        key = f"slice/{digest}/{settings_hash(profile)}"
        kept = await self._kept(key, organisation_id)
        if kept is None:
            async with self._turn:
                kept = await self._kept(key, organisation_id)
                if kept is None:
                    kept = await self._made(digest, profile, organisation_id)
                    text = json.dumps(kept)
                    await self._store.remember(key, text, organisation_id=organisation_id)
        ref = await self._store.info(kept["gcode"], organisation_id=organisation_id)
        return _report(kept, ref)

    async def close(self) -> None:
        """End the worker, and a slicer it runs."""
        await self._worker.close()

    async def _kept(self, key: str, organisation_id: str) -> dict[str, Any] | None:
        text = await self._store.recall(key, organisation_id=organisation_id)
        return json.loads(text) if text else None

    async def _made(
        self, digest: str, profile: SliceProfile, organisation_id: str
    ) -> dict[str, Any]:
        program = self._program()
        model = await self._store.info(digest, organisation_id=organisation_id)
        if model.format not in MESHES:
            raise InvalidInputError(f"{model.name} is no mesh that could be sliced.", field="file")
        with tempfile.TemporaryDirectory(prefix="imewe-slice-") as name:
            folder = Path(name)
            path = folder / f"model.{model.format}"
            await fetch(self._store, digest, path, organisation_id=organisation_id)
            done = await self._worker.ask(_request(program, path, profile))
            gcode = await self._store.put(
                pieces(Path(done.pop("output"))),
                organisation_id=organisation_id,
                name=f"{Path(model.name).stem}.gcode",
                format="gcode",
            )
        return {**done, "gcode": gcode.digest}

    def _program(self) -> str:
        for name in self._programs:
            if found := shutil.which(name):
                return found
        raise UnavailableError(
            "A mesh must be sliced before it can be printed, and no slicer is installed here.",
            remedy="Install PrusaSlicer (apt install prusa-slicer), or upload sliced G-code, "
            "which always works.",
        )


def _request(program: str, model: Path, profile: SliceProfile) -> dict[str, Any]:
    settings = model.with_name("settings.ini")
    settings.write_text(settings_text(profile), encoding="utf-8")
    return {
        "task": "slice",
        "program": program,
        "path": server_environment()["PATH"],
        "folder": str(model.parent),
        "model": str(model),
        "settings": str(settings),
        "bed": list(profile.bed_size_mm),
    }


def _report(kept: dict[str, Any], gcode: ArtifactRef) -> SliceReport:
    return SliceReport(
        slicer=kept["slicer"],
        gcode=gcode,
        duration_ms=kept["duration_ms"],
        material_mm3=kept["material_mm3"],
        lines=kept["lines"],
    )

"""Measures meshes, in the worker process."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from domain.ports import GeometryReport
from domain.shared.errors import InvalidInputError

_AS_ONE_MESH: dict[str, dict[str, Any]] = {
    "stl": {},
    "obj": {"skip_materials": True, "split_objects": False, "group_material": False},
}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Measure the file at ``path``; answers with the fields of a ``GeometryReport``."""
    return asdict(measure(Path(request["path"]), request["format"]))


def measure(path: Path, format: str) -> GeometryReport:
    """Measure a mesh. Raises ``InvalidInputError`` for what is none."""
    mesh = _load(path, format)
    low, high = mesh.bounds
    whole = bool(mesh.is_watertight and mesh.is_winding_consistent)
    size = [round(float(edge), 4) for edge in high - low]
    return GeometryReport(
        size_mm=(size[0], size[1], size[2]),
        volume_mm3=round(abs(float(mesh.volume)), 3) if whole else 0.0,
        surface_mm2=round(float(mesh.area), 3),
        triangles=len(mesh.faces),
        watertight=whole,
        bodies=count_bodies(np.asarray(mesh.faces), len(mesh.vertices)),
    )


def count_bodies(faces: NDArray[np.int64], vertices: int) -> int:
    """How many pieces do not touch: every vertex takes its faces' lowest label until none falls."""
    labels = np.arange(vertices)
    while True:
        before = labels.copy()
        np.minimum.at(labels, faces.ravel(), np.repeat(labels[faces].min(axis=1), 3))
        labels = labels[labels]
        if np.array_equal(labels, before):
            return len(np.unique(labels[faces]))


def _load(path: Path, format: str) -> Any:
    """The file as one mesh, equal vertices merged and collapsed triangles left out.

    The file is handed over open and without a resolver: what it names beside itself (materials,
    textures) is never opened.
    """
    try:
        with path.open("rb") as file:
            mesh = trimesh.load_mesh(file, file_type=format, **_AS_ONE_MESH[format])
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        faces = np.asarray(mesh.faces)
    except MemoryError:
        raise
    except Exception as failed:  # a parser of other people's files may raise anything
        raise InvalidInputError(
            f"The file cannot be read as {format.upper()}: {type(failed).__name__}.",
            field="file",
            remedy="Export the model again as binary STL.",
        ) from failed
    if len(faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise InvalidInputError(
            "The file holds no triangle, or a point that is no number.", field="file"
        )
    a, b, c = faces.T
    mesh.update_faces((a != b) & (b != c) & (a != c))
    if len(mesh.faces) == 0:
        raise InvalidInputError("All triangles of the file are points or lines.", field="file")
    return mesh

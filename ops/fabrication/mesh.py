"""Measures meshes, in the worker process."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from domain.ports import GeometryReport
from domain.shared.errors import InvalidInputError
from ops.fabrication.obj import read_obj


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
    """How many pieces do not touch: a union-find over all edges at once.

    Every round hooks the higher root of each edge onto the lower and flattens the trees; edges
    inside one tree are dropped, so that the work shrinks quickly.
    """
    roots = np.arange(vertices)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    while len(edges):
        ends = roots[edges]
        low, high = ends.min(axis=1), ends.max(axis=1)
        apart = low != high
        edges = edges[apart]
        np.minimum.at(roots, high[apart], low[apart])
        while not np.array_equal(flatter := roots[roots], roots):
            roots = flatter
    return len(np.unique(roots[faces[:, 0]]))


def _load(path: Path, format: str) -> Any:
    """The file as one mesh, equal points merged and collapsed triangles left out."""
    try:
        mesh = _read(path, format)
        faces = np.asarray(mesh.faces)
    except (InvalidInputError, MemoryError):
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


def _read(path: Path, format: str) -> Any:
    if format == "stl":
        with path.open("rb") as file:
            return trimesh.load_mesh(file, file_type="stl")
    with path.open(encoding="utf-8", errors="replace") as lines:
        vertices, faces = read_obj(lines)
    return trimesh.Trimesh(vertices=vertices, faces=faces)

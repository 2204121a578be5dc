"""Reads the shape out of a Wavefront OBJ file: points and faces, nothing else.

Materials, textures, normals and groups say nothing about what can be made; reading them would
open files that the upload names and need libraries for pictures.
"""

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from domain.shared.errors import InvalidInputError


def read_obj(lines: Iterable[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (n, 3) in mm and triangles (m, 3) of indices; faces of more corners are fanned.

    Raises ``InvalidInputError`` with the number of a line that cannot be read.
    """
    points, corners = array("d"), array("q")
    for number, line in enumerate(_joined(lines), start=1):
        words = line.split()
        try:
            match words[:1]:
                case ["v"]:
                    x, y, z = map(float, words[1:4])
                    points.extend((x, y, z))
                case ["f"]:
                    corners.extend(_fan(words[1:], len(points) // 3))
        except (ValueError, IndexError, OverflowError) as wrong:
            raise InvalidInputError(
                f"Line {number} of the OBJ file cannot be read.",
                field="file",
                remedy="Export the model again as binary STL.",
            ) from wrong
    vertices = np.frombuffer(points, dtype=np.float64) if points else np.empty(0)
    faces = np.frombuffer(corners, dtype=np.int64) if corners else np.empty(0, dtype=np.int64)
    if len(faces) and faces.max() >= len(vertices) // 3:
        raise InvalidInputError(
            "A face of the OBJ file names a point that is not there.", field="file"
        )
    return vertices.reshape(-1, 3), faces.reshape(-1, 3)


def _fan(words: list[str], known: int) -> list[int]:
    """Triangles of one face. Indices count from 1, negative ones back from the last point."""
    named = [int(word.split("/", 1)[0]) for word in words]
    corners = [index - 1 if index > 0 else known + index for index in named]
    if len(corners) < 3 or min(corners) < 0 or 0 in named:
        raise ValueError
    return [
        corner for i in range(1, len(corners) - 1) for corner in (corners[0], *corners[i : i + 2])
    ]


def _joined(lines: Iterable[str]) -> Iterable[str]:
    """Lines, with those that end in a backslash joined to the next."""
    begun = ""
    for line in lines:
        if line.endswith("\\\n"):
            begun += line[:-2] + " "
        else:
            yield begun + line
            begun = ""

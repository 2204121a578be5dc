"""Closed meshes from two matching outlines, in plain Python so that every machine makes the same.

Coordinates are rounded to a tenth of a micrometre before anything is derived from them: the last
bit of a sine may differ between two computers, the bytes of a committed file may not.
"""

import math
import struct
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
Corner = tuple[float, float, float]
Triangle = tuple[Corner, Corner, Corner]


def ladder(
    levels: Sequence[tuple[float, Sequence[Point], Sequence[Point]]], *, closed: bool
) -> list[Triangle]:
    """A solid between an outer and an inner outline at each height.

    Outlines run counter-clockwise and have the same number of points at every level; ``closed``
    joins the last to the first (a ring with a hole), otherwise both ends get a wall.
    """
    outer = [[_corner(point, z) for point in outline] for z, outline, _ in levels]
    inner = [[_corner(point, z) for point in outline] for z, _, outline in levels]
    count = len(outer[0])
    steps = [(i, (i + 1) % count) for i in range(count if closed else count - 1)]
    faces: list[Triangle] = []
    for i, j in steps:
        faces += _quad(outer[-1][i], outer[-1][j], inner[-1][j], inner[-1][i])
        faces += _quad(outer[0][j], outer[0][i], inner[0][i], inner[0][j])
    for low, high in zip(range(len(levels)), range(1, len(levels)), strict=False):
        for i, j in steps:
            faces += _quad(outer[low][i], outer[low][j], outer[high][j], outer[high][i])
            faces += _quad(inner[low][j], inner[low][i], inner[high][i], inner[high][j])
        if not closed:
            faces += _quad(inner[low][0], outer[low][0], outer[high][0], inner[high][0])
            faces += _quad(outer[low][-1], inner[low][-1], inner[high][-1], outer[high][-1])
    return [face for face in faces if len(set(face)) == 3]  # a step in height has flat walls


def polar(radius: float, angle: float) -> Point:
    """A point by distance and angle in radians."""
    return radius * math.cos(angle), radius * math.sin(angle)


def binary_stl(name: str, faces: Sequence[Triangle]) -> bytes:
    """The bytes of a binary STL; millimetres."""
    header = f"Imewe demo model: {name}".encode().ljust(80)
    return header + struct.pack("<I", len(faces)) + b"".join(map(_record, faces))


def _record(face: Triangle) -> bytes:
    a, b, c = face
    u = [b[k] - a[k] for k in range(3)]
    v = [c[k] - a[k] for k in range(3)]
    cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    length = math.sqrt(sum(part * part for part in cross))
    normal: Iterable[float] = (round(part / length, 4) + 0.0 for part in cross)
    return struct.pack("<12fH", *normal, *a, *b, *c, 0)


def _corner(point: Point, z: float) -> Corner:
    return round(point[0], 4) + 0.0, round(point[1], 4) + 0.0, round(z, 4)


def _quad(a: Corner, b: Corner, c: Corner, d: Corner) -> tuple[Triangle, Triangle]:
    return (a, b, c), (a, c, d)

"""The demo's milling program: a name plate with a pocket, holes, letters and rounded corners.

For GRBL 1.1, work zero at the plate's lower left corner and top face, one 3 mm end mill.
Lengths in mm, feeds in mm/min.
"""

from collections.abc import Iterator
from dataclasses import dataclass

TOOL = 3.0
SAFE_Z = 5.0
FEED = 700
PLUNGE = 200

_LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "I": (((0.5, 0), (0.5, 1)),),
    "M": (((0, 0), (0, 1), (0.5, 0.4), (1, 1), (1, 0)),),
    "E": (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
    "W": (((0, 1), (0.25, 0), (0.5, 0.6), (0.75, 0), (1, 1)),),
}
"""Strokes in a unit square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """The plate and what is cut from it."""

    width: float = 70.0
    height: float = 40.0
    thickness: float = 4.0
    corner: float = 5.0
    pocket: tuple[float, float, float, float] = (8.0, 21.0, 62.0, 33.0)
    pocket_depth: float = 2.0
    text: str = "IMEWE"
    text_depth: float = 0.4
    step_down: float = 0.5
    step_over: float = 0.75


def program(plate: Plate) -> str:
    """The whole program as text."""
    lines = [
        "; Imewe demo: name plate, 3 mm end mill, zero at the lower left corner of the top face",
        "G21 ; millimetres",
        "G90 ; absolute",
        "G17 ; arcs in XY",
        "G94 ; feeds per minute",
        f"G0 Z{SAFE_Z:g}",
        "M3 S10000",
        "G4 P1 ; spindle up to speed",
        *_pocket(plate),
        *_letters(plate),
        *_holes(plate),
        *_outline(plate),
        f"G0 Z{SAFE_Z:g}",
        "M5",
        "G0 X0 Y0",
        "M2",
    ]
    return "\n".join(lines) + "\n"


def _depths(total: float, step: float) -> Iterator[float]:
    passes = -(-total // step)
    for i in range(1, int(passes) + 1):
        yield -min(i * step, total)


def _pocket(plate: Plate) -> Iterator[str]:
    yield "; pocket"
    x0, y0, x1, y1 = plate.pocket
    middle = min(x1 - x0, y1 - y0) / 2
    for z in _depths(plate.pocket_depth, plate.step_down):
        inset = middle
        first = True
        while inset > TOOL / 2:
            inset = max(inset - plate.step_over, TOOL / 2)
            left, right, low, high = x0 + inset, x1 - inset, y0 + inset, y1 - inset
            yield f"G{0 if first else 1} X{left:.3f} Y{low:.3f}" + ("" if first else f" F{FEED}")
            if first:
                yield f"G1 Z{z:.3f} F{PLUNGE}"
            for x, y in ((right, low), (right, high), (left, high), (left, low)):
                yield f"G1 X{x:.3f} Y{y:.3f} F{FEED}"
            first = False
        yield f"G0 Z{SAFE_Z:g}"


def _letters(plate: Plate) -> Iterator[str]:
    yield "; letters"
    size, gap = 8.0, 3.2
    start = (plate.width - len(plate.text) * size - (len(plate.text) - 1) * gap) / 2
    for place, letter in enumerate(plate.text):
        left = start + place * (size + gap)
        for stroke in _LETTERS[letter]:
            points = [(left + x * size, 7.0 + y * size) for x, y in stroke]
            yield f"G0 X{points[0][0]:.3f} Y{points[0][1]:.3f}"
            yield f"G1 Z{-plate.text_depth:.3f} F{PLUNGE}"
            for x, y in points[1:]:
                yield f"G1 X{x:.3f} Y{y:.3f} F{FEED}"
            yield f"G0 Z{SAFE_Z:g}"


def _holes(plate: Plate) -> Iterator[str]:
    yield "; holes"
    inset = plate.corner
    for x in (inset, plate.width - inset):
        for y in (inset, plate.height - inset):
            yield f"G0 X{x:.3f} Y{y:.3f}"
            for z in _depths(plate.thickness, 2 * plate.step_down):
                yield f"G1 Z{z:.3f} F{PLUNGE}"
                yield "G0 Z1"
            yield f"G0 Z{SAFE_Z:g}"


def _outline(plate: Plate) -> Iterator[str]:
    """Clockwise around the outside, which is climb milling; corners are quarter circles."""
    yield "; outline"
    out, radius = TOOL / 2, plate.corner + TOOL / 2
    left, right = -out, plate.width + out
    low, high = -out, plate.height + out
    yield f"G0 X{left:.3f} Y{low + radius:.3f}"
    for z in _depths(plate.thickness, plate.step_down):
        yield f"G1 Z{z:.3f} F{PLUNGE}"
        yield f"G1 X{left:.3f} Y{high - radius:.3f} F{FEED}"
        yield f"G2 X{left + radius:.3f} Y{high:.3f} I{radius:.3f} J0"
        yield f"G1 X{right - radius:.3f} Y{high:.3f}"
        yield f"G2 X{right:.3f} Y{high - radius:.3f} I0 J{-radius:.3f}"
        yield f"G1 X{right:.3f} Y{low + radius:.3f}"
        yield f"G2 X{right - radius:.3f} Y{low:.3f} I{-radius:.3f} J0"
        yield f"G1 X{left + radius:.3f} Y{low:.3f}"
        yield f"G2 X{left:.3f} Y{low + radius:.3f} I0 J{radius:.3f}"

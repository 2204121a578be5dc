"""Makes the demo's models: ``python -m ops.demo.models.make_models [--slice]``.

Without ``--slice`` it writes the STL files and the milling program beside itself; with it, it also
slices them with PrusaSlicer, which must be installed. Lengths in mm.
"""

import math
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from domain.part.profiles import slice_profile
from domain.shared.errors import UnavailableError
from ops.demo.models.engraving import Plate, program
from ops.demo.models.solids import Point, Triangle, binary_stl, ladder, polar
from ops.fabrication.settings_text import settings_text
from ops.fabrication.slicing import run
from ops.settings import server_environment

FOLDER = Path(__file__).parent
BED: Mapping[str, object] = {"max_size": {"x": 250, "y": 210, "z": 210}}
LAYER = 0.3
MATERIALS = {"cable_clip": "PETG", "hex_knob": "PLA", "timing_wheel": "PLA"}


def cable_clip(*, bore: float = 6.0, wall: float = 2.0, width: float = 5.0) -> list[Triangle]:
    """A clip for a cable of ``bore``: an open ring on a foot, printed lying on its side."""
    inner_radius, outer_radius = bore / 2, bore / 2 + wall
    foot_x, foot_low, foot_high = outer_radius + 3.0, -outer_radius - 1.2, -outer_radius + 0.8
    opening = math.radians(40)
    first, last = math.pi / 2 + opening, math.pi / 2 - opening + math.tau
    corners = {
        math.atan2(y, x) % math.tau
        for x in (-foot_x, foot_x)
        for y in (foot_low, foot_high, foot_high + 0.02)
    }
    steps = 28
    angles = sorted({first + (last - first) * i / steps for i in range(steps + 1)} | corners)

    def reach(angle: float) -> float:
        along, up = polar(1.0, angle)
        if up >= 0:
            return outer_radius
        distance = min(foot_low / up, foot_x / abs(along) if abs(along) > 1e-9 else math.inf)
        return distance if distance * up <= foot_high + 1e-9 else outer_radius

    outer = [polar(reach(angle), angle) for angle in angles]
    inner = [polar(inner_radius, angle) for angle in angles]
    return ladder([(0.0, outer, inner), (width, outer, inner)], closed=False)


def hex_knob(*, radius: float = 8.5, flutes: int = 6, height: float = 4.5) -> list[Triangle]:
    """A fluted knob with chamfered edges and a hexagonal bore for an M5 bolt's head."""
    points, chamfer, across = 48, 0.6, 8.2
    angles = [math.tau * i / points for i in range(points)]

    def fluted(size: float) -> list[Point]:
        return [polar(size + 0.8 * math.cos(flutes * angle), angle) for angle in angles]

    sector = math.tau / 6
    bore = [polar(across / 2 / math.cos((angle % sector) - sector / 2), angle) for angle in angles]
    levels = ((0.0, chamfer), (chamfer, 0.0), (height - chamfer, 0.0), (height, chamfer))
    return ladder([(z, fluted(radius - cut), bore) for z, cut in levels], closed=True)


def timing_wheel(*, teeth: int = 12, height: float = 3.0) -> list[Triangle]:
    """A toothed wheel with a round bore and a raised hub."""
    root, tip, hub, bore = 7.4, 9.0, 4.4, 2.6
    profile = ((0.0, root), (0.22, root), (0.34, tip), (0.66, tip), (0.78, root))
    angles = [(tooth + part) * math.tau / teeth for tooth in range(teeth) for part, _ in profile]
    toothed = [polar(r, a) for a, (_, r) in zip(angles, profile * teeth, strict=True)]
    round_hub = [polar(hub, angle) for angle in angles]
    hole = [polar(bore, angle) for angle in angles]
    levels = [(0.0, toothed), (height - 1.0, toothed), (height - 1.0, round_hub)]
    return ladder([(z, rim, hole) for z, rim in [*levels, (height, round_hub)]], closed=True)


def files() -> dict[str, bytes]:
    """Every file the script makes without a slicer, by name."""
    solids = {
        "cable_clip": cable_clip(),
        "hex_knob": hex_knob(),
        "timing_wheel": timing_wheel(),
    }
    made = {f"{name}.stl": binary_stl(name, faces) for name, faces in solids.items()}
    return {**made, "name_plate.nc": program(Plate()).encode()}


def slice_all(folder: Path) -> None:
    """Slice every model of ``folder`` for a 250 x 210 x 210 mm printer."""
    slicer = shutil.which("prusa-slicer")
    if slicer is None:
        raise UnavailableError("PrusaSlicer is not installed.", remedy="apt install prusa-slicer")
    for name, material in MATERIALS.items():
        with tempfile.TemporaryDirectory() as work:
            settings = Path(work, "settings.ini")
            profile = replace(slice_profile(material, BED), layer_height_mm=LAYER)
            settings.write_text(settings_text(profile), encoding="utf-8")
            request = {
                "program": slicer,
                "path": server_environment()["PATH"],
                "folder": work,
                "model": str(folder / f"{name}.stl"),
                "settings": str(settings),
                "bed": profile.bed_size_mm,
            }
            shutil.copyfile(run(request)["output"], folder / f"{name}.gcode")


def main() -> None:
    """Write the files beside this script."""
    for name, body in files().items():
        FOLDER.joinpath(name).write_bytes(body)
    if "--slice" in sys.argv[1:]:
        slice_all(FOLDER)


if __name__ == "__main__":
    main()

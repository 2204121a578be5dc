"""A slice profile as PrusaSlicer reads it: for any printer that speaks Marlin.

Everything that could differ between two machines is set, so that the same model and profile give
the same bytes everywhere.
"""

import hashlib
import math

from domain.part.profiles import filament
from domain.ports import SliceProfile

FILAMENT_MM = 1.75
TOP_MM = 0.8
BOTTOM_MM = 0.6


def settings_text(profile: SliceProfile) -> str:
    """The settings file, one ``name = value`` a line."""
    return "".join(f"{name} = {value}\n" for name, value in _settings(profile).items())


def settings_hash(profile: SliceProfile) -> str:
    """Names the outcome of a profile: what slices alike has the same hash."""
    return hashlib.sha256(settings_text(profile).encode()).hexdigest()[:32]


def _settings(profile: SliceProfile) -> dict[str, object]:
    return {**_machine(profile), **_material(profile), **_print(profile)}


def _machine(profile: SliceProfile) -> dict[str, object]:
    x, y, z = profile.bed_size_mm
    return {
        "printer_technology": "FFF",
        "gcode_flavor": "marlin",
        "bed_shape": f"0x0,{x:g}x0,{x:g}x{y:g},0x{y:g}",
        "max_print_height": f"{z:g}",
        "nozzle_diameter": f"{profile.nozzle_mm:g}",
        "use_relative_e_distances": 0,
        "machine_limits_usage": "time_estimate_only",
        "machine_max_acceleration_extruding": 1250,
        "machine_max_acceleration_travel": 1250,
        "machine_max_acceleration_x": 1250,
        "machine_max_acceleration_y": 1250,
        "retract_length": 0.8,
        "retract_speed": 35,
        "threads": 2,
        "gcode_comments": 0,
        "start_gcode": _start(profile),
        "end_gcode": _end(profile),
    }


def _material(profile: SliceProfile) -> dict[str, object]:
    usual = filament(profile.material)
    return {
        "filament_type": profile.material.upper().replace(" ", "-").split("-")[0],
        "filament_diameter": FILAMENT_MM,
        "filament_density": usual.density_g_cm3,
        "temperature": profile.nozzle_c,
        "first_layer_temperature": profile.nozzle_c,
        "bed_temperature": profile.bed_c,
        "first_layer_bed_temperature": profile.bed_c,
        "max_fan_speed": usual.fan_percent,
        "min_fan_speed": min(35, usual.fan_percent),
        "disable_fan_first_layers": 1,
    }


def _print(profile: SliceProfile) -> dict[str, object]:
    return {
        "layer_height": f"{profile.layer_height_mm:g}",
        "first_layer_height": f"{profile.layer_height_mm:g}",
        "perimeter_generator": "classic",
        "perimeters": 2,
        "top_solid_layers": math.ceil(TOP_MM / profile.layer_height_mm),
        "bottom_solid_layers": math.ceil(BOTTOM_MM / profile.layer_height_mm),
        "fill_density": f"{profile.infill_percent}%",
        "fill_pattern": "rectilinear",
        "perimeter_speed": 50,
        "external_perimeter_speed": 35,
        "infill_speed": 80,
        "solid_infill_speed": 60,
        "top_solid_infill_speed": 40,
        "travel_speed": 150,
        "first_layer_speed": 25,
        "skirts": 1,
        "skirt_distance": 4,
        "brim_width": 0,
        "support_material": 0,
        "gcode_resolution": 0.0125,
    }


def _start(profile: SliceProfile) -> str:
    return _one_line(
        "G21",
        "G90",
        "M82",
        f"M140 S{profile.bed_c}",
        f"M104 S{profile.nozzle_c}",
        "G28",
        f"M190 S{profile.bed_c}",
        f"M109 S{profile.nozzle_c}",
        "G92 E0",
    )


def _end(profile: SliceProfile) -> str:
    return _one_line(
        "M104 S0",
        "M140 S0",
        "M107",
        "{if layer_z < max_print_height}G1 Z{min(layer_z+10, max_print_height)} F600{endif}",
        f"G1 X0 Y{profile.bed_size_mm[1] - 10:g} F6000",
        "M84",
    )


def _one_line(*lines: str) -> str:
    return "\\n".join(lines)

"""How a material is printed when nobody says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.ports import SliceProfile
from domain.shared.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Filament:
    """A thermoplastic's usual settings. Temperatures in °C, fan in percent."""

    nozzle_c: int
    bed_c: int
    density_g_cm3: float
    fan_percent: int


FILAMENTS: Final[Mapping[str, Filament]] = {
    "PLA": Filament(nozzle_c=210, bed_c=60, density_g_cm3=1.24, fan_percent=100),
    "PETG": Filament(nozzle_c=240, bed_c=80, density_g_cm3=1.27, fan_percent=50),
    "ASA": Filament(nozzle_c=255, bed_c=100, density_g_cm3=1.07, fan_percent=20),
    "ABS": Filament(nozzle_c=250, bed_c=100, density_g_cm3=1.04, fan_percent=15),
    "TPU": Filament(nozzle_c=225, bed_c=50, density_g_cm3=1.21, fan_percent=60),
}


def filament(material: str) -> Filament:
    """The settings of a material; its name may be finer than ours, such as ``PLA-black``."""
    known = FILAMENTS.get(material.upper().replace(" ", "-").split("-")[0])
    if known is None:
        raise InvalidInputError(
            f"There are no slicing settings for {material}.",
            field="material",
            remedy=f"Use one of {', '.join(FILAMENTS)}, or upload sliced G-code.",
        )
    return known


def slice_profile(material: str, capability: Mapping[str, Any]) -> SliceProfile:
    """The usual profile of a material on a node of this capability.

    Raises ``InvalidInputError`` for a material without settings or a node without a size.
    """
    size = capability.get("max_size")
    if not size:
        raise InvalidInputError("The machine does not state its size.", field="max_size")
    usual = filament(material)
    return SliceProfile(
        material=material,
        layer_height_mm=0.2,
        infill_percent=15,
        nozzle_mm=float(capability.get("nozzle_mm", 0.4)),
        nozzle_c=usual.nozzle_c,
        bed_c=usual.bed_c,
        bed_size_mm=(float(size["x"]), float(size["y"]), float(size["z"])),
    )

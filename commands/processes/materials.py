"""What is generally true of a material until a lot or a slicer profile says better."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialFacts:
    """Density in μg per mm³ (1000 x g/cm³); temperatures in °C, 0 where nothing is heated."""

    density_ug_per_mm3: int
    nozzle_c: int = 0
    bed_c: int = 0


FACTS: Final = {
    "PLA": MaterialFacts(density_ug_per_mm3=1240, nozzle_c=210, bed_c=60),
    "PETG": MaterialFacts(density_ug_per_mm3=1270, nozzle_c=240, bed_c=80),
    "ABS": MaterialFacts(density_ug_per_mm3=1040, nozzle_c=250, bed_c=100),
    "ASA": MaterialFacts(density_ug_per_mm3=1070, nozzle_c=255, bed_c=100),
    "TPU": MaterialFacts(density_ug_per_mm3=1210, nozzle_c=225, bed_c=50),
    "NYLON": MaterialFacts(density_ug_per_mm3=1140, nozzle_c=255, bed_c=80),
    "PC": MaterialFacts(density_ug_per_mm3=1200, nozzle_c=270, bed_c=110),
    "ALUMINIUM": MaterialFacts(density_ug_per_mm3=2700),
    "BRASS": MaterialFacts(density_ug_per_mm3=8500),
    "STEEL": MaterialFacts(density_ug_per_mm3=7850),
    "WAX": MaterialFacts(density_ug_per_mm3=900),
    "POM": MaterialFacts(density_ug_per_mm3=1410),
    "WOOD": MaterialFacts(density_ug_per_mm3=700),
    "PLYWOOD": MaterialFacts(density_ug_per_mm3=650),
    "ACRYLIC": MaterialFacts(density_ug_per_mm3=1180),
}
UNKNOWN: Final = MaterialFacts(density_ug_per_mm3=1240, nozzle_c=210, bed_c=60)
"""A material nobody described is treated like PLA."""


def facts(material: str) -> MaterialFacts:
    """The facts of a material by its name in upper case."""
    return FACTS.get(material, UNKNOWN)

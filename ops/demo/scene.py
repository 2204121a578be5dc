"""What the demo plays: four virtual machines, their material, and the parts to make."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_bridge.virtual.machine import MachinePlan

MODELS = Path(__file__).parent / "models"
SPEED = 60.0
"""Motion and heat of the virtual machines run so many times faster than real ones."""

PRINTER = {
    "process": "fdm",
    "materials": ["PLA", "PETG"],
    "maxSize": {"x": 250.0, "y": 210.0, "z": 210.0},
    "precisionMm": 0.1,
    "maxNozzleC": 290.0,
    "maxBedC": 110.0,
    "inspection": "automatic",
}
MILL = {
    "process": "mill",
    "materials": ["PLYWOOD"],
    "maxSize": {"x": 300.0, "y": 180.0, "z": 45.0},
    "precisionMm": 0.05,
    "inspection": "automatic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A virtual machine of the demo. ``stock``: material, grams, g/cm³ of each lot."""

    name: str
    dialect: str
    profile: dict[str, Any]
    stock: tuple[tuple[str, int, float], ...]
    faults: list[dict[str, Any]] = field(default_factory=list)

    def plan(self, node_id: str) -> MachinePlan:
        """As the virtual shop builds it."""
        return MachinePlan(
            name=self.name,
            dialect=self.dialect,
            node_id=node_id,
            speed=SPEED,
            faults=self.faults,
        )


FILAMENT = (("PLA", 1000, 1.24), ("PETG", 1000, 1.27))
MACHINES = (
    Machine(
        name="virtual-printer-1",
        dialect="marlin",
        profile={**PRINTER, "energyEfficiency": 0.9},
        stock=FILAMENT,
        faults=[{"kind": "thermal", "at_line": 900}],
    ),
    Machine(
        name="virtual-printer-2",
        dialect="marlin",
        profile={**PRINTER, "energyEfficiency": 0.6},
        stock=FILAMENT,
        faults=[{"kind": "checksum", "at_line": 200, "every": 400, "times": 5}],
    ),
    Machine(
        name="virtual-printer-3",
        dialect="marlin",
        profile={**PRINTER, "energyEfficiency": 0.6},
        stock=FILAMENT,
        faults=[{"kind": "lost_ok", "at_line": 700}],
    ),
    Machine(
        name="virtual-mill-1",
        dialect="grbl",
        profile=MILL,
        stock=(("PLYWOOD", 20_000, 0.68),),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One line of the demo's job."""

    path: Path
    material: str
    quantity: int = 1


def orders(models: list[Path], *, sliced: bool) -> list[Order]:
    """The user's own models, or ours: sliced here when a slicer is there, else as committed."""
    if models:
        return [Order(path=path, material="PLA") for path in models]
    ending = "stl" if sliced else "gcode"
    return [
        Order(path=MODELS / f"cable_clip.{ending}", material="PETG"),
        Order(path=MODELS / f"hex_knob.{ending}", material="PLA"),
        Order(path=MODELS / f"timing_wheel.{ending}", material="PLA"),
        Order(path=MODELS / "name_plate.nc", material="PLYWOOD"),
    ]

"""Why a part cannot be made, as a list a designer can act on. Pure rules over plain values.

A capability is what one node says of itself: ``process`` (``fdm``, ``mill``, ``laser``),
``materials``, ``max_size`` {x, y, z} in mm, ``precision_mm``, ``max_nozzle_c``, ``max_bed_c``.
What a node does not say about temperatures or precision is not held against it; what it does not
say about process, materials or size is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.node.profile import BY_HAND
from domain.ports import GcodeReport, GeometryReport

Capability = Mapping[str, Any]
Report = GeometryReport | GcodeReport

SMALLEST_VOLUME_MM3: Final = 0.01
PRINTING: Final = "fdm"
LOWEST_EXTRUSION_MM: Final = -1.0
"""A first layer pressed on the bed, or a bed offset, goes below zero by less than this."""
TOLERANCE_MM: Final = 0.01
"""A part may be larger than a bed by this much: what rounding does to a file's coordinates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing in the way. ``code`` is stable; ``remedy`` says what would help."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one part asks of a machine.

    ``process`` is empty when the file decides: a mesh is printed, a program says what it is for.
    ``precision_mm`` is the largest deviation allowed, or ``None``.
    """

    report: Report
    material: str
    process: str = ""
    precision_mm: float | None = None

    @property
    def asked_process(self) -> str:
        """The process wanted, or the one the file is for."""
        made_for = self.report.process if isinstance(self.report, GcodeReport) else PRINTING
        return self.process or made_for

    @property
    def reach_mm(self) -> tuple[float, float, float]:
        """How far along each axis the machine must reach.

        A print program names places on the bed, so its far corner counts, not only its size; a
        mill's or laser's program counts from wherever the piece is clamped.
        """
        report = self.report
        if not isinstance(report, GcodeReport) or report.process != "fdm":
            return report.size_mm
        from_corner = min(report.lower_mm[:2]) >= 0
        return report.upper_mm if from_corner else report.size_mm


def infeasible(demand: Demand, capabilities: Sequence[Capability]) -> list[Reason]:
    """Why none of these nodes can make the part; empty when at least one can.

    Faults of the file itself come first and are reported whatever the nodes are.
    """
    reasons = faults(demand)
    if any(not misfits(demand, capability) for capability in capabilities):
        return reasons
    return reasons + _fleet_reasons(demand, capabilities)


def faults(demand: Demand) -> list[Reason]:
    """What is wrong with the file itself, whatever the machine."""
    if isinstance(demand.report, GcodeReport):
        return _program_faults(demand.report, demand.process)
    return _mesh_faults(demand.report, demand.asked_process)


def misfits(demand: Demand, capability: Capability) -> list[Reason]:
    """Why this one node cannot make the part; empty when it can."""
    return [reason for rule in _RULES if (reason := rule(demand, [capability]))]


def _fleet_reasons(demand: Demand, capabilities: Sequence[Capability]) -> list[Reason]:
    """Blame each rule on the nodes that passed the rules before it, so that the answer is exact."""
    if not capabilities:
        return [
            Reason(
                code="NO_MACHINE",
                message="No machine is registered yet.",
                remedy="Register and configure a machine, then submit again.",
            )
        ]
    left = list(capabilities)
    for rule in _RULES:
        fitting = [capability for capability in left if not rule(demand, [capability])]
        if not fitting:
            reason = rule(demand, left)
            return [reason] if reason else []
        left = fitting
    return []


def _mesh_faults(report: GeometryReport, process: str) -> list[Reason]:
    reasons = []
    if process != PRINTING and process not in BY_HAND:
        reasons.append(
            Reason(
                code="NEEDS_PROGRAM",
                message=f"A mesh can be sliced for printing only, and {process} was asked for.",
                remedy=f"Send the G-code program for {process}, or have the part printed.",
            )
        )
    if not report.watertight:
        reasons.append(
            Reason(
                code="NOT_WATERTIGHT",
                message="The mesh is not closed, so it has no inside that could be made.",
                remedy="Repair the mesh (fill holes, remove doubled faces) and upload it again.",
            )
        )
    elif report.volume_mm3 < SMALLEST_VOLUME_MM3:
        reasons.append(
            Reason(
                code="NO_VOLUME",
                message=f"The mesh encloses {report.volume_mm3:.4f} mm³: there is nothing to make.",
                remedy="Check the unit of the file (millimetres) and the direction of its faces.",
            )
        )
    return reasons


def _program_faults(report: GcodeReport, process: str) -> list[Reason]:
    reasons = []
    if report.unsafe:
        reasons.append(
            Reason(
                code="UNSAFE_PROGRAM",
                message="The program holds what only a machine's keeper may tell it: "
                f"{', '.join(report.unsafe)}.",
                remedy="Remove these commands from the program.",
            )
        )
    if report.broken:
        reasons.append(
            Reason(
                code="BROKEN_MOTION",
                message=f"The program holds a motion that cannot be read: {report.broken}.",
                remedy="Correct the line, or export the program anew.",
            )
        )
    if report.process == PRINTING and report.lowest_extrusion_mm < LOWEST_EXTRUSION_MM:
        reasons.append(
            Reason(
                code="BELOW_BED",
                message=f"The program extrudes at Z {report.lowest_extrusion_mm:g} mm, "
                "below the bed.",
                remedy="Check the model's height in the slicer, and G92 and G91 in the program.",
            )
        )
    if process and report.process not in (process, "unknown"):
        reasons.append(
            Reason(
                code="WRONG_PROCESS",
                message=f"{process} was asked for, but the program is for {report.process}.",
                remedy="Ask for the program's process, or send a program for the one asked.",
            )
        )
    if not process and report.process == "unknown":
        reasons.append(
            Reason(
                code="UNKNOWN_PROCESS",
                message="The program heats no nozzle and starts no spindle, "
                "so it is not clear what it is for.",
                remedy="Say which process the part needs.",
            )
        )
    return reasons


def _process(demand: Demand, capabilities: Sequence[Capability]) -> Reason | None:
    asked = demand.asked_process
    known = sorted({str(c.get("process", "")) for c in capabilities} - {""})
    if asked in {"", "unknown", *known}:
        return None
    return Reason(
        code="WRONG_PROCESS",
        message=f"No machine here does {asked}; there is {_listed(known)}.",
        remedy="Register a machine for it, or change the part's process.",
    )


def _material(demand: Demand, capabilities: Sequence[Capability]) -> Reason | None:
    known = {str(m) for c in capabilities for m in c.get("materials", ())}
    if demand.material.casefold() in {material.casefold() for material in known}:
        return None
    return Reason(
        code="NO_MATERIAL",
        message=f"No suitable machine works with {demand.material}; "
        f"there is {_listed(sorted(known))}.",
        remedy="Choose one of these materials, or add it to a machine's capabilities.",
    )


def _size(demand: Demand, capabilities: Sequence[Capability]) -> Reason | None:
    reach = demand.reach_mm
    sizes = [size for c in capabilities if (size := _max_size(c))]
    if any(_inside(reach, size) for size in sizes):
        return None
    largest = max(sizes, key=lambda size: size[0] * size[1] * size[2], default=None)
    biggest = f"the largest takes {_measures(largest)}" if largest else "none states its size"
    return Reason(
        code="TOO_LARGE",
        message=f"The part needs {_measures(reach)}; of the suitable machines {biggest}.",
        remedy="Scale, turn or split the part, or add a larger machine.",
    )


def _temperature(key: str, code: str, what: str) -> "_Rule":
    def rule(demand: Demand, capabilities: Sequence[Capability]) -> Reason | None:
        report = demand.report
        if not isinstance(report, GcodeReport):
            return None
        asked = report.nozzle_c if key == "max_nozzle_c" else report.bed_c
        limits = [limit for c in capabilities if (limit := c.get(key)) is not None]
        if len(limits) < len(capabilities) or asked <= max(limits):
            return None
        return Reason(
            code=code,
            message=f"The program heats the {what} to {asked} °C; "
            f"the suitable machines allow {max(limits):g} °C.",
            remedy="Lower the temperature in the program, or choose another material.",
        )

    return rule


def _precision(demand: Demand, capabilities: Sequence[Capability]) -> Reason | None:
    asked = demand.precision_mm
    stated = [value for c in capabilities if (value := c.get("precision_mm")) is not None]
    if asked is None or len(stated) < len(capabilities) or min(stated) <= asked:
        return None
    return Reason(
        code="PRECISION",
        message=f"The part asks for {asked:g} mm; "
        f"the most precise suitable machine reaches {min(stated):g} mm.",
        remedy="Allow a larger deviation, or add a more precise machine.",
    )


_Rule = Callable[[Demand, Sequence[Capability]], Reason | None]
_RULES: Final[tuple[_Rule, ...]] = (
    _process,
    _material,
    _size,
    _temperature("max_nozzle_c", "NOZZLE_TOO_HOT", "nozzle"),
    _temperature("max_bed_c", "BED_TOO_HOT", "bed"),
    _precision,
)
"""Each takes a demand and a non-empty list of nodes and blames the list when none of it fits."""


def _max_size(capability: Capability) -> tuple[float, float, float] | None:
    size = capability.get("max_size")
    return (float(size["x"]), float(size["y"]), float(size["z"])) if size else None


def _inside(reach: Iterable[float], size: Iterable[float]) -> bool:
    return all(need <= limit + TOLERANCE_MM for need, limit in zip(reach, size, strict=True))


def _measures(size: tuple[float, float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g} x {size[2]:g} mm"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"

"""From the end of a run to what the core is told of it. Pure."""

from dataclasses import dataclass
from typing import Any

from device_bridge.journal import BuildState
from device_bridge.protocols import DeviceStatus, RunResult
from device_bridge.work import Work

NO_FIGURES: dict[str, Any] = {
    "duration_ms": 0,
    "energy_j": 0,
    "energy_source": "none",
    "material_mm3": 0,
    "material_mg": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The journal's state, the command's name and payload, and the facts kept."""

    state: BuildState
    report: tuple[str, dict[str, Any]]
    facts: dict[str, Any]


def ending(
    work: Work, result: RunResult, *, measured: dict[str, Any], status: DeviceStatus
) -> Ending:
    """What follows from a result; ``measured`` holds duration and energy.

    A program was written but none of it acknowledged: nobody knows whether the machine moved.
    """
    figures = {
        **measured,
        **_material(result, work.density_mg_per_mm3),
    }
    told = {"build_id": work.build_id, **figures}
    failure = {"reason": result.reason, "native_text": result.native_text}
    facts = {"lines_done": result.lines_done, "lines_total": result.lines_total, **figures}
    match result.outcome if result.lines_done else "unknown":
        case "finished":
            return Ending(state=BuildState.FINISHED, report=("FinishBuild", told), facts=facts)
        case "cancelled":
            return Ending(
                state=BuildState.CANCELLED, report=("ConfirmCancelled", told), facts=facts
            )
        case "failed":
            report = ("FailBuild", {**told, **failure})
            return Ending(state=BuildState.FAILED, report=report, facts=facts)
        case _:
            known = {**facts, **failure}
            reason = f"{result.reason}: {result.native_text}"
            return Ending(
                state=BuildState.UNKNOWN,
                report=unknown(work, reason, facts=known, status=status),
                facts=known,
            )


def _material(result: RunResult, density: float) -> dict[str, int]:
    if result.material_mg is None:
        volume = result.material_mm3
        return {"material_mm3": volume, "material_mg": round(volume * density)}
    volume = round(result.material_mg / density) if density else 0
    return {"material_mm3": volume, "material_mg": result.material_mg}


def unknown(
    work: Work, reason: str, *, facts: dict[str, Any], status: DeviceStatus
) -> tuple[str, dict[str, Any]]:
    """The question to a person: what was known, and what the machine says now."""
    known = {**facts, "observed": status.as_json()}
    return "ReportOutcomeUnknown", {"build_id": work.build_id, "reason": reason, "facts": known}

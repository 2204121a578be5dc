"""What PrusaLink's HTTP API v1 says: status, the job on the printer, readings. Pure.

Follows its published description (openapi 1.0.0-draft) and what PrusaLink 0.8 does; there is no
recorded session of a printer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from device_bridge.dialects.moonraker import number
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import Availability, ConditionLevel, Execution

PRINTER_STATES: Final[Mapping[str, Execution]] = MappingProxyType({
    "IDLE": Execution.READY,
    "READY": Execution.READY,
    "BUSY": Execution.ACTIVE,
    "PRINTING": Execution.ACTIVE,
    "PAUSED": Execution.INTERRUPTED,
    "FINISHED": Execution.PROGRAM_COMPLETED,
    "STOPPED": Execution.READY,
    "ERROR": Execution.STOPPED,
    "ATTENTION": Execution.INTERRUPTED,
    "ATTTENTION": Execution.INTERRUPTED,
})  # fmt: skip
"""The description spells ATTENTION with three Ts, the printers do not."""
JOB_STATES: Final[Mapping[str, Phase]] = MappingProxyType({
    "BUSY": Phase.RUNNING,
    "PRINTING": Phase.RUNNING,
    "PAUSED": Phase.HELD,
    "ATTENTION": Phase.HELD,
    "ATTTENTION": Phase.HELD,
    "FINISHED": Phase.COMPLETED,
    "STOPPED": Phase.CANCELLED,
    "ERROR": Phase.FAILED,
})  # fmt: skip
TEMPERATURES: Final[Mapping[str, str]] = MappingProxyType({
    "temp_nozzle": "temperature.hotend0.actual_c",
    "target_nozzle": "temperature.hotend0.target_c",
    "temp_bed": "temperature.bed.actual_c",
    "target_bed": "temperature.bed.target_c",
    "axis_x": "position.x_mm",
    "axis_y": "position.y_mm",
    "axis_z": "position.z_mm",
    "speed": "override_feed_pct",
})  # fmt: skip


def status_of(answer: Mapping[str, Any]) -> DeviceStatus:
    """``GET /api/v1/status`` in MTConnect's words; an unknown word is told as a warning."""
    printer = _part(answer, "printer")
    word = _word(printer, "state")
    execution = PRINTER_STATES.get(word)
    if execution is None:
        return _available(Execution.UNAVAILABLE, _unknown(word))
    text = _word(_part(printer, "status_printer"), "message")
    if word == "ERROR":
        return _available(execution, _condition(ConditionLevel.FAULT, "ERROR", text))
    if word.startswith("ATT"):
        return _available(execution, _condition(ConditionLevel.WARNING, "ATTENTION", text))
    return _available(execution)


def job_of(answer: Mapping[str, Any] | None) -> RemoteJob:
    """``GET /api/v1/job``; ``None`` is its 204, no job."""
    if answer is None:
        return RemoteJob()
    file = _part(answer, "file")
    name = _word(file, "display_name") or _word(file, "name")
    if not name:
        return RemoteJob()
    share = number(answer.get("progress"))
    state = _word(answer, "state")
    return RemoteJob(
        file_name=name,
        phase=JOB_STATES.get(state, Phase.UNKNOWN),
        share=None if share is None else share / 100,
        seconds=number(answer.get("time_printing")),
        text=f"the printer says {state}",
    )


def ended(answer: Mapping[str, Any], name: str) -> RemoteJob:
    """No job is there any more: what the printer's own state says of the one before."""
    state = _word(_part(answer, "printer"), "state")
    phase = JOB_STATES.get(state, Phase.NONE)
    if not phase.over:
        return RemoteJob()
    return RemoteJob(file_name=name, phase=phase, text=f"the printer says {state}")


def job_id(answer: Mapping[str, Any] | None) -> int | None:
    """The number by which a job is paused and ended."""
    value = None if answer is None else answer.get("id")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def readings(answer: Mapping[str, Any]) -> dict[str, float]:
    """Canonical names and units; what the printer leaves out stays absent."""
    printer, job = _part(answer, "printer"), _part(answer, "job")
    found = {name: number(printer.get(key)) for key, name in TEMPERATURES.items()}
    found["progress_pct"] = number(job.get("progress"))
    return {name: value for name, value in found.items() if value is not None}


def storage_in(answer: Mapping[str, Any]) -> str:
    """The first place in ``GET /api/v1/storage`` that takes files; empty when there is none."""
    places = answer.get("storage_list")
    for place in places if isinstance(places, list) else []:
        if not isinstance(place, dict) or place.get("read_only") is True:
            continue
        path = _word(place, "path").strip("/")
        if path and place.get("available") is True:
            return path
    return ""


def _available(execution: Execution, *conditions: Condition) -> DeviceStatus:
    return DeviceStatus(
        availability=Availability.AVAILABLE, execution=execution, conditions=conditions
    )


def _condition(level: ConditionLevel, code: str, text: str) -> Condition:
    told = " ".join(text.split()) or f"the printer says {code}"
    return Condition(level=level, type="SYSTEM", code=code, text=told)


def _unknown(word: str) -> Condition:
    text = f"PrusaLink says {word[:100]!r}"
    return Condition(level=ConditionLevel.WARNING, type="SYSTEM", code="UNKNOWN_STATE", text=text)


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _word(value: Mapping[str, Any], name: str) -> str:
    word = value.get(name)
    return word if isinstance(word, str) else ""

"""What a view of OctoPrint means: status, the program on the printer, how a print ended. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from device_bridge.dialects.moonraker import number
from device_bridge.dialects.octoprint import (
    FAULTY,
    READY,
    STATES,
    View,
    away,
    one_line,
    part,
)
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution

STOP_WORD: Final = "M112"


def stopped_by_hand(view: View) -> bool:
    """Its port is closed because somebody asked for the stop."""
    return view.state in FAULTY and STOP_WORD in view.error


def halted_by_stop(view: View) -> bool:
    """OctoPrint says that it sent the emergency stop; it also sends one after a fatal error."""
    return view.stopped or stopped_by_hand(view)


def status_of(view: View) -> DeviceStatus:
    """Status in MTConnect's words; a word that is not known is told as a warning."""
    if not view.state or away(view):
        return DeviceStatus()
    if view.state not in STATES:
        text = f"OctoPrint says {view.state[:100]!r}"
        return _available(Execution.UNAVAILABLE, _condition("UNKNOWN_STATE", text, fault=False))
    execution, _ = STATES[view.state]
    if view.state not in FAULTY:
        return _available(execution)
    status = _available(execution, _condition("PRINTER_ERROR", view.error or view.state.lower()))
    return status.but(emergency_stop=EmergencyStop.TRIGGERED) if stopped_by_hand(view) else status


def job_of(view: View) -> RemoteJob:
    """The file on the printer. A good end counts once OctoPrint is through with it."""
    _, phase = STATES.get(view.state, (READY, Phase.UNKNOWN))
    end = view.ended
    if end is not None and (end.phase is Phase.FAILED or not phase.on_the_machine):
        return RemoteJob(
            file_name=end.file_name, phase=end.phase, seconds=end.seconds, text=end.text,
            share=view.share if end.file_name == view.file_name else None,
        )  # fmt: skip
    return RemoteJob(file_name=view.file_name, phase=phase, share=view.share, seconds=view.seconds)


def last_print(answer: Mapping[str, Any], name: str) -> RemoteJob | None:
    """How the last print of a file ended, out of ``GET /api/files/local/NAME``."""
    last = part(part(answer, "prints"), "last")
    success = last.get("success")
    if not isinstance(success, bool):
        return None
    text = "OctoPrint's history says " + ("success" if success else "failed or cancelled")
    return RemoteJob(
        file_name=name,
        phase=Phase.COMPLETED if success else Phase.FAILED,
        seconds=number(last.get("printTime")),
        text=text,
    )


def tools_in(view: View) -> list[str]:
    """OctoPrint's names of the hot ends that it has read."""
    found = {name.split(".")[1] for name in view.readings if name.startswith("temperature.hotend")}
    return sorted(f"tool{name.removeprefix('hotend')}" for name in found)


def _available(execution: Execution, *conditions: Condition) -> DeviceStatus:
    return DeviceStatus(
        availability=Availability.AVAILABLE, execution=execution, conditions=conditions
    )


def _condition(code: str, text: str, *, fault: bool = True) -> Condition:
    hot = any(word in text.lower() for word in ("thermal", "heat", "temp"))
    return Condition(
        level=ConditionLevel.FAULT if fault else ConditionLevel.WARNING,
        type="TEMPERATURE" if hot else "SYSTEM",
        code=code,
        text=one_line(text),
    )

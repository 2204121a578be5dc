"""What Klipper's printer objects say: status, the file on the machine, readings. Pure.

``webhooks.state`` speaks first: after a shutdown ``print_stats`` still says "paused", and a
machine that an emergency stop halted is no machine that holds.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from device_bridge.dialects.moonraker import Objects, number
from device_bridge.dialects.remote_job import Phase, RemoteJob
from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution

HOST_STATES: Final[Mapping[str, Execution]] = MappingProxyType({
    "startup": Execution.WAIT,
    "shutdown": Execution.STOPPED,
    "error": Execution.STOPPED,
})  # fmt: skip
PRINT_STATES: Final[Mapping[str, tuple[Execution, Phase]]] = MappingProxyType({
    "standby": (Execution.READY, Phase.NONE),
    "printing": (Execution.ACTIVE, Phase.RUNNING),
    "paused": (Execution.INTERRUPTED, Phase.HELD),
    "complete": (Execution.PROGRAM_COMPLETED, Phase.COMPLETED),
    "cancelled": (Execution.READY, Phase.CANCELLED),
    "error": (Execution.STOPPED, Phase.FAILED),
})  # fmt: skip
HISTORY: Final[Mapping[str, Phase]] = MappingProxyType({
    "completed": Phase.COMPLETED,
    "cancelled": Phase.CANCELLED,
    "error": Phase.FAILED,
    "klippy_shutdown": Phase.FAILED,
    "klippy_disconnect": Phase.FAILED,
})  # fmt: skip
"""Other words (``in_progress``, ``interrupted``, ``server_exit``) say nothing of the end."""
BY_A_PERSON: Final = ("shutdown due to webhooks request", "shutdown due to m112")
WANTED: Final = (
    "webhooks", "print_stats", "virtual_sdcard", "pause_resume", "toolhead", "gcode_move",
    "motion_report", "heater_bed",
)  # fmt: skip
NAMED_KINDS: Final = frozenset({"heater_generic", "temperature_sensor", "temperature_fan"})
COOLER: Final = "temperature_fan"
"""It cools down to its target. Told as a heater's, that would be heat without an effect, or heat
that runs away, and end a healthy print."""
FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "webhooks": ("state", "state_message"),
    "print_stats": ("state", "filename", "message", "filament_used", "print_duration"),
    "virtual_sdcard": ("progress", "file_position", "is_active"),
    "pause_resume": ("is_paused",),
    "toolhead": ("position", "homed_axes"),
    "gcode_move": ("speed_factor",),
    "motion_report": ("live_position", "live_velocity"),
})  # fmt: skip
FORBIDDEN: Final = frozenset({
    "FIRMWARE_RESTART", "FORCE_MOVE", "REBOOT_MACHINE", "RESTART", "RUN_SHELL_COMMAND",
    "SAVE_CONFIG", "SDCARD_PRINT_FILE", "SDCARD_RESET_FILE", "SET_KINEMATIC_POSITION",
    "SHUTDOWN_MACHINE",
})  # fmt: skip
"""Klipper's own words that restart it, keep settings, start files, lie about where the tool is or
run programs on its computer."""
HEATER_FIELDS: Final = ("temperature", "target")


def subscription(present: list[Any]) -> dict[str, list[str]]:
    """What to subscribe to, out of the objects that this machine has."""
    names = [name for name in present if isinstance(name, str)]
    wanted = [name for name in names if name in WANTED or heater_channel(name)]
    return {name: list(FIELDS.get(name, HEATER_FIELDS)) for name in wanted}


def status_of(objects: Objects) -> DeviceStatus:
    """Status in MTConnect's words; a word that is not known is told as a warning."""
    webhooks, stats = objects.get("webhooks", {}), objects.get("print_stats", {})
    host = _word(webhooks, "state")
    text = _word(webhooks, "state_message")
    if host and host != "ready":
        return _host_status(host, text)
    word = _word(stats, "state")
    if word and word not in PRINT_STATES:
        return _available(Execution.UNAVAILABLE, _warning(f"Klipper says print_stats {word!r}"))
    execution, phase = PRINT_STATES.get(word, (Execution.UNAVAILABLE, Phase.UNKNOWN))
    if phase is Phase.FAILED:
        return _available(execution, _fault("PRINT_FAILED", _word(stats, "message")))
    return _available(execution)


def job_of(objects: Objects) -> RemoteJob:
    """The file on the machine. A file in a machine that has shut down has failed."""
    stats = objects.get("print_stats", {})
    name = _word(stats, "filename")
    if not name:
        return RemoteJob()
    webhooks = objects.get("webhooks", {})
    host = _word(webhooks, "state") or "ready"
    _, phase = PRINT_STATES.get(_word(stats, "state"), (Execution.UNAVAILABLE, Phase.UNKNOWN))
    text = _word(stats, "message")
    if host in {"shutdown", "error"} and phase.on_the_machine:
        phase, text = Phase.FAILED, _word(webhooks, "state_message")
    return RemoteJob(
        file_name=name,
        phase=phase,
        share=number(objects.get("virtual_sdcard", {}).get("progress")),
        filament_mm=number(stats.get("filament_used")),
        seconds=number(stats.get("print_duration")),
        text=text,
    )


def history_of(answer: Any, name: str) -> RemoteJob | None:
    """The newest job of a file in an answer of ``server.history.list``."""
    jobs = answer.get("jobs") if isinstance(answer, dict) else None
    for job in jobs if isinstance(jobs, list) else []:
        if isinstance(job, dict) and job.get("filename") == name:
            status = _word(job, "status")
            phase = HISTORY.get(status, Phase.UNKNOWN)
            return RemoteJob(
                file_name=name,
                phase=phase,
                filament_mm=number(job.get("filament_used")),
                seconds=number(job.get("print_duration")),
                text=status,
            )
    return None


def readings(objects: Objects, changed: Iterable[str]) -> dict[str, float]:
    """The changed objects' readings in canonical names and units, whole: a heater tells its
    target beside its temperature. What is missing stays absent, progress without a file too."""
    update = {name: objects[name] for name in changed if name in objects}
    found: dict[str, float | None] = {}
    for name, fields in update.items():
        if channel := heater_channel(name):
            found[f"temperature.{channel}.actual_c"] = number(fields.get("temperature"))
            if not name.startswith(COOLER):
                found[f"temperature.{channel}.target_c"] = number(fields.get("target"))
    motion = update.get("motion_report", {})
    found["feedrate_mm_s"] = number(motion.get("live_velocity"))
    found |= _position(motion.get("live_position") or update.get("toolhead", {}).get("position"))
    found["override_feed_pct"] = _percent(update.get("gcode_move", {}).get("speed_factor"))
    if _word(objects.get("print_stats", {}), "filename"):
        found["material_used_mm"] = number(update.get("print_stats", {}).get("filament_used"))
        found["progress_pct"] = _percent(update.get("virtual_sdcard", {}).get("progress"))
    return {name: value for name, value in found.items() if value is not None}


def heater_channel(name: str) -> str:
    """``extruder`` → ``hotend0``, ``heater_bed`` → ``bed``, ``heater_generic x`` → ``x``."""
    if name == "heater_bed":
        return "bed"
    kind, _, own = name.partition(" ")
    if kind.startswith("extruder") and not own:
        tool = kind.removeprefix("extruder") or "0"
        return f"hotend{tool}" if tool.isdigit() else ""
    if own and kind in NAMED_KINDS:
        return "_".join(own.split()).replace(".", "_").lower()
    return ""


def _host_status(host: str, text: str) -> DeviceStatus:
    execution = HOST_STATES.get(host)
    if execution is None:
        return _available(Execution.UNAVAILABLE, _warning(f"Klipper says {host!r}: {text}"))
    if execution is Execution.WAIT:
        return _available(execution)
    stopped = _available(execution, _fault(host.upper(), text))
    if host == "shutdown" and text.lower().startswith(BY_A_PERSON):
        return stopped.but(emergency_stop=EmergencyStop.TRIGGERED)
    return stopped


def _available(execution: Execution, *conditions: Condition) -> DeviceStatus:
    return DeviceStatus(
        availability=Availability.AVAILABLE, execution=execution, conditions=conditions
    )


def _fault(code: str, text: str) -> Condition:
    told = " ".join(text.split()) or code.lower()
    kind = "TEMPERATURE" if any(w in told.lower() for w in ("heat", "temp", "adc")) else "SYSTEM"
    return Condition(level=ConditionLevel.FAULT, type=kind, code=code, text=told)


def _warning(text: str) -> Condition:
    return Condition(
        level=ConditionLevel.WARNING, type="SYSTEM", code="UNKNOWN_STATE", text=text[:300]
    )


def _position(value: Any) -> dict[str, float | None]:
    if not isinstance(value, list) or len(value) < 3:
        return {}
    return {f"position.{axis}_mm": number(value[i]) for i, axis in enumerate("xyz")}


def _percent(value: Any) -> float | None:
    share = number(value)
    return None if share is None else round(share * 100, 3)


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""

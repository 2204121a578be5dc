"""A recorded session with Moonraker 0.11 and Klipper 0.12 (in its mode without a board), replayed.

Start, pause, resume, an emergency stop, and a script afterwards, as the driver spoke them.
"""

import json
from pathlib import Path
from typing import Any

from device_bridge.dialects import klipper, moonraker
from device_bridge.dialects.remote_job import Phase
from device_bridge.drivers.moonraker_state import MoonrakerState
from device_bridge.protocols import Sampled, StatusChanged
from domain.node.states import EmergencyStop, Execution
from domain.telemetry.channels import unit_of

SESSION = Path(__file__).parents[1] / "golden" / "moonraker_session.jsonl"
LINES: list[dict[str, Any]] = [json.loads(line) for line in SESSION.read_text().splitlines()]
HEARD = [json.dumps(line["message"]) for line in LINES if line["way"] == "<"]


def heard(state: MoonrakerState, text: str) -> moonraker.Meaning:
    """One message, folded as the driver folds it."""
    meaning = moonraker.parse(text)
    if isinstance(meaning, moonraker.Reply) and isinstance(meaning.result, dict):
        state.fold(moonraker.objects_in(meaning.result.get("status")))
    else:
        state.hear(meaning)
    return meaning


def test_every_message_of_the_session_is_understood() -> None:
    meanings = [moonraker.parse(text) for text in HEARD]
    assert not [m for m in meanings if isinstance(m, moonraker.Unreadable)]
    assert {m.method for m in meanings if isinstance(m, moonraker.Notice)} == {
        "notify_filelist_changed",
        "notify_history_changed",
    }


def test_the_printer_was_ready_active_interrupted_active_and_stopped() -> None:
    state = MoonrakerState()
    told: list[Execution] = []
    names: set[str] = set()

    def listen(event: object) -> None:
        if isinstance(event, StatusChanged):
            told.append(event.status.execution)
        elif isinstance(event, Sampled):
            names.update(event.sample.metrics)

    state.listen(listen)
    for text in HEARD:
        heard(state, text)
    steps = [e for e in told if e is not Execution.UNAVAILABLE]
    assert steps == [
        Execution.READY,
        Execution.ACTIVE,
        Execution.INTERRUPTED,
        Execution.ACTIVE,
        Execution.STOPPED,
    ]
    assert state.status.emergency_stop is EmergencyStop.TRIGGERED
    assert {"progress_pct", "material_used_mm", "temperature.hotend0.actual_c"} <= names
    assert all(unit_of(name) for name in names)


def test_the_console_told_the_stop_before_any_status_did() -> None:
    state = MoonrakerState()
    for text in HEARD:
        meaning = heard(state, text)
        if state.halted.is_set():
            assert meaning == moonraker.GcodeResponse("// Klipper state: Shutdown")
            assert state.status.execution is Execution.ACTIVE
            return
    raise AssertionError("the session never stopped")


def test_the_stopped_print_has_failed_although_it_says_paused() -> None:
    state = MoonrakerState()
    for text in HEARD:
        heard(state, text)
    assert state.objects["print_stats"]["state"] == "paused"
    job = state.job
    assert (job.file_name, job.phase) == ("b1.gcode", Phase.FAILED)
    assert "Shutdown due to webhooks request" in job.text


def test_the_history_of_the_session_tells_how_the_print_before_it_ended() -> None:
    answers = [m.result for m in map(moonraker.parse, HEARD) if isinstance(m, moonraker.Reply)]
    history = next(a for a in answers if isinstance(a, dict) and "jobs" in a)
    found = klipper.history_of(history, history["jobs"][0]["filename"])
    assert found is not None
    assert found.phase is Phase.FAILED
    assert klipper.history_of(history, "b1.gcode") is None


def test_a_heater_that_klipper_passes_over_because_nothing_changed_is_told_again() -> None:
    state = MoonrakerState()
    told: list[dict[str, float]] = []
    state.listen(lambda e: told.append(e.sample.metrics) if isinstance(e, Sampled) else None)
    state.fold({"heater_bed": {"temperature": 60.0, "target": 60.0}})
    told.clear()
    state.fold({"print_stats": {"print_duration": 2.0}})
    assert told == [{"temperature.bed.actual_c": 60.0, "temperature.bed.target_c": 60.0}]
    state.fold({})
    assert len(told) == 1


def test_a_script_after_the_stop_is_refused_with_code_400() -> None:
    refused = [m for m in map(moonraker.parse, HEARD) if isinstance(m, moonraker.Refused)]
    assert [m.code for m in refused] == [400]

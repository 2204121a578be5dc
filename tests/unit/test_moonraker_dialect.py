"""Moonraker's messages and Klipper's printer objects, without a socket."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bridge.dialects import klipper, moonraker
from device_bridge.dialects.remote_job import Phase, RemoteJob, file_name
from device_bridge.errors import BadProgramError
from device_bridge.protocols import DeviceStatus
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from domain.telemetry.channels import unit_of

SHUTDOWN = "Shutdown due to webhooks request\nOnce the underlying issue is corrected, use the"
TRANSCRIPT = [
    ('{"jsonrpc": "2.0", "result": "ok", "id": 7}', moonraker.Reply(7, "ok")),
    (
        '{"jsonrpc": "2.0", "error": {"code": 400, "message": "Shutdown"}, "id": 8}',
        moonraker.Refused(8, 400, "Shutdown"),
    ),
    (
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}}',
        moonraker.Refused(None, -32700, "Parse error"),
    ),
    (
        '{"method": "notify_status_update", "params": [{"print_stats": {"state": "paused"}}, 1.5]}',
        moonraker.StatusUpdate({"print_stats": {"state": "paused"}}),
    ),
    (
        '{"method": "notify_gcode_response", "params": ["// Klipper state: Shutdown"]}',
        moonraker.GcodeResponse("// Klipper state: Shutdown"),
    ),
    ('{"method": "notify_klippy_ready"}', moonraker.KlippyReady()),
    ('{"method": "notify_klippy_shutdown", "params": []}', moonraker.KlippyShutdown()),
    ('{"method": "notify_klippy_disconnected"}', moonraker.KlippyDisconnected()),
    ('{"method": "notify_proc_stat", "params": [{}]}', moonraker.Notice("notify_proc_stat")),
    ("not json", moonraker.Unreadable("not json")),
    ("[1]", moonraker.Unreadable("[1]")),
]  # fmt: skip
STATES = [
    ("startup", "standby", Execution.WAIT, Phase.NONE),
    ("ready", "standby", Execution.READY, Phase.NONE),
    ("ready", "printing", Execution.ACTIVE, Phase.RUNNING),
    ("ready", "paused", Execution.INTERRUPTED, Phase.HELD),
    ("ready", "complete", Execution.PROGRAM_COMPLETED, Phase.COMPLETED),
    ("ready", "cancelled", Execution.READY, Phase.CANCELLED),
    ("ready", "error", Execution.STOPPED, Phase.FAILED),
    ("error", "standby", Execution.STOPPED, Phase.NONE),
    ("shutdown", "paused", Execution.STOPPED, Phase.FAILED),
    ("shutdown", "printing", Execution.STOPPED, Phase.FAILED),
    ("shutdown", "complete", Execution.STOPPED, Phase.COMPLETED),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = PLAIN | st.lists(PLAIN, max_size=4) | st.dictionaries(st.text(max_size=3), PLAIN)
WORDS = st.sampled_from([*klipper.PRINT_STATES, *klipper.HOST_STATES, "ready", "warming", ""])
FIELDS = st.dictionaries(
    st.sampled_from(
        ["temperature", "target", *(f for kept in klipper.FIELDS.values() for f in kept)]
    ),
    VALUES | WORDS,
    max_size=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from([*klipper.WANTED, "extruder", "extruder1", "heater_generic box"])
    | st.text(max_size=8),
    FIELDS,
    max_size=5,
)


def objects(host: str, printing: str, name: str = "b1.gcode") -> moonraker.Objects:
    return {
        "webhooks": {"state": host, "state_message": SHUTDOWN if host == "shutdown" else ""},
        "print_stats": {"state": printing, "filename": name, "message": "", "filament_used": 8.64},
        "virtual_sdcard": {"progress": 0.25},
        "extruder": {"temperature": 25.54, "target": 60.0},
        "heater_bed": {"temperature": 19.37, "target": 0.0},
        "motion_report": {"live_position": [1.0, 2.0, 3.0, 4.0], "live_velocity": 50.0},
        "gcode_move": {"speed_factor": 0.9},
    }


@pytest.mark.parametrize(("text", "meaning"), TRANSCRIPT)
def test_a_message_of_the_recorded_session_means_what_it_meant(
    text: str, meaning: moonraker.Meaning
) -> None:
    assert moonraker.parse(text) == meaning


def test_a_request_carries_its_method_its_id_and_its_parameters() -> None:
    sent = json.loads(moonraker.request(3, "printer.print.start", {"filename": "b1.gcode"}))
    assert sent == {
        "jsonrpc": "2.0",
        "method": "printer.print.start",
        "id": 3,
        "params": {"filename": "b1.gcode"},
    }


def test_the_console_says_first_that_klipper_shut_down() -> None:
    assert moonraker.GcodeResponse("// Klipper state: Shutdown").stopped
    assert not moonraker.GcodeResponse('// Unknown command:"FOO_BAR 1"').stopped


@pytest.mark.parametrize(("host", "printing", "execution", "phase"), STATES)
def test_the_hosts_state_speaks_before_the_prints(
    host: str, printing: str, execution: Execution, phase: Phase
) -> None:
    seen = objects(host, printing)
    assert klipper.status_of(seen).execution is execution
    if phase is not Phase.NONE:
        assert klipper.job_of(seen).phase is phase


def test_paused_after_an_emergency_stop_is_a_fault_and_no_hold() -> None:
    status = klipper.status_of(objects("shutdown", "paused"))
    assert status.emergency_stop is EmergencyStop.TRIGGERED
    assert [c.level for c in status.conditions] == [ConditionLevel.FAULT]
    assert "Shutdown due to webhooks request" in status.conditions[0].text
    assert klipper.job_of(objects("shutdown", "paused")).phase is Phase.FAILED


def test_a_shutdown_by_klipper_itself_is_a_fault_and_no_emergency_stop() -> None:
    hot = {**objects("shutdown", "paused")}
    hot["webhooks"] = {"state": "shutdown", "state_message": "Heater extruder not heating"}
    status = klipper.status_of(hot)
    assert status.emergency_stop is EmergencyStop.ARMED
    assert status.conditions[0].type == "TEMPERATURE"


@pytest.mark.parametrize(
    "seen",
    [
        {"webhooks": {"state": "ready"}, "print_stats": {"state": "purging", "filename": "x"}},
        {"webhooks": {"state": "hibernating"}, "print_stats": {"state": "standby"}},
    ],
)
def test_a_state_that_nobody_knows_is_told_and_not_guessed(seen: moonraker.Objects) -> None:
    status = klipper.status_of(seen)
    assert status.execution is Execution.UNAVAILABLE
    assert status.availability is Availability.AVAILABLE
    assert status.conditions[0].code == "UNKNOWN_STATE"
    assert klipper.job_of(seen).phase in {Phase.UNKNOWN, Phase.NONE}


def test_a_difference_changes_only_its_fields() -> None:
    before = objects("ready", "printing")
    after = klipper.status_of(
        moonraker.folded(before, {"print_stats": {"state": "paused"}, "new": {"a": 1}})
    )
    assert after.execution is Execution.INTERRUPTED
    assert klipper.job_of(before).phase is Phase.RUNNING
    assert moonraker.folded(before, {"extruder": {"target": 0.0}})["extruder"] == {
        "temperature": 25.54,
        "target": 0.0,
    }


def test_readings_have_canonical_names_and_units() -> None:
    seen = objects("ready", "printing")
    assert klipper.readings(seen, seen) == {
        "temperature.hotend0.actual_c": 25.54,
        "temperature.hotend0.target_c": 60.0,
        "temperature.bed.actual_c": 19.37,
        "temperature.bed.target_c": 0.0,
        "position.x_mm": 1.0,
        "position.y_mm": 2.0,
        "position.z_mm": 3.0,
        "feedrate_mm_s": 50.0,
        "override_feed_pct": 90.0,
        "material_used_mm": 8.64,
        "progress_pct": 25.0,
    }


def test_what_a_fan_cools_down_to_is_not_told_as_a_heaters_target() -> None:
    fan = {"temperature_fan chamber": {"temperature": 62.0, "target": 40.0}}
    assert klipper.readings(fan, fan) == {"temperature.chamber.actual_c": 62.0}
    heater = {"heater_generic chamber": {"temperature": 62.0, "target": 40.0}}
    assert klipper.readings(heater, heater)["temperature.chamber.target_c"] == 40.0


def test_what_a_machine_does_not_say_stays_absent() -> None:
    assert klipper.readings({"extruder": {"temperature": None}}, ["extruder"]) == {}
    idle = objects("ready", "standby", name="")
    assert "progress_pct" not in klipper.readings(idle, idle)
    assert klipper.readings(objects("ready", "printing"), ["heater_bed"]).keys() == {
        "temperature.bed.actual_c",
        "temperature.bed.target_c",
    }


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("extruder", "hotend0"),
        ("extruder2", "hotend2"),
        ("heater_bed", "bed"),
        ("heater_generic Chamber 1", "chamber_1"),
        ("temperature_sensor v1.2", "v1_2"),
        ("extruder_stepper mixer", ""),
        ("extruder mixer", ""),
        ("fan", ""),
    ],
)
def test_a_heaters_channel_follows_from_its_name(name: str, channel: str) -> None:
    assert klipper.heater_channel(name) == channel


def test_only_what_is_there_is_subscribed_to() -> None:
    wanted = klipper.subscription(
        ["gcode", "webhooks", "print_stats", "extruder", "extruder_stepper b", "mcu", 7, None]
    )
    assert wanted.keys() == {"webhooks", "print_stats", "extruder"}
    assert wanted["extruder"] == ["temperature", "target"]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("completed", Phase.COMPLETED),
        ("cancelled", Phase.CANCELLED),
        ("error", Phase.FAILED),
        ("klippy_shutdown", Phase.FAILED),
        ("klippy_disconnect", Phase.FAILED),
        ("in_progress", Phase.UNKNOWN),
        ("interrupted", Phase.UNKNOWN),
        ("server_exit", Phase.UNKNOWN),
    ],
)
def test_the_history_says_how_a_file_ended(status: str, phase: Phase) -> None:
    jobs = [
        {"filename": "other.gcode", "status": "completed"},
        {"filename": "b1.gcode", "status": status, "filament_used": 7.5, "print_duration": 9.0},
        {"filename": "b1.gcode", "status": "cancelled"},
    ]
    assert klipper.history_of({"jobs": jobs}, "b1.gcode") == RemoteJob(
        file_name="b1.gcode", phase=phase, filament_mm=7.5, seconds=9.0, text=status
    )
    assert klipper.history_of({"jobs": jobs}, "b2.gcode") is None


@pytest.mark.parametrize("build_id", ["", "../x", "a/b", "a b", "é", ".hidden", "x" * 200])
def test_a_build_id_that_is_no_file_name_is_refused(build_id: str) -> None:
    with pytest.raises(BadProgramError):
        file_name(build_id)


@settings(max_examples=60)
@given(st.text() | JSON.map(lambda value: json.dumps(value, default=str)))
def test_no_text_breaks_the_parser(text: str) -> None:
    moonraker.parse(text)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from(["notify_status_update", "notify_gcode_response"]) | JSON,
            "params": JSON,
            "id": JSON,
            "error": JSON,
            "result": JSON,
        },
    )
)
def test_no_message_breaks_the_parser(message: dict[str, Any]) -> None:
    meaning = moonraker.parse(json.dumps(message))
    if isinstance(meaning, moonraker.StatusUpdate):
        klipper.status_of(meaning.objects)


@settings(max_examples=60)
@given(OBJECTS, OBJECTS)
def test_no_objects_break_status_job_or_readings(
    first: moonraker.Objects, update: moonraker.Objects
) -> None:
    seen = moonraker.folded(first, update)
    status = klipper.status_of(seen)
    assert isinstance(status, DeviceStatus)
    json.dumps(status.as_json(), allow_nan=False)
    job = klipper.job_of(seen)
    assert job.phase in Phase
    for name, value in klipper.readings(seen, update).items():
        assert math.isfinite(value)
        assert unit_of(name)


@settings(max_examples=60)
@given(JSON)
def test_no_answer_breaks_history_or_subscription(answer: Any) -> None:
    klipper.history_of(answer, "b1.gcode")
    klipper.subscription(answer if isinstance(answer, list) else [answer])
    assert moonraker.objects_in(answer) is not None

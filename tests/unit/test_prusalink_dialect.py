"""What PrusaLink answers, without a socket."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bridge.dialects import prusalink
from device_bridge.dialects.remote_job import Phase, RemoteJob
from domain.node.states import ConditionLevel, Execution
from domain.telemetry.channels import unit_of

STATUS = {
    "job": {"id": 420, "progress": 42.0, "time_printing": 526},
    "printer": {
        "state": "PRINTING",
        "temp_nozzle": 214.9,
        "target_nozzle": 215.0,
        "temp_bed": 59.5,
        "target_bed": 60.0,
        "axis_z": 0.5,
        "flow": 95,
        "speed": 100,
    },
}
JOB = {
    "id": 420,
    "state": "PRINTING",
    "progress": 42.0,
    "time_printing": 526,
    "file": {"name": "B1GCO~1.GCO", "display_name": "b1.gcode", "path": "/usb"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ANSWERS = st.dictionaries(
    st.sampled_from(["printer", "job", "file", "id", "state", "progress", "storage_list"]),
    JSON
    | st.dictionaries(
        st.sampled_from(["state", "display_name", "name", "temp_nozzle", "axis_x", "progress"]),
        JSON | st.sampled_from([*prusalink.PRINTER_STATES]),
    ),
)


@pytest.mark.parametrize(
    ("word", "execution"),
    [
        ("IDLE", Execution.READY),
        ("READY", Execution.READY),
        ("BUSY", Execution.ACTIVE),
        ("PRINTING", Execution.ACTIVE),
        ("PAUSED", Execution.INTERRUPTED),
        ("FINISHED", Execution.PROGRAM_COMPLETED),
        ("STOPPED", Execution.READY),
        ("ATTENTION", Execution.INTERRUPTED),
        ("ERROR", Execution.STOPPED),
    ],
)
def test_a_printers_state_is_one_of_mtconnects_words(word: str, execution: Execution) -> None:
    assert prusalink.status_of({"printer": {"state": word}}).execution is execution


def test_an_error_is_a_fault_with_the_printers_words() -> None:
    told = {"ok": False, "message": "MINTEMP error"}
    status = prusalink.status_of({"printer": {"state": "ERROR", "status_printer": told}})
    assert status.conditions[0].level is ConditionLevel.FAULT
    assert status.conditions[0].text == "MINTEMP error"


@pytest.mark.parametrize("answer", [{}, {"printer": {"state": "DREAMING"}}, {"printer": 7}])
def test_a_state_that_nobody_knows_is_told_and_not_guessed(answer: dict[str, Any]) -> None:
    status = prusalink.status_of(answer)
    assert status.execution is Execution.UNAVAILABLE
    assert status.conditions[0].code == "UNKNOWN_STATE"


def test_a_job_is_known_by_its_long_name() -> None:
    found = prusalink.job_of(JOB)
    assert (found.file_name, found.phase, found.share) == ("b1.gcode", Phase.RUNNING, 0.42)
    assert found.seconds == 526
    assert prusalink.job_id(JOB) == 420
    assert prusalink.job_of(None) == RemoteJob()
    assert prusalink.job_of({"id": 1, "serial_print": True}) == RemoteJob()


@pytest.mark.parametrize(
    ("word", "phase"),
    [
        ("FINISHED", Phase.COMPLETED),
        ("STOPPED", Phase.CANCELLED),
        ("ERROR", Phase.FAILED),
        ("IDLE", Phase.NONE),
        ("PRINTING", Phase.NONE),
    ],
)
def test_a_job_that_is_gone_ended_as_the_printer_says(word: str, phase: Phase) -> None:
    assert prusalink.ended({"printer": {"state": word}}, "b1.gcode").phase is phase


def test_readings_have_canonical_names_and_what_is_left_out_stays_absent() -> None:
    assert prusalink.readings(STATUS) == {
        "temperature.hotend0.actual_c": 214.9,
        "temperature.hotend0.target_c": 215.0,
        "temperature.bed.actual_c": 59.5,
        "temperature.bed.target_c": 60.0,
        "position.z_mm": 0.5,
        "override_feed_pct": 100.0,
        "progress_pct": 42.0,
    }


def test_files_go_to_the_first_place_that_takes_them() -> None:
    places = [
        {"path": "/sdcard", "available": False, "read_only": False, "type": "SDCARD"},
        {"path": "/local", "available": True, "read_only": True, "type": "LOCAL"},
        {"path": "/usb", "available": True, "type": "USB"},
    ]
    assert prusalink.storage_in({"storage_list": places}) == "usb"
    assert prusalink.storage_in({"storage_list": places[:2]}) == ""


@settings(max_examples=60)
@given(ANSWERS)
def test_no_answer_breaks_the_dialect(answer: dict[str, Any]) -> None:
    json.dumps(prusalink.status_of(answer).as_json(), allow_nan=False)
    assert prusalink.job_of(answer).phase in Phase
    prusalink.ended(answer, "b1.gcode")
    prusalink.job_id(answer)
    prusalink.storage_in(answer)
    for name, value in prusalink.readings(answer).items():
        assert math.isfinite(value)
        assert unit_of(name)

"""What OctoPrint pushes and answers, without a socket."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bridge.dialects import octoprint, octoprint_view
from device_bridge.dialects.octoprint import View
from device_bridge.dialects.remote_job import Phase
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from domain.telemetry.channels import unit_of

FILE = {"name": "b1.gcode", "path": "b1.gcode", "origin": "local", "size": 944}
RUNAWAY = "Thermal Runaway, system stopped! Heater_ID: bed - Printer halted. kill() called!"
BY_HAND = "Closing serial port due to emergency stop M112."
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
WORDS = st.sampled_from([*octoprint.STATES, *octoprint.AWAY, *octoprint.ENDS, "local", "Offline"])
PARTS = st.dictionaries(
    st.sampled_from(["text", "error", "file", "completion", "temps", "tool0", "path", "origin",
                     "type", "payload", "state_id", "count", "actual"]),
    JSON | WORDS,
)  # fmt: skip
MESSAGES = st.dictionaries(
    st.sampled_from(["current", "history", "event", "state", "job", "progress", "temps"]),
    JSON | PARTS | st.dictionaries(st.sampled_from(["state", "job", "progress", "temps", "type",
                                                    "payload"]), JSON | PARTS | WORDS),
)  # fmt: skip


def current(text: str, *, error: str = "", file: Any = FILE, **more: Any) -> dict[str, Any]:
    """The whole state, as it is pushed."""
    data = {"state": {"text": text, "error": error, "flags": {}}, "job": {"file": file or {}}}
    return {"current": {**data, "progress": {}, "temps": [], **more}}


def event(kind: str, **payload: Any) -> dict[str, Any]:
    """An event."""
    return {"event": {"type": kind, "payload": payload or None}}


def after(*messages: dict[str, Any]) -> View:
    """The view when these were said."""
    view = View()
    for message in messages:
        view = octoprint.folded(view, message)
    return view


@pytest.mark.parametrize(
    ("word", "execution", "phase"),
    [
        ("Operational", Execution.READY, Phase.NONE),
        ("Starting", Execution.ACTIVE, Phase.STARTING),
        ("Starting print from SD", Execution.ACTIVE, Phase.STARTING),
        ("Printing", Execution.ACTIVE, Phase.RUNNING),
        ("Printing from SD", Execution.ACTIVE, Phase.RUNNING),
        ("Pausing", Execution.ACTIVE, Phase.RUNNING),
        ("Paused", Execution.INTERRUPTED, Phase.HELD),
        ("Resuming", Execution.ACTIVE, Phase.STARTING),
        ("Finishing", Execution.ACTIVE, Phase.RUNNING),
        ("Cancelling", Execution.ACTIVE, Phase.RUNNING),
        ("Sending file to SD", Execution.ACTIVE, Phase.NONE),
        ("Error", Execution.STOPPED, Phase.NONE),
        ("Offline after error", Execution.STOPPED, Phase.NONE),
        ("Unknown State (42)", Execution.UNAVAILABLE, Phase.UNKNOWN),
    ],
)
def test_its_words_are_mtconnects(word: str, execution: Execution, phase: Phase) -> None:
    view = after(current(word))
    status = octoprint_view.status_of(view)
    assert (status.availability, status.execution) == (Availability.AVAILABLE, execution)
    assert octoprint_view.job_of(view).phase is phase


@pytest.mark.parametrize(
    "word", ["Offline", "Closed", "Opening serial connection", "Connecting", "OPEN_SERIAL"]
)
def test_without_its_printer_it_is_not_available(word: str) -> None:
    view = after(current(word.replace("_", " ")))
    assert octoprint.away(view)
    assert octoprint_view.status_of(view).availability is Availability.UNAVAILABLE


def test_an_error_keeps_the_firmwares_words_and_is_no_stop_by_hand() -> None:
    view = after(
        event("PrintStarted", **FILE),
        event("PrinterStateChanged", state_id="ERROR", state_string="Error"),
        event("Error", error=RUNAWAY, reason="firmware"),
        event("EStop"),
        event("PrinterStateChanged", state_id="OFFLINE", state_string="Offline"),
        event("PrintFailed", **FILE, time=1.5, reason="error", error=RUNAWAY),
        current("Offline after error", error=RUNAWAY, file=None),
    )
    status = octoprint_view.status_of(view)
    assert status.execution is Execution.STOPPED
    assert status.emergency_stop is EmergencyStop.ARMED
    fault = status.conditions[0]
    assert (fault.level, fault.type, fault.text) == (ConditionLevel.FAULT, "TEMPERATURE", RUNAWAY)
    found = octoprint_view.job_of(view)
    assert (found.file_name, found.phase, found.text) == ("b1.gcode", Phase.FAILED, RUNAWAY)


def test_a_port_closed_by_the_stop_is_triggered() -> None:
    view = after(current("Offline after error", error=BY_HAND, file=None))
    assert octoprint_view.status_of(view).emergency_stop is EmergencyStop.TRIGGERED
    assert octoprint_view.halted_by_stop(view)
    again = octoprint.folded(octoprint.unstopped(after(event("EStop"))), current("Operational"))
    assert not octoprint_view.halted_by_stop(again)


def test_a_print_is_done_when_octoprint_is_through_with_it() -> None:
    done = event("PrintDone", **FILE, time=1.3)
    view = after(current("Printing"), event("PrinterStateChanged", state_id="FINISHING"), done)
    assert octoprint_view.job_of(view).phase is Phase.RUNNING
    view = octoprint.folded(view, current("Operational"))
    found = octoprint_view.job_of(view)
    assert (found.phase, found.seconds) == (Phase.COMPLETED, 1.3)
    view = octoprint.folded(view, event("FileSelected", **FILE))
    assert octoprint_view.job_of(view).phase is Phase.NONE


def test_a_cancelled_print_is_told_as_failed_too_and_stays_cancelled() -> None:
    view = after(
        current("Cancelling"),
        event("PrintCancelled", **FILE, time=3.5, reason="cancelled"),
        event("PrintFailed", **FILE, time=3.5, reason="cancelled"),
        current("Operational"),
    )
    assert octoprint_view.job_of(view).phase is Phase.CANCELLED


def test_a_file_on_the_printers_own_card_is_never_taken_for_ours() -> None:
    view = after(current("Printing from SD", file={**FILE, "origin": "sdcard"}))
    assert octoprint_view.job_of(view).file_name == "sdcard:b1.gcode"
    assert after(event("PrintStarted", **{**FILE, "origin": "sdcard"})).file_name == ""


def test_readings_have_canonical_names_and_what_is_missing_is_absent() -> None:
    heaters = {"actual": 59.7, "target": 60.0}
    none = {"actual": None, "target": None}
    view = after(
        current(
            "Printing",
            temps=[
                {"time": 1, "tool0": {"actual": 1.0, "target": 2.0}},
                {"time": 2, "tool0": heaters, "tool1": heaters, "bed": none, "chamber": none},
            ],
            progress={"completion": 21.2, "printTime": 4},
            resends={"count": 3},
        )
    )
    assert view.readings == {
        "temperature.hotend0.actual_c": 59.7,
        "temperature.hotend0.target_c": 60.0,
        "temperature.hotend1.actual_c": 59.7,
        "temperature.hotend1.target_c": 60.0,
        "progress_pct": 21.2,
        "comm.resends": 3.0,
    }
    assert all(unit_of(name) for name in view.readings)
    assert octoprint_view.tools_in(view) == ["tool0", "tool1"]
    assert octoprint.folded(view, current("Printing", progress={"completion": 21.2, "printTime": 4},
                                          resends={"count": 3})) == view  # fmt: skip


def test_both_frames_of_sockjs_are_read_and_nonsense_is_nothing() -> None:
    message = event("EStop")
    assert octoprint.unwrapped(json.dumps(message)) == [message]
    assert octoprint.unwrapped("a" + json.dumps([message, json.dumps(message)])) == [message] * 2
    for text in ("o", "h", 'c[3000,"Go away!"]', "", "a", "a[1,null]", "[" * 100_000, "\x00"):
        assert octoprint.unwrapped(text) == []


def test_a_passive_login_gives_the_first_message() -> None:
    assert json.loads(octoprint.auth({"name": "_api", "session": "ABC"})) == {"auth": "_api:ABC"}
    assert octoprint.auth({"name": None, "session": "ABC"}) == ""


def test_the_history_of_a_file_says_how_its_last_print_ended() -> None:
    done = {"prints": {"last": {"success": True, "printTime": 1.5}}}
    found = octoprint_view.last_print(done, "b1.gcode")
    assert found is not None
    assert (found.phase, found.seconds) == (Phase.COMPLETED, 1.5)
    failed = octoprint_view.last_print({"prints": {"last": {"success": False}}}, "b1.gcode")
    assert failed is not None
    assert failed.phase is Phase.FAILED
    assert octoprint_view.last_print({"prints": {}}, "b1.gcode") is None


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.text())
def test_whatever_it_says_nothing_is_raised(messages: list[dict[str, Any]], text: str) -> None:
    octoprint.unwrapped(text)
    view = View()
    for message in messages:
        view = octoprint.folded(view, message)
        view = octoprint.looked(view, message)
        octoprint_view.job_of(view)
        status = octoprint_view.status_of(view)
        assert status.execution in Execution

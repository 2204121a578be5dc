"""From the end of a run to what the core is told of it."""

import pytest

from device_bridge.journal import BuildState
from device_bridge.outcomes import ending
from device_bridge.protocols import DeviceStatus, RunResult
from device_bridge.work import Work

WORK = Work(build_id="b1", node_id="n1", epoch=1, digest="ab", size=1, density_mg_per_mm3=1.24)
MEASURED = {"duration_ms": 5, "energy_j": 7, "energy_source": "none"}


def result(outcome: str, *, lines_done: int) -> RunResult:
    return RunResult(
        outcome=outcome,
        lines_done=lines_done,
        lines_total=9,
        material_mm3=100,
        reason="MACHINE_HALTED",
        native_text="Error:Printer halted",
    )


@pytest.mark.parametrize(
    ("outcome", "report", "state"),
    [
        ("finished", "FinishBuild", BuildState.FINISHED),
        ("failed", "FailBuild", BuildState.FAILED),
        ("cancelled", "ConfirmCancelled", BuildState.CANCELLED),
        ("unknown", "ReportOutcomeUnknown", BuildState.UNKNOWN),
    ],
)
def test_an_end_that_was_seen_is_told(outcome: str, report: str, state: BuildState) -> None:
    end = ending(WORK, result(outcome, lines_done=3), measured=MEASURED, status=DeviceStatus())
    assert (end.report[0], end.state) == (report, state)
    assert end.facts["material_mg"] == 124


@pytest.mark.parametrize("outcome", ["failed", "cancelled", "unknown"])
def test_bytes_that_no_acknowledgement_came_for_leave_a_question(outcome: str) -> None:
    end = ending(WORK, result(outcome, lines_done=0), measured=MEASURED, status=DeviceStatus())
    assert (end.report[0], end.state) == ("ReportOutcomeUnknown", BuildState.UNKNOWN)
    assert end.report[1]["facts"]["native_text"] == "Error:Printer halted"

"""Names, units and the specification's six metrics."""

import pytest

from domain.telemetry.channels import flat_metrics, unit_of


@pytest.mark.parametrize(
    ("channel", "unit"),
    [
        ("temperature.hotend0.actual_c", "°C"),
        ("temperature.chamber.target_c", "°C"),
        ("position.x_mm", "mm"),
        ("feedrate_mm_s", "mm/s"),
        ("vibration_mm_s2", "mm/s²"),
        ("comm.resends", "count"),
        ("coolant.flow_mm_s", "mm/s"),
        ("arm.joint3.current_a", "A"),
        ("dwell_ms", "ms"),
        ("whatever", ""),
    ],
)
def test_a_channel_says_its_unit(channel: str, unit: str) -> None:
    assert unit_of(channel) == unit


def test_the_six_metrics_are_a_view_in_documented_units() -> None:
    newest = {
        "temperature.hotend0.actual_c": 210.0,
        "temperature.bed.actual_c": 60.0,
        "power_w": 1500.0,
        "material_remaining_g": 2500.0,
        "progress_pct": 67.3,
        "vibration_mm_s2": 0.3,
        "quality_score": 0.95,
    }
    assert flat_metrics(newest) == {
        "temperature": 210.0,
        "vibration": 0.3,
        "power_consumption": 1.5,
        "material_remaining": 2.5,
        "progress": 67.3,
        "quality_score": 0.95,
    }


def test_what_nothing_measures_is_absent_and_never_zero() -> None:
    assert set(flat_metrics({}).values()) == {None}


def test_without_a_hot_end_the_hottest_measured_part_speaks() -> None:
    newest = {"temperature.bed.actual_c": 60.0, "temperature.spindle.actual_c": 71.5}
    assert flat_metrics({**newest, "temperature.bed.target_c": 110.0})["temperature"] == 71.5

"""What is wrong with heat, from readings alone."""

import pytest

from device_bridge.safety.heat_checks import HeatChecks
from device_bridge.safety.policy import SafetyPolicy

HOT = "temperature.hotend0"


def checks(**values: float) -> HeatChecks:
    policy = SafetyPolicy(**values)  # type: ignore[arg-type]
    return HeatChecks(lambda: policy)


def feed(
    watch: HeatChecks, *readings: tuple[float, float, float], building: bool = True
) -> list[str]:
    """``(second, actual, target)``; the codes found, in order."""
    return [
        finding.code
        for now, actual, target in readings
        for finding in watch.take(
            {f"{HOT}.actual_c": actual, f"{HOT}.target_c": target}, now, building=building
        )
    ]


def test_a_heater_that_does_not_get_warmer_is_found_once() -> None:
    watch = checks(effect_s=60)
    readings = [(float(second), 25.0, 200.0) for second in range(0, 200, 5)]
    assert feed(watch, *readings) == ["HEAT_NO_EFFECT"]


def test_a_slow_heater_has_an_effect_all_the_same() -> None:
    watch = checks(effect_s=60)
    rising = [(float(second), 25.0 + second / 20, 100.0) for second in range(0, 1200, 5)]
    assert feed(watch, *rising) == []


def test_heat_that_falls_far_below_its_target_in_mid_build_is_found() -> None:
    watch = checks(effect_s=60)
    falling = [(float(second), 200.0 - second, 200.0) for second in range(0, 120, 2)]
    assert feed(watch, (-1.0, 200.0, 200.0), *falling) == ["HEAT_NO_EFFECT"]


def test_a_rise_beyond_the_target_is_a_runaway() -> None:
    watch = checks()
    rising = [(float(second), 195.0 + second, 200.0) for second in range(60)]
    assert feed(watch, *rising) == ["HEAT_RUNAWAY"]


def test_a_heater_that_warms_up_although_it_is_off_is_a_runaway() -> None:
    watch = checks()
    assert feed(watch, *[(float(s), 25.0 + s, 0.0) for s in range(100)]) == ["HEAT_RUNAWAY"]


def test_cooling_down_to_a_lower_target_is_none() -> None:
    watch = checks()
    falling = [(float(second), 240.0 - second, 150.0) for second in range(90)]
    assert feed(watch, (-1.0, 240.0, 240.0), *falling) == []


def test_one_hot_reading_after_a_gap_is_none() -> None:
    watch = checks()
    readings = [(0.0, 21.0, 0.0), (1.0, 116.0, 0.0), (2.0, 112.0, 0.0), (3.0, 108.0, 0.0)]
    assert feed(watch, *readings) == []


def test_a_nozzle_above_a_hot_bed_is_none() -> None:
    watch = checks()
    assert feed(watch, *[(float(s), 21.0 + s / 2, 0.0) for s in range(100)]) == []


def test_readings_whose_target_nobody_has_told_yet_accuse_nobody() -> None:
    watch = checks()
    for second in range(100):
        assert watch.take({f"{HOT}.actual_c": 100.0 + second}, second, building=True) == []


def test_a_heated_sensor_that_falls_silent_is_stale_then_blind() -> None:
    watch = checks()
    feed(watch, *[(float(second), 200.0, 200.0) for second in range(60)])
    assert watch.tick(62.0) == []
    assert [finding.code for finding in watch.tick(65.0)] == ["SENSOR_STALE"]
    assert watch.tick(66.0) == []
    (blind,) = watch.tick(130.0)
    assert (blind.code, blind.action) == ("HEAT_BLIND", "cool")
    feed(watch, (131.0, 200.0, 200.0))
    assert watch.codes == set()


def test_a_cold_machine_may_be_silent() -> None:
    watch = checks()
    feed(watch, *[(float(second), 21.0, 0.0) for second in range(60)], building=False)
    assert watch.tick(1000.0) == []


def test_a_sensor_that_is_silent_since_a_build_began_is_warned_of_at_least() -> None:
    watch = checks()
    feed(watch, (0.0, 21.0, 0.0))
    found = [finding.code for second in range(200) for finding in watch.tick(float(second))]
    assert found == ["SENSOR_STALE"]


def test_a_change_of_pace_at_the_end_of_a_build_is_no_silence() -> None:
    watch = checks()
    feed(watch, *[(float(second), 60.0, 60.0) for second in range(60)])
    feed(watch, (60.0, 60.0, 60.0), building=False)
    assert watch.tick(69.0) == []


def test_heat_without_a_build_is_warned_of_then_ended_and_ended_again() -> None:
    watch = checks(idle_heat_s=600)
    readings = [(float(second), 200.0, 200.0) for second in range(0, 1300, 10)]
    found = feed(watch, *readings, building=False)
    assert found == ["HEAT_UNOWNED", "HEAT_LEFT_ON", "HEAT_LEFT_ON"]
    feed(watch, (1400.0, 190.0, 0.0), building=False)
    assert watch.codes == set()


def test_a_spindle_without_a_build_is_ended_too() -> None:
    watch = checks(idle_heat_s=60)
    found = [
        finding.code
        for second in range(70)
        for finding in watch.take({"spindle_rpm": 800.0}, second, building=False)
    ]
    assert found == ["HEAT_UNOWNED", "HEAT_LEFT_ON"]


@pytest.mark.parametrize("building", [True, False])
def test_heat_that_a_lost_build_left_behind_is_ended_at_once(building: bool) -> None:
    watch = checks()
    feed(watch, (0.0, 200.0, 200.0), building=building)
    watch.orphan()
    readings = [(1.0, 200.0, 200.0), (2.0, 200.0, 200.0)]
    assert feed(watch, *readings, building=False) == ["HEAT_LEFT_ON"]

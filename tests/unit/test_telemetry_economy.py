"""At rest a bridge tells what moved; while a build runs, everything."""

from device_bridge.telemetry.economy import HEARTBEAT_MS, Economy
from tests.telemetry import HOT_END, NOON


def told(economy: Economy, *, after: int = 0, building: bool = False, **metrics: float) -> set[str]:
    return set(economy.worth(metrics, at=NOON + after, building=building))


def test_while_a_build_runs_every_reading_is_told() -> None:
    economy = Economy()
    for second in range(5):
        assert told(economy, after=second * 1000, building=True, power_w=90.0) == {"power_w"}


def test_at_rest_what_stands_still_is_told_again_only_after_the_heartbeat() -> None:
    economy = Economy()
    heard = [told(economy, after=at, power_w=90.0) for at in range(0, 2 * HEARTBEAT_MS + 1, 1000)]
    assert [bool(each) for each in heard].count(True) == 3


def test_at_rest_what_creeps_is_told_when_it_has_left_its_band() -> None:
    economy = Economy()
    temperatures = [25.0, 25.1, 25.15, 25.3, 25.35, 25.1, 25.05]
    heard = [
        value
        for number, value in enumerate(temperatures)
        if economy.worth({HOT_END: value}, at=NOON + number * 1000, building=False)
    ]
    assert heard == [25.0, 25.3, 25.05]


def test_a_channel_without_a_band_is_told_whenever_it_differs() -> None:
    economy = Economy()
    assert told(economy, progress_pct=1.0)
    assert not told(economy, after=1, progress_pct=1.0)
    assert told(economy, after=2, progress_pct=1.0001)


def test_no_number_and_a_clock_that_was_set_back_silence_nothing() -> None:
    economy = Economy()
    assert told(economy, power_w=1.0)
    assert told(economy, after=1, power_w=float("nan"))
    assert told(economy, after=2, power_w=1.0)
    assert told(economy, after=-3_600_000, power_w=1.0)

"""The physics of virtual machines: heat, motion, power; and their faults and counts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bridge.errors import DeviceError
from device_bridge.virtual.body import ELECTRONICS_W, Body, arc_mm
from device_bridge.virtual.faults import FaultPlan
from device_bridge.virtual.heat import AMBIENT_C, bed, hotend
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.motion import Planner


def test_a_hot_end_takes_about_a_minute_to_200_degrees_and_holds_it() -> None:
    heater = hotend()
    heater.set_target(200.0, 0.0)
    assert 50 < heater.reached_at() < 90
    assert heater.temperature(30.0) < 190
    assert heater.temperature(heater.reached_at() + 1) == pytest.approx(200.0)
    assert heater.duty(10.0) == 1.0
    assert 0.3 < heater.duty(500.0) < 0.6


def test_a_heater_that_is_off_cools_to_the_room_and_uses_nothing() -> None:
    heater = bed()
    heater.set_target(60.0, 0.0)
    heater.set_target(0.0, 600.0)
    used = heater.energy_j(600.0)
    assert heater.temperature(700.0) < 60
    assert heater.temperature(10_000.0) == pytest.approx(AMBIENT_C)
    assert heater.energy_j(10_000.0) == used


@given(
    st.lists(st.tuples(st.floats(0.1, 500), st.floats(0, 280)), min_size=1, max_size=12),
    st.floats(0, 100),
)
def test_temperature_stays_physical_and_energy_never_falls(
    changes: list[tuple[float, float]], rest: float
) -> None:
    heater = hotend()
    now, used = 0.0, 0.0
    for wait, target in [*changes, (rest + 0.1, 0.0)]:
        now += wait
        assert AMBIENT_C - 0.1 <= heater.temperature(now) <= heater.limit_c
        assert heater.energy_j(now) >= used - 1e-6
        used = heater.energy_j(now)
        heater.set_target(target, now)
        assert heater.energy_j(now) == pytest.approx(used)


def test_a_planner_runs_its_moves_one_after_the_other_as_fast_as_it_is_sped_up() -> None:
    planner = Planner(slots=2, speed=10.0)
    planner.add((10.0, 0.0, 0.0), seconds=1.0, now=0.0)
    planner.add((10.0, 20.0, 0.0), seconds=2.0, now=0.0)
    assert planner.free(0.0) == 0
    assert planner.position(0.05) == pytest.approx((5.0, 0.0, 0.0))
    assert planner.free(0.11) == 1
    assert planner.position(0.2) == pytest.approx((10.0, 10.0, 0.0))
    assert planner.idle(0.31)
    assert planner.position(1.0) == (10.0, 20.0, 0.0)


def test_a_stopped_planner_stays_where_it_was() -> None:
    planner = Planner(slots=4, speed=1.0)
    planner.add((10.0, 0.0, 0.0), seconds=10.0, now=0.0)
    planner.stop(4.0)
    assert planner.position(100.0) == pytest.approx((4.0, 0.0, 0.0))
    assert planner.moving_s == pytest.approx(4.0)


def test_power_and_energy_of_a_resting_machine_are_its_electronics() -> None:
    now = [0.0]
    body = Body(lambda: now[0], speed=100.0, heaters={"hotend0": hotend()}, slots=4)
    now[0] = 10.0
    assert body.power_w() == ELECTRONICS_W
    assert body.energy_j() == pytest.approx(10 * ELECTRONICS_W)


def test_a_sped_up_part_takes_the_energy_of_the_real_one() -> None:
    used = []
    for speed in (1.0, 50.0):
        now = [0.0]
        body = Body(lambda now=now: now[0], speed=speed, heaters={"bed": bed()}, slots=4)
        body.heat("bed", 60.0)
        now[0] = 1000.0 / speed
        used.append(body.energy_j() - ELECTRONICS_W * now[0])
    assert used[0] == pytest.approx(used[1])


@pytest.mark.parametrize(
    ("stop", "length"), [((0.0, 2.0, 0.0), 3.14159), ((0.0, 0.0, 0.0), 6.28318)]
)
def test_an_arc_is_as_long_as_it_is(stop: tuple[float, float, float], length: float) -> None:
    assert arc_mm((0.0, 0.0, 0.0), stop, (0.0, 1.0)) == pytest.approx(length, abs=1e-4)


def test_a_fault_strikes_where_and_as_often_as_planned() -> None:
    plan = FaultPlan([{"kind": "checksum", "at_line": 5, "every": 10, "times": 2}])
    struck = [line for line in range(1, 60) if plan.strike("checksum", line)]
    assert struck == [5, 15]
    assert not plan.strike("thermal", 100)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(DeviceError, match="earthquake"):
        FaultPlan([{"kind": "earthquake", "at_line": 1}])


def test_a_physical_start_is_counted_once_between_handshakes(tmp_path: Path) -> None:
    ended: list[int] = []
    ledger = Ledger(tmp_path / "m.json", ended=lambda: ended.append(1))
    ledger.moved()
    ledger.moved()
    ledger.finished(3.0)
    ledger.finished(3.0)
    assert (ledger.counts.starts, ledger.counts.ends, ended) == (1, 1, [1])
    ledger.moved()
    again = Ledger(tmp_path / "m.json", ended=lambda: None)
    assert (again.counts.starts, again.counts.ends) == (2, 1)

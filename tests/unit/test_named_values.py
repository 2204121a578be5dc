"""Maps of named values: what they say, what is refused, what becomes of the values."""

import pytest

from device_bridge.dialects.named_values import Named, NamedValues, Value, named, states
from domain.node.states import Availability, EmergencyStop, Execution
from domain.shared.errors import InvalidInputError

FULL = "availability=a,execution=e,emergency_stop=s,fault=f,power_w=p|1000"


def folded(map: str, said: dict[str, Value], words: str = "") -> NamedValues:
    entries = named(map)
    values = NamedValues(entries, states=states(words))
    values.fold((entry, said[entry.place]) for entry in entries if entry.place in said)
    return values


def test_a_place_may_hold_equals_signs_and_a_line_ends_an_entry() -> None:
    assert named("power_w=ns=2;s=P|1000,\n x_c=ns=2;i=5\n") == (
        Named(name="power_w", place="ns=2;s=P", scale=1000.0),
        Named(name="x_c", place="ns=2;i=5"),
    )


@pytest.mark.parametrize(
    "map", ["power=p", "power_w", "power_w=", "power_w=p|x", "power_w=p|inf", "x_c=a,x_c=b"]
)
def test_an_unclear_map_is_refused(map: str) -> None:
    with pytest.raises(InvalidInputError):
        named(map)


@pytest.mark.parametrize("text", ["ACTIVE", ":ACTIVE", "1:DANCING", "1"])
def test_an_unclear_table_of_states_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        states(text)


def test_readings_are_scaled_and_what_is_no_number_is_absent() -> None:
    values = NamedValues(named(FULL), states={})
    power = Named(name="power_w", place="p", scale=1000.0)
    assert values.fold([(power, 1.5)]) == ({"power_w": 1500.0}, set())
    assert values.fold([(power, " 2 ")]) == ({"power_w": 2000.0}, set())
    for wrong in (None, "warm", "", "nan", float("inf")):
        assert values.fold([(power, 1.0), (power, wrong)]) == ({}, {"power_w"})


@pytest.mark.parametrize(
    ("word", "execution"),
    [
        ("1", Execution.ACTIVE),
        (1, Execution.ACTIVE),
        ("FEED_HOLD", Execution.FEED_HOLD),
        ("dancing", Execution.UNAVAILABLE),
        (None, Execution.UNAVAILABLE),
    ],
)
def test_the_machines_words_for_what_it_does_come_first(word: Value, execution: Execution) -> None:
    values = folded("execution=e", {"e": word}, "0:READY,1:ACTIVE")
    assert values.status().execution is execution


def test_a_sensor_that_says_nothing_of_a_state_is_ready() -> None:
    status = folded("power_w=p", {"p": 1.0}).status()
    assert (status.availability, status.execution) == (Availability.AVAILABLE, Execution.READY)


@pytest.mark.parametrize("away", ["offline", "UNAVAILABLE", False, None, 0])
def test_a_machine_that_is_said_to_be_away_is_unavailable(away: Value) -> None:
    said: dict[str, Value] = {"a": away, "e": "ACTIVE"}
    status = folded(FULL, said).status()
    assert (status.availability, status.execution) == (
        Availability.UNAVAILABLE,
        Execution.UNAVAILABLE,
    )


@pytest.mark.parametrize("here", ["online", "AVAILABLE", True, 1])
def test_a_fault_is_told_in_the_machines_words_and_a_stop_is_a_stop(here: Value) -> None:
    said: dict[str, Value] = {"a": here, "e": "STOPPED", "s": True, "f": "E471 oil low"}
    status = folded(FULL, said).status()
    assert status.emergency_stop is EmergencyStop.TRIGGERED
    assert [condition.text for condition in status.conditions] == ["E471 oil low"]
    for nothing in (None, "", 0, False, "none"):
        assert folded(FULL, {"a": here, "s": False, "f": nothing}).status().conditions == ()

"""SHDR lines, and the machine that they tell of."""

import pytest

from device_bridge.dialects.named_values import named
from device_bridge.dialects.shdr import Said, ShdrView, heartbeat_s, said
from domain.node.states import Availability, EmergencyStop, Execution

T = "2026-01-12T02:13:00Z"
CONDITIONS = frozenset({"system"})


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("* PONG 10000", 10.0),
        ("* PONG 250", 0.25),
        ("* PONG", None),
        ("* PONG x", None),
        (f"{T}|k|* PONG 1", None),
        ("* PONG 99999999999999999999", 999_999.999),
    ],
)
def test_a_pong_says_how_long_an_adapter_may_be_silent(line: str, seconds: float | None) -> None:
    assert heartbeat_s(line) == seconds


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"{T}|a|1|b|two words", [("a", "1"), ("b", "two words")]),
        (f"{T}@12.5|a|1|b", [("a", "1")]),
        (f"{T}|mill:a|1", [("a", "1")]),
        ("|a|x\\|y", [("a", "x|y")]),
        (f"{T}|@ASSET@|id|Tool|<a/>", []),
        ("* shdrVersion: 2", []),
        (T, []),
        ("", []),
        ("|||", [("", "")]),
    ],
)
def test_a_line_is_pairs_of_key_and_value(line: str, told: list[tuple[str, str]]) -> None:
    assert [(one.key, one.value) for one in said(line, CONDITIONS)] == told


def test_a_condition_stands_alone_on_its_line() -> None:
    line = f"{T}|mill:system|FAULT|E471|2|HIGH|oil low|more"
    assert said(line, CONDITIONS) == [
        Said(key="system", value="FAULT", rest=("E471", "2", "HIGH", "oil low"))
    ]


def test_a_machine_is_told_by_its_adapters_words() -> None:
    map = named("availability=avail,execution=exec,emergency_stop=estop,position.x_mm=x|25.4")
    view = ShdrView(map, conditions=CONDITIONS, states={})
    assert view.status().availability is Availability.UNAVAILABLE
    assert view.fold(f"{T}|avail|AVAILABLE|exec|ACTIVE|x|2|other|9") == (
        {"position.x_mm": pytest.approx(50.8)},
        set(),
    )
    assert view.status().execution is Execution.ACTIVE
    assert view.fold(f"{T}|x|UNAVAILABLE") == ({}, {"position.x_mm"})
    view.fold(f"{T}|estop|TRIGGERED|exec|UNAVAILABLE")
    assert view.status().emergency_stop is EmergencyStop.TRIGGERED
    assert view.status().execution is Execution.UNAVAILABLE
    view.fold(f"{T}|avail|UNAVAILABLE")
    assert view.status().availability is Availability.UNAVAILABLE


def test_conditions_are_raised_and_ended_by_their_codes() -> None:
    view = ShdrView(named("availability=avail"), conditions=CONDITIONS, states={})

    def told(text: str) -> list[tuple[str, str, str]]:
        view.fold(f"{T}|system|{text}")
        view.fold(f"{T}|avail|AVAILABLE")
        return [(c.level, c.code, c.text) for c in view.status().conditions]

    assert told("FAULT|E1|||door open") == [("FAULT", "E1", "door open")]
    assert told("WARNING|W2||HIGH|heat")[1] == ("WARNING", "W2", "HIGH heat")
    assert told("dancing|W2") == told("WARNING|W2||HIGH|heat")
    assert told("NORMAL|E1") == [("WARNING", "W2", "HIGH heat")]
    assert told("NORMAL") == []
    assert told("FAULT")[0][:2] == ("FAULT", "system")
    assert told("UNAVAILABLE") == []

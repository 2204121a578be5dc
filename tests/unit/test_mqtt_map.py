"""MQTT topics and what their messages say."""

import pytest

from device_bridge.dialects.mqtt import Topics
from device_bridge.dialects.named_values import Value, named
from domain.shared.errors import InvalidInputError

MAP = "power_w=press/watts,x_c=press/state#/t/0,execution=press/state#/a~1b/c~0d"


def said(topic: str, payload: bytes, map: str = MAP) -> dict[str, Value]:
    return {entry.name: value for entry, value in Topics(named(map)).said(topic, payload)}


def test_a_whole_payload_or_a_place_in_its_json_is_the_value() -> None:
    assert list(Topics(named(MAP))) == ["press/watts", "press/state"]
    assert said("press/watts", b" 115.5\n") == {"power_w": "115.5"}
    payload = b'{"t": [41.5, 2], "a/b": {"c~d": "run"}}'
    assert said("press/state", payload) == {"x_c": 41.5, "execution": "run"}


@pytest.mark.parametrize(
    ("payload", "values"),
    [
        (b'{"t": [1]}', {"x_c": 1}),
        (b'{"t": []}', {}),
        (b'{"t": {"0": 3}}', {"x_c": 3}),
        (b'{"t": [null], "a/b": 7}', {"x_c": None}),
        (b'{"t": [[1]]}', {"x_c": None}),
        (b"{", {}),
        (b"\xff\xfe", {}),
        (b"[" * 100_000, {}),
        (b"", {}),
    ],
    ids=["part", "short", "by name", "null", "list", "broken", "binary", "deep", "empty"],
)
def test_what_is_left_out_is_as_it_was_and_what_is_null_is_absent(
    payload: bytes, values: dict[str, Value]
) -> None:
    assert said("press/state", payload) == values
    assert said("another/topic", payload) == {}


@pytest.mark.parametrize("map", ["", "power_w=a/+/b", "power_w=a/#", "power_w=#/t", "x_c=a#t"])
def test_what_is_no_topic_is_refused(map: str) -> None:
    with pytest.raises(InvalidInputError):
        Topics(named(map))

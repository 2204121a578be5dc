"""What is a message of readings, and what is none."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry.channels import Quality
from domain.telemetry.messages import MalformedBatchError, read_batch
from projections.telemetry.chunks import PIECE_MS, decode, encode, pieces
from tests.telemetry import HOT_END, NODE, NOON, batch, told

ONE = (NOON, HOT_END, 210.0)
DAY = 86_400_000


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"node_id": "another"}, "WRONG_NODE"),
        ({"t": [NOON, NOON]}, "WRONG_SHAPE"),
        ({"t": "soon"}, "WRONG_SHAPE"),
        ({"t": [1.5]}, "WRONG_SHAPE"),
        ({"t": [10**30]}, "WRONG_SHAPE"),
        ({"v": ["hot"]}, "WRONG_SHAPE"),
        ({"c": [1]}, "WRONG_SHAPE"),
        ({"c": [-1]}, "WRONG_SHAPE"),
        ({"c": [999]}, "WRONG_SHAPE"),
        ({"q": [3]}, "WRONG_SHAPE"),
        ({"q": [0, 0]}, "WRONG_SHAPE"),
        ({"seq": -1}, "WRONG_SHAPE"),
        ({"seq": 1.0}, "WRONG_SHAPE"),
        ({"epoch": True}, "WRONG_SHAPE"),
        ({"epoch": 2**60}, "WRONG_SHAPE"),
        ({"gap": "many"}, "WRONG_SHAPE"),
        ({"build_id": "a\0b"}, "WRONG_SHAPE"),
        ({"build_id": 7}, "WRONG_SHAPE"),
        ({"channels": {}}, "BAD_CHANNEL"),
        ({"channels": ["'; DROP TABLE"]}, "BAD_CHANNEL"),
        ({"channels": ["a" * 81]}, "BAD_CHANNEL"),
        ({"channels": [7]}, "BAD_CHANNEL"),
        ({"channels": [HOT_END, HOT_END]}, "BAD_CHANNEL"),
        ({"channels": [f"c{n}" for n in range(257)]}, "BAD_CHANNEL"),
        ({"t": [NOON + 2 * DAY]}, "OUT_OF_TIME"),
        ({"t": [NOON - 400 * DAY]}, "OUT_OF_TIME"),
        ({"t": [NOON, NOON - 7 * DAY - 1], "c": [0, 0], "v": [1, 2]}, "OUT_OF_TIME"),
        ({"t": [NOON] * 10_001, "c": [0] * 10_001, "v": [1] * 10_001}, "TOO_MANY"),
    ],
)
def test_what_is_no_message_has_a_fault(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(MalformedBatchError) as refused:
        read_batch({**told([ONE]), **change}, node_id=NODE, received=NOON)
    assert refused.value.fault == fault


@pytest.mark.parametrize("message", [None, [], "text", 7, {}])
def test_what_is_no_object_or_lacks_everything_is_refused(message: object) -> None:
    with pytest.raises(MalformedBatchError):
        read_batch(message, node_id=NODE, received=NOON)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(told([ONE]) | {"q": 0, "gap": 0})), JSON))
def test_whatever_stands_in_a_message_it_is_read_or_refused(change: dict[str, Any]) -> None:
    try:
        found = read_batch({**told([ONE]), **change}, node_id=NODE, received=NOON)
    except MalformedBatchError:
        return
    assert len(found.t) == len(found.c) == len(found.v)
    decode(encode(found), begun=found.begun)


def test_a_value_that_is_no_number_is_kept_as_bad_and_never_as_zero() -> None:
    message = told([ONE, (NOON + 1, HOT_END, 211.0)], v=[None, 211.0])
    found = read_batch(message, node_id=NODE, received=NOON)
    assert (found.quality(0), found.quality(1)) == (Quality.BAD, Quality.GOOD)
    assert math.isnan(found.v[0])
    assert found.readings_of(HOT_END) == [(NOON + 1, 211.0)]


def test_a_message_may_tell_of_a_gap_alone() -> None:
    found = batch([], gap=12)
    assert (found.gap, len(found.t), found.begun) == (12, 0, NOON)


def test_a_message_of_many_hours_is_cut_by_the_hour_and_loses_nothing() -> None:
    readings = [(NOON - at * 1_000_000, HOT_END, float(at)) for at in range(20)]
    found = batch(readings, q=[0, 1] * 10)
    parts = pieces(found)
    assert len(parts) > 3
    assert all(part.ended - part.begun < PIECE_MS for part in parts)
    assert parts[0].begun == found.begun
    whole = sorted((at, v, q) for p in parts for at, v, q in zip(p.t, p.v, p.q or b"", strict=True))
    assert whole == sorted(zip(found.t, found.v, found.q or b"", strict=True))
    assert pieces(parts[0]) == [parts[0]]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
READINGS = st.lists(
    st.tuples(
        st.integers(NOON - 1_000_000, NOON + 1_000_000),
        st.sampled_from([f"c{number}" for number in range(40)]),
        FINITE,
    ),
    max_size=50,
)


@given(READINGS, st.booleans())
def test_a_chunk_gives_back_what_was_put_in(
    readings: list[tuple[int, str, float]], stale: bool
) -> None:
    found = batch(readings, **({"q": [1] * len(readings)} if stale else {}))
    columns = decode(encode(found), begun=found.begun)
    assert (columns.t, columns.c, columns.v) == (found.t, found.c, found.v)
    assert (columns.q or None) == (found.q or None)


@pytest.mark.parametrize("stored", [b"", b"\x01\x00\x01\x00\x00\x00", b"\x09" * 40])
def test_what_is_no_chunk_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="chunk"):
        decode(stored, begun=NOON)

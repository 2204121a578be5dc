"""One bit anywhere: a proof file with a changed content is never verified."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proving import Files, files, found_in, lines_in, sealed

EXAMPLES = 200
LONG_EXAMPLES = 3_000
PROVED = {"job": ("origin", "job_id"), "range": ("origin", "from", "to")}
"""What counts of a file's first line; the rest nobody can prove, nor uses."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def flip(data: bytes, draw: st.DataObject) -> tuple[bytes, int]:
    """The data with one bit changed, and where."""
    at = draw.draw(st.integers(0, len(data) - 1), label="byte")
    bit = draw.draw(st.integers(0, 7), label="bit")
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :], at


def event_at(data: bytes, at: int) -> tuple[int, bool] | None:
    """The event in whose line a byte lies, and whether the byte is of its sequence's digits."""
    start = data.rfind(b"\n", 0, at) + 1
    line = data[start : data.index(b"\n", start)]
    if not line.startswith(b'{"event"'):
        return None
    sequence = str(json.loads(line)["event"]["sequence"])
    digits = start + len('{"event":{"sequence":')
    return int(sequence), digits <= at < digits + len(sequence)


def check_flip(draw: st.DataObject, place: Path, name: str) -> None:
    original = getattr(files(), name)
    data, at = flip(original, draw)
    found = found_in(place, data)
    assert not found["verified"]
    hit = event_at(original, at)
    if hit and found["exit"] == 1 and (name == "whole" or not hit[1]):
        assert found["sequence"] in (hit[0], None)
        assert name == "job" or found["sequence"] == hit[0] or hit[0] == 1


def content(line: dict[str, Any]) -> Any:
    """What a line says."""
    return [line[name] for name in PROVED[line["kind"]]] if "kind" in line else line


def check_sealed_flip(draw: st.DataObject, place: Path, name: str) -> None:
    """Whoever flips the bit also writes a last line that fits."""
    original = getattr(files(), name)
    data, _ = flip(original[: original.rindex(b'{"end"')], draw)
    try:
        lines = lines_in(data)
    except ValueError:
        lines = []
    if lines and all(isinstance(line, dict) for line in lines):
        data = sealed([*lines, lines_in(original)[-1]])
        if found_in(place, data)["verified"]:
            before = [content(line) for line in lines_in(original)[:-1]]
            assert [content(line) for line in lines] == before


@pytest.mark.parametrize("name", ["job", "whole"])
@given(draw=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_flipped_bit_is_never_verified(draw: st.DataObject, place: Path, name: str) -> None:
    check_flip(draw, place, name)


@pytest.mark.parametrize("name", ["job", "failed", "stretch"])
@given(draw=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_nor_when_the_last_line_is_made_to_fit(draw: st.DataObject, place: Path, name: str) -> None:
    check_sealed_flip(draw, place, name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["job", "whole"])
@given(draw=st.data())
@settings(
    max_examples=LONG_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_many_flipped_bits_are_never_verified(draw: st.DataObject, place: Path, name: str) -> None:
    check_flip(draw, place, name)
    check_sealed_flip(draw, place, name)


def test_the_files_are_made_once() -> None:
    assert isinstance(files(), Files)
    assert files() is files()

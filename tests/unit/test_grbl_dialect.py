"""GRBL's words and character counting, without a port."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bridge.dialects import grbl
from device_bridge.dialects.grbl_stream import GrblStream
from device_bridge.dialects.lines import LineBuffer
from device_bridge.errors import DeviceRefusedError, SilentDeviceError, StreamBrokenError


def test_status_reports_of_the_recorded_sessions_are_read() -> None:
    report = grbl.parse("<Hold:1|MPos:4.300,0.000,0.000|Bf:99,1023|FS:324,0|WCO:0.000,0.000,0.000>")
    assert report == grbl.Status(
        state="Hold",
        substate=1,
        position=(4.3, 0.0, 0.0),
        planner_free=99,
        rx_free=1023,
        feed_mm_min=324.0,
        spindle_rpm=0.0,
    )
    assert not report.held
    held = grbl.parse("<Hold:0|MPos:5.512,0.000,0.000|Bf:99,1023|FS:162,0>")
    assert isinstance(held, grbl.Status)
    assert held.held


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("ok", grbl.Ok()),
        ("error:22", grbl.Refused(22)),
        ("ALARM:3", grbl.Alarm(3)),
        ("Grbl 1.1h ['$' for help]", grbl.Banner("Grbl 1.1h ['$' for help]")),
        ("[OPT:V,15,128]", grbl.Options("V", 15, 128)),
        ("[VER:1.1h.20190830:]", grbl.Version("1.1h.20190830:")),
        ("$32=1", grbl.Setting(32, "1")),
        ("[MSG:Caution: Unlocked]", grbl.Remark("[MSG:Caution: Unlocked]")),
    ],
)
def test_a_line_means_what_it_meant(line: str, meaning: grbl.Meaning) -> None:
    assert grbl.parse(line) == meaning


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), max_size=60))
def test_any_chunking_of_any_bytes_gives_the_same_meanings(data: bytes, sizes: list[int]) -> None:
    whole, pieces = LineBuffer(), LineBuffer()
    expected = [grbl.parse(line) for line in whole.feed(data + b"\n")]
    found, rest = [], data + b"\n"
    for size in [*sizes, len(rest)]:
        found += [grbl.parse(line) for line in pieces.feed(rest[:size])]
        rest = rest[size:]
    assert found == expected


@given(st.text(alphabet="<>|:,.-IdleRunHold0123456789MPosFSBfOverALARMok$=[]", max_size=60))
def test_no_damaged_line_raises(line: str) -> None:
    grbl.parse(line)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.lists(st.booleans(), max_size=200))
def test_the_receive_buffer_is_never_overrun_and_every_line_is_answered(
    lengths: list[int], answers: list[bool]
) -> None:
    stream = GrblStream()
    waiting = ["G" + "1" * (length - 1) for length in lengths]
    buffered: list[str] = []
    done: list[str] = []
    turns = [*answers, *[True] * len(lengths)]
    for answer in turns:
        while waiting and stream.fits(waiting[0]):
            buffered.append(waiting[0])
            stream.push(waiting.pop(0), 0.0)
        assert sum(len(line) + 1 for line in buffered) <= 127
        if answer and buffered:
            buffered.pop(0)
            taken = stream.received(grbl.Ok(), 0.0)
            assert taken is not None
            done.append(taken)
    assert [len(line) for line in done] == lengths
    assert stream.idle


def test_the_first_error_stops_the_stream_and_names_the_line() -> None:
    stream = GrblStream()
    stream.push("G1 Q9", 0.0)
    with pytest.raises(DeviceRefusedError, match=r"error:36.*G1 Q9"):
        stream.received(grbl.Refused(36), 0.1)


def test_a_lost_answer_is_never_guessed_at() -> None:
    stream = GrblStream()
    stream.push("G1 X1", 0.0)
    with pytest.raises(StreamBrokenError):
        for turn in range(10):
            stream.received(grbl.Status(state="Idle", substate=None), turn * 0.5)


def test_a_dwell_may_rest_as_long_as_it_says() -> None:
    stream = GrblStream()
    stream.push("G4 P8", 0.0)
    for turn in range(16):
        stream.received(grbl.Status(state="Idle", substate=None), turn * 0.5)


def test_a_machine_that_says_nothing_at_all_is_given_up() -> None:
    stream = GrblStream()
    stream.push("G1 X1", 0.0)
    stream.check(5.0)
    with pytest.raises(SilentDeviceError):
        stream.check(6.5)

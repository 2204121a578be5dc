"""Marlin's words and its line protocol, without a port."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bridge.dialects import marlin
from device_bridge.dialects.lines import LONGEST_LINE, LineBuffer
from device_bridge.dialects.marlin_stream import POKES, MarlinStream
from device_bridge.errors import SilentDeviceError, StreamBrokenError

TRANSCRIPT = [
    ("ok P15 B3", marlin.Ok(None, 15, 3)),
    ("ok N2 P15 B3", marlin.Ok(2, 15, 3)),
    ("ok", marlin.Ok()),
    ("echo:busy: processing", marlin.Busy("processing")),
    ("Error:checksum mismatch, Last", marlin.LineRefused("checksum mismatch, Last")),
    ("Resend: 3", marlin.Resend(3)),
    ("rs N3", marlin.Resend(3)),
    ("Error:Printer halted. kill() called!", marlin.Halted("Printer halted. kill() called!")),
    ("//action:poweroff", marlin.HostAction("poweroff")),
    ('echo:Unknown command: "M27"', marlin.UnknownCommand('"M27"')),
    ("Cap:EMERGENCY_PARSER:1", marlin.Capability("EMERGENCY_PARSER", True)),
    ("start", marlin.Started()),
    (
        "X:10.00 Y:0.00 Z:0.00 E:0.00 Count X:800 Y:0 Z:0",
        marlin.Position(10.0, 0.0, 0.0, 0.0, (800, 0, 0)),
    ),
    ("echo: cold extrusion prevented", marlin.Remark("echo: cold extrusion prevented")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "meaning"), TRANSCRIPT)
def test_a_line_of_the_recorded_session_means_what_it_meant(
    line: str, meaning: marlin.Meaning
) -> None:
    assert marlin.parse(line) == meaning


def test_a_temperature_report_is_read_alone_and_behind_an_ok() -> None:
    alone = marlin.parse(" T:25.54 /60.00 B:19.37 /0.00 @:127 B@:0")
    behind = marlin.parse("ok T:25.54 /60.00 B:19.37 /0.00 @:127 B@:0")
    expected = marlin.Temperatures({"hotend0": 25.54, "bed": 19.37}, {"hotend0": 60.0, "bed": 0.0})
    assert alone == expected
    assert behind == marlin.Ok(temperatures=expected)


def test_a_report_while_waiting_for_heat_says_so() -> None:
    report = marlin.parse(" T:50.94 /200.00 B:19.37 /0.00 @:80 B@:0 W:?")
    assert isinstance(report, marlin.Temperatures)
    assert report.waiting


def test_a_frame_carries_number_and_checksum() -> None:
    assert marlin.framed(3, "T0") == b"N3 T0*57\n"
    assert marlin.framed(1, "G21") == b"N1 G21*27\n"


@given(st.binary(max_size=3000), st.lists(st.integers(1, 50), max_size=80))
def test_any_chunking_of_any_bytes_gives_the_same_meanings(data: bytes, sizes: list[int]) -> None:
    whole, pieces = LineBuffer(), LineBuffer()
    expected = [marlin.parse(line) for line in whole.feed(data + b"\n")]
    found = []
    rest = data + b"\n"
    for size in [*sizes, len(rest)]:
        found += [marlin.parse(line) for line in pieces.feed(rest[:size])]
        rest = rest[size:]
    assert found == expected


@given(st.text(alphabet="okResnd:NPBTX0123456789 ./-@", max_size=40))
def test_no_damaged_line_raises(line: str) -> None:
    marlin.parse(line)


def test_noise_without_end_is_dropped_and_the_next_line_is_heard() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"x" * (3 * LONGEST_LINE)) == []
    assert buffer.feed(b"x\nok\n") == ["ok"]


class Firmware:
    """A minimal Marlin: takes numbered lines, refuses damaged ones, flushes its input."""

    def __init__(
        self,
        *,
        numbered: bool,
        terse: bool,
        damaged: set[int],
        lost: set[int],
        doubled: set[int],
    ) -> None:
        self._terse = terse
        self.executed: list[str] = []
        self._numbered = numbered
        self._damaged = damaged
        self._lost = lost
        self._doubled = doubled
        self._input: list[bytes] = []
        self._last = self._frames = self._replies = 0

    def take(self, data: bytes) -> None:
        self._input += data.splitlines()

    def work(self, at_most: int) -> list[str]:
        said: list[str] = []
        while self._input and at_most > 0:
            at_most -= 1
            before = len(self.executed)
            said += self._one(self._input.pop(0).decode())
            if self._replies in self._doubled and len(self.executed) > before:
                said.append("ok")  # as after M108
        return [line for line in said if line]

    def _one(self, frame: str) -> list[str]:
        self._frames += 1
        match = re.fullmatch(r"N(\d+) (.*)\*(\d+)", frame)
        assert match is not None
        if self._frames in self._damaged or int(match[1]) != self._last + 1:
            self._input.clear()
            refusal = ["Error:checksum mismatch", f"Resend: {self._last + 1}"]
            return refusal if self._terse else [*refusal, self._ok("ok")]
        self._last += 1
        self.executed.append(match[2])
        return [self._ok(f"ok N{self._last} P15 B3" if self._numbered else "ok")]

    def _ok(self, text: str) -> str:
        self._replies += 1
        return "" if self._replies in self._lost else text


def apart(numbers: set[int]) -> set[int]:
    """No two in a row: a machine of which three answers are lost at a stretch is silent."""
    return {number for number in numbers if number - 1 not in numbers}


@settings(max_examples=400)
@given(
    st.integers(1, 30),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(1, 40), max_size=12),
    st.sets(st.integers(1, 40), max_size=12).map(apart),
    st.sets(st.integers(1, 40), max_size=3),
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4)), min_size=1, max_size=10),
)
def test_every_line_is_executed_once_and_in_order_whatever_is_damaged_lost_doubled_or_late(
    count: int,
    numbered: bool,
    terse: bool,
    damaged: set[int],
    lost: set[int],
    doubled: set[int],
    paces: list[tuple[int, int]],
) -> None:
    commands = [f"G1 X{number}" for number in range(count)]
    firmware = Firmware(numbered=numbered, terse=terse, damaged=damaged, lost=lost, doubled=doubled)
    stream = MarlinStream(window=3 if numbered else 1, reply_s=1.0)
    rhythm = [pace for late, work in paces for pace in (*[0] * late, work)]
    now, pushed = 0.0, 0
    acknowledged: list[str] = []
    quiet = 0
    for step in range(3000):
        while stream.wants_more() and pushed < count:
            stream.push(commands[pushed], now)
            pushed += 1
            firmware.take(stream.outgoing(now))
        firmware.take(stream.outgoing(now))
        said = firmware.work(rhythm[step % len(rhythm)])
        for line in said:
            acknowledged += [sent.command for sent in stream.received(marlin.parse(line), now)]
        quiet = 0 if said or not stream.idle else quiet + 1
        if pushed == count and quiet > 2 * len(rhythm):
            break
        now += 0.001
        if not said and (due := stream.deadline()) is not None:
            now = max(now, due)
            firmware.take(stream.overdue(now))
    assert firmware.executed == commands
    assert acknowledged == commands


def test_the_ok_after_a_resend_acknowledges_nothing() -> None:
    stream = MarlinStream()
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    for line in ("Error:checksum mismatch, Last Line: 0", "Resend: 1", "ok"):
        assert stream.received(marlin.parse(line), 0.1) == []
    assert stream.outgoing(0.1) == marlin.framed(1, "G1 X1")
    assert [sent.number for sent in stream.received(marlin.Ok(), 0.2)] == [1]


def test_a_busy_machine_is_not_poked() -> None:
    stream = MarlinStream(reply_s=6.0)
    stream.push("G28", 0.0)
    stream.outgoing(0.0)
    for second in range(2, 60, 2):
        stream.received(marlin.Busy("processing"), float(second))
        assert stream.overdue(float(second) + 1.9) == b""


def test_a_machine_that_never_answers_is_given_up() -> None:
    stream = MarlinStream(reply_s=1.0)
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    now = 0.0
    for _ in range(POKES):
        now += 1.1
        assert stream.overdue(now) == marlin.framed(1, "G1 X1")
    with pytest.raises(SilentDeviceError):
        stream.overdue(now + 1.1)


def test_a_machine_that_asks_for_one_line_for_ever_is_given_up() -> None:
    stream = MarlinStream()
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    with pytest.raises(StreamBrokenError):
        for _ in range(20):
            stream.received(marlin.Resend(1), 0.0)
            stream.outgoing(1.0)


def test_a_late_refusal_of_a_repeated_line_does_not_start_an_endless_repetition() -> None:
    stream = MarlinStream(reply_s=1.0)
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    assert stream.overdue(1.5)  # the machine is only slow: line 1 is now twice on the wire
    assert [sent.number for sent in stream.received(marlin.Ok(), 1.6)] == [1]
    stream.push("G1 X2", 1.6)
    assert stream.outgoing(1.6) == marlin.framed(2, "G1 X2")
    for line in ("Error:Line Number is not Last Line Number+1", "Resend: 2", "ok"):
        stream.received(marlin.parse(line), 1.61)
    assert stream.outgoing(1.62) == b""  # line 2 may have been taken: wait and see
    assert [sent.number for sent in stream.received(marlin.Ok(), 1.63)] == [2]
    assert stream.outgoing(9.0) == b""

"""Lines without numbers, and what firmware of the RepRap family says."""

import pytest

from device_bridge.dialects import marlin
from device_bridge.dialects.plain_stream import PlainStream
from device_bridge.errors import SilentDeviceError, StreamBrokenError


def test_one_line_is_in_flight_and_an_ok_takes_it() -> None:
    stream = PlainStream()
    stream.push("G1 X1", 0.0)
    assert stream.outgoing(0.0) == b"G1 X1\n"
    assert stream.outgoing(0.1) == b""
    assert not stream.wants_more()
    assert [sent.command for sent in stream.received(marlin.Ok(), 0.2)] == ["G1 X1"]
    assert stream.idle
    assert stream.received(marlin.Ok(), 0.3) == []


def test_an_ok_before_a_line_was_written_takes_nothing() -> None:
    stream = PlainStream()
    stream.push("G1 X1", 0.0)
    assert stream.received(marlin.Ok(), 0.1) == []
    assert stream.outgoing(0.2) == b"G1 X1\n"


def test_a_line_without_an_answer_ends_the_conversation_and_is_never_sent_twice() -> None:
    stream = PlainStream(reply_s=10.0)
    assert stream.deadline() is None
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    stream.received(marlin.Remark("still here"), 5.0)
    assert stream.deadline() == 15.0
    assert stream.overdue(14.0) == b""
    with pytest.raises(SilentDeviceError, match="G1 X1"):
        stream.overdue(15.0)


def test_a_line_that_is_wanted_again_cannot_be_given_without_numbers() -> None:
    stream = PlainStream()
    stream.push("G1 X1", 0.0)
    stream.outgoing(0.0)
    with pytest.raises(StreamBrokenError):
        stream.received(marlin.Resend(3), 0.1)


@pytest.mark.parametrize("line", ["rs 12", "rs N12", "Resend:12", "Resend: N12", "Resend: 12"])
def test_every_way_of_asking_again_is_understood(line: str) -> None:
    assert marlin.parse(line) == marlin.Resend(12)


def test_reprapfirmware_is_known_by_its_own_words() -> None:
    line = (
        "FIRMWARE_NAME: RepRapFirmware for Duet 2 WiFi/Ethernet FIRMWARE_VERSION: 3.4.5"
        " ELECTRONICS: Duet WiFi 1.02 or later FIRMWARE_DATE: 2022-11-30"
    )
    assert marlin.parse(line) == marlin.Firmware("RepRapFirmware for Duet 2 WiFi/Ethernet", line)
    stopped = "Emergency Stop! Reset the controller to continue."
    assert marlin.parse(stopped) == marlin.Halted(stopped)
    where = "X:10.0 Y:0.0 Z:0.3 E:0.0 E0:0.0 Count 800 0 120 Machine 10.0 0.0 0.3 Bed comp 0.0"
    assert marlin.parse(where) == marlin.Position(10.0, 0.0, 0.3, 0.0, (800, 0, 120))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Error: G1: insufficient axes homed", marlin.Trouble),
        ("Error:Probing failed", marlin.Trouble),
        ("Error:expected line 12 got 13", marlin.LineRefused),
        ("Error:Wrong checksum", marlin.LineRefused),
        ("Error:checksum mismatch, Last Line: 2", marlin.LineRefused),
        ("Error:Unknown command: FOO", marlin.UnknownCommand),
        ("Error:volume.init failed", marlin.Remark),
        ("Error:open failed, File: x.g", marlin.Remark),
        ("Error:Printer halted. kill() called!", marlin.Halted),
    ],
)
def test_errors_that_end_a_program_are_told_from_those_that_mean_little(
    line: str, kind: type
) -> None:
    assert isinstance(marlin.parse(line), kind)

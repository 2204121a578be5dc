"""Messages of the log before their headers are taken apart, and the short way to their events."""

from datetime import UTC, datetime

import pytest

from ops.eventstore.decoding import decoded
from ops.eventstore.envelope import STORED, head_block
from ops.eventstore.raw import RawEvent, nanoseconds, raw_of, record_of_raw, time_stamp
from ops.eventstore.reader import PoisonEventError, recorded_event
from ops.eventstore.wire import Message
from ops.replaying.golden import Golden, kept_golden

KEPT = list(kept_golden())
MOMENTS = [
    "2026-11-21T10:00:00Z",
    "2026-11-21T10:00:00.1Z",
    "2026-11-21T10:00:00.000000001Z",
    "2026-12-31T23:59:59.999999999Z",
    "2027-01-01T00:00:00.12345678Z",
]


def raw(golden: Golden, **changes: str) -> RawEvent:
    record = golden.record
    headers = {n: v for n, v in record.headers.items() if n != STORED} | changes
    return RawEvent(7, 1_795_320_346_335_279_999, record.subject, head_block(headers), record.body)


@pytest.mark.parametrize("text", MOMENTS)
def test_a_servers_time_stamp_is_kept_to_the_nanosecond(text: str) -> None:
    assert time_stamp(nanoseconds(text)) == text


def test_the_stored_time_is_cut_to_whole_microseconds() -> None:
    for text in MOMENTS:
        found = RawEvent(1, nanoseconds(text), "", b"", b"").stored_at
        assert found == datetime.fromisoformat(text)
        assert found.tzinfo is UTC


def test_what_the_server_adds_to_an_answer_is_no_part_of_the_event() -> None:
    told = (
        b"NATS/1.0\r\nImewe-Version:1\r\nNats-Batch-Id:ab\r\nNats-Stream: LOG\r\n"
        b"Nats-Subject: a.b.c\r\nNats-Sequence: 12\r\n"
        b"Nats-Time-Stamp: 2026-11-21T10:00:00.5Z\r\nNats-Num-Pending: 3\r\n\r\n"
    )
    found = raw_of(Message("_INBOX.x", "", told, b"{}"))
    assert found.head == b"NATS/1.0\r\nImewe-Version:1\r\nNats-Batch-Id:ab\r\n\r\n"
    record = record_of_raw(found)
    assert (record.sequence, record.subject, record.body) == (12, "a.b.c", b"{}")
    assert record.headers == {
        "Imewe-Version": "1",
        "Nats-Batch-Id": "ab",
        STORED: "2026-11-21T10:00:00.5Z",
    }


@pytest.mark.parametrize("golden", KEPT, ids=[golden.name for golden in KEPT])
def test_both_ways_lead_to_the_same_event(golden: Golden) -> None:
    for found in (raw(golden), raw(golden, **{"Nats-Batch-Id": "ab", "Nats-Batch-Sequence": "2"})):
        short = decoded(found)
        assert short is not None
        assert short == recorded_event(record_of_raw(found))
        assert vars(short.event) == vars(recorded_event(record_of_raw(found)).event)


def test_headers_in_another_order_or_twice_take_the_long_way() -> None:
    found = raw(KEPT[0])
    lines = found.head.split(b"\r\n")
    mixed = found._replace(head=b"\r\n".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert decoded(mixed) is None
    assert recorded_event(record_of_raw(mixed)) == decoded(found)
    twice = found._replace(head=b"\r\n".join([*lines[:-2], lines[-3], b"", b""]))
    assert decoded(twice) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Imewe-Topic", "imewe.lamp:Forgotten"),
        ("Imewe-Version", "one"),
        ("Imewe-Schema", "999"),
        ("Imewe-Recorded", "yesterday"),
    ],
)
def test_what_cannot_be_read_is_named_by_the_long_way(name: str, value: str) -> None:
    found = raw(KEPT[0], **{name: value})
    assert decoded(found) is None
    with pytest.raises(PoisonEventError) as told:
        recorded_event(record_of_raw(found))
    assert told.value.position == 7

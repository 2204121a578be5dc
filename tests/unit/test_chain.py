"""The hash chain: every kind of tampering is named with its sequence."""

import dataclasses
import struct
from hashlib import sha256

import pytest

from ops.eventstore.chain import ChainCheck, Flaw, Last, verify
from ops.eventstore.envelope import FIELDS, HASH, Record, hash_of


def record(sequence: int, aggregate: str, version: int, before: Record | None) -> Record:
    headers = {
        "Imewe-Version": str(version),
        "Imewe-Topic": "imewe.job:Moved",
        "Imewe-Recorded": "2026-11-21T10:00:00.000Z",
        "Nats-Sequence": str(sequence),
    }
    if before is not None:
        listed = [*before.previous, before.sequence]
        headers["Imewe-Prev"] = ",".join(str(entry) for entry in listed)
        headers["Imewe-Prev-Hash"] = before.hash
    subject = f"imewe.events.job.{aggregate}"
    body = b'{"n":%d}' % sequence
    headers[HASH] = hash_of(subject, headers, body)
    return Record(sequence=sequence, subject=subject, headers=headers, body=body)


@pytest.fixture
def log() -> list[Record]:
    a1 = record(1, "a", 1, None)
    b1 = record(2, "b", 1, None)
    a2 = record(3, "a", 2, a1)
    b2 = record(4, "b", 2, b1)
    return [a1, b1, a2, b2, record(5, "a", 3, a2)]


def changed(log: list[Record], at: int, **headers: str) -> list[Record]:
    old = log[at]
    return [*log[:at], dataclasses.replace(old, headers={**old.headers, **headers}), *log[at + 1 :]]


def renumbered(records: list[Record]) -> list[Record]:
    return [dataclasses.replace(r, sequence=n) for n, r in enumerate(records, start=1)]


def test_an_honest_log_has_no_flaw(log: list[Record]) -> None:
    assert verify(log, last=5) is None
    assert verify(log[2:], first=3, last=5) is None


def test_a_stretch_goes_on_from_what_is_known_and_takes_nothing_on_trust(
    log: list[Record],
) -> None:
    known = {r.subject: Last(r.sequence, r.version, r.hash) for r in log[:2]}
    check = ChainCheck(first=3, known=known)
    assert [check.take(record) for record in log[2:]] == [None, None, None]
    other = {**known, log[0].subject: known[log[0].subject]._replace(hash="sha256:00")}
    flaw = Flaw(3, "does not continue its aggregate's chain")
    assert ChainCheck(first=3, known=other).take(log[2]) == flaw
    assert ChainCheck(first=3, known={}).take(log[2]) == Flaw(3, "does not begin its aggregate")


@pytest.mark.parametrize("version", ["", "one"])
def test_headers_that_cannot_be_read_are_a_flaw_and_no_fault(
    log: list[Record], version: str
) -> None:
    headers = {**log[0].headers, "Imewe-Version": version}
    headers[HASH] = hash_of(log[0].subject, headers, log[0].body)
    bad = dataclasses.replace(log[0], headers=headers)
    assert verify([bad]) == Flaw(1, "headers that cannot be read")


def test_the_hash_is_what_the_documentation_says(log: list[Record]) -> None:
    third = log[2]
    parts = [third.subject.encode()]
    parts += [third.headers.get(name, "").encode() for name in FIELDS]
    parts.append(third.body)
    digest = sha256()
    for part in parts:
        digest.update(struct.pack(">Q", len(part)))
        digest.update(part)
    assert FIELDS[0] == "Imewe-Version"
    assert third.hash == "sha256:" + digest.hexdigest()


@pytest.mark.parametrize("name", [n for n in FIELDS if n != "Imewe-Version"])
def test_every_header_is_covered(log: list[Record], name: str) -> None:
    assert verify(changed(log, 1, **{name: "7"})) == Flaw(2, "content does not match its hash")


def test_the_servers_own_headers_are_not_covered(log: list[Record]) -> None:
    assert verify(changed(log, 1, **{"Nats-Time-Stamp": "another"}), last=5) is None


def test_an_edited_body_is_named(log: list[Record]) -> None:
    log[2] = dataclasses.replace(log[2], body=b"{}")
    assert verify(log) == Flaw(3, "content does not match its hash")


def test_an_edited_event_with_a_fresh_hash_breaks_its_successor(log: list[Record]) -> None:
    body = b'{"n":99}'
    headers = {**log[0].headers, HASH: hash_of(log[0].subject, log[0].headers, body)}
    log[0] = dataclasses.replace(log[0], body=body, headers=headers)
    assert verify(log) == Flaw(3, "does not continue its aggregate's chain")


def test_a_dropped_event_is_named(log: list[Record]) -> None:
    del log[2]
    assert verify(log) == Flaw(3, "missing")


def test_a_dropped_event_is_named_even_if_the_rest_is_renumbered(log: list[Record]) -> None:
    del log[2]
    flaw = verify(renumbered(log))
    assert flaw is not None
    assert flaw.sequence == 4


def test_a_truncated_log_is_named_by_a_trusted_last_sequence(log: list[Record]) -> None:
    assert verify(log[:3]) is None
    assert verify(log[:3], last=5) == Flaw(4, "missing at the end")


def test_two_swapped_events_are_named(log: list[Record]) -> None:
    assert verify(renumbered([log[1], log[0], *log[2:]])) == Flaw(3, "names another predecessor")
    assert verify([log[0], log[2], log[1], *log[3:]]) == Flaw(2, "missing")


def test_an_inserted_event_is_named(log: list[Record]) -> None:
    forged = record(3, "a", 2, log[0])
    flaw = verify(renumbered([*log[:2], forged, *log[2:]]))
    assert flaw == Flaw(4, "version 2 after 2")


def test_an_aggregate_may_not_begin_in_the_middle(log: list[Record]) -> None:
    late = record(1, "c", 5, None)
    assert verify([late]) == Flaw(1, "does not begin its aggregate")


def test_an_added_header_is_named(log: list[Record]) -> None:
    assert verify(changed(log, 1, **{"Imewe-Note": "x"})) == Flaw(2, "unknown header Imewe-Note")

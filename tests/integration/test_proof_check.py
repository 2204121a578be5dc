"""The check of a whole log, against somebody who rewrites it with every hash made good again."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain.shared.errors import ConflictError
from ops.eventstore.chain import Flaw
from ops.eventstore.envelope import HASH, Record, hash_of
from ops.notary.evidence import History
from ops.notary.heads import Head, fingerprint, read_note
from ops.notary.merkle import HashStore, entry_of, leaf_hash
from ops.notary.verifying import LogCheck, check_log
from tests.proving import files, lines_in

SIZE = 200
BAD = 130


def log() -> list[Record]:
    """The true log, as the server gives it."""
    events = [line["event"] for line in lines_in(files().whole) if "event" in line]
    return [
        Record(
            sequence=each["sequence"],
            subject=each["subject"],
            headers={**each["headers"], "Nats-Time-Stamp": each["time"]},
            body=b64decode(each["body"]),
        )
        for each in events
    ]


def history() -> History:
    """Everything that was signed, read as from the stream of heads."""
    made = History()
    for line in lines_in(files().whole):
        if "rotation" in line:
            made.add_key(line["rotation"])
    for note in files().heads:
        made.add_head(note)
    return made


def rewritten(records: list[Record], sequence: int) -> list[Record]:
    """The log with one event changed, and its object's whole chain made good."""
    subject, before, found = records[sequence - 1].subject, "", list(records)
    for at, each in enumerate(records[sequence - 1 :], sequence - 1):
        if each.subject != subject:
            continue
        headers, body = dict(each.headers), each.body
        if each.sequence == sequence:
            body = body[:-1] + b',"forged":1}'
        else:
            headers["Imewe-Prev-Hash"] = before
        headers[HASH] = before = hash_of(subject, headers, body)
        found[at] = replace(each, headers=headers, body=body)
    return found


def checked(records: list[Record], signed: History, **how: Any) -> Flaw | None:
    check = LogCheck(signed, **how)
    return check_log(check, lambda after, limit: records[after : after + limit], len(records)).flaw


@pytest.fixture
def kept(tmp_path: Any) -> HashStore:
    """The tree that the notary kept, of the true log."""
    tree = HashStore(tmp_path / "tree")
    tree.append([leaf_hash(entry_of(record)) for record in log()])
    return tree


def test_the_true_log_is_verified_and_its_tail_told_apart() -> None:
    records = log()
    check = LogCheck(history())
    found = check_log(check, lambda after, limit: records[after : after + limit], len(records))
    assert (found.flaw, found.checked, found.signed) == (None, len(records), files().signed)
    assert found.unsigned_tail == len(records) - files().signed


def test_a_rewritten_event_is_named_by_what_the_notary_kept(kept: HashStore) -> None:
    flaw = checked(rewritten(log(), BAD), history(), kept=kept)
    assert flaw == Flaw(BAD, "is not the event that was signed")


def test_a_rewritten_event_is_found_before_the_next_head_without_that() -> None:
    flaw = checked(rewritten(log(), BAD), history())
    assert flaw is not None
    assert BAD - 25 <= flaw.sequence <= BAD


def test_a_kept_tree_that_was_rewritten_too_is_not_believed(tmp_path: Any) -> None:
    forged = rewritten(log(), BAD)
    tree = HashStore(tmp_path / "forged")
    tree.append([leaf_hash(entry_of(record)) for record in forged])
    flaw = checked(forged, history(), kept=tree)
    assert flaw is not None
    assert flaw.sequence <= BAD


@pytest.mark.parametrize(
    ("attack", "bad"),
    [
        (lambda records: records[:99] + records[100:], 100),
        (lambda records: records[:220], 221),
        (lambda records: [*records[:98], records[99], records[98], *records[100:]], 99),
        (lambda records: [*records[:99], records[50], *records[99:]], 51),
    ],
)
def test_dropped_cut_swapped_and_doubled_events_are_named(
    attack: Callable[[list[Record]], list[Record]], bad: int
) -> None:
    flaw = checked(attack(log()), history())
    assert flaw is not None
    assert flaw.sequence == bad


def test_another_time_is_named(kept: HashStore) -> None:
    records = log()
    headers = {**records[BAD - 1].headers, "Nats-Time-Stamp": "2020-01-01T00:00:00Z"}
    records[BAD - 1] = replace(records[BAD - 1], headers=headers)
    assert checked(records, history(), kept=kept) == Flaw(BAD, "is not the event that was signed")


def test_a_head_over_a_false_map_is_named() -> None:
    signed = history()
    true = Head.read(read_note(files().heads[-1]).text)
    signed.heads[-1] = signed.heads[-1]._replace(head=replace(true, map_root=bytes(32)))
    flaw = checked(log(), signed)
    assert flaw is not None
    assert (flaw.sequence, "map" in flaw.reason) == (true.size, True)


def test_two_heads_that_contradict_one_another_are_two_histories() -> None:
    signed = history()
    true = Head.read(read_note(files().heads[-1]).text)
    second = files().sign(replace(true, root=bytes(32)))
    with pytest.raises(ConflictError, match="two histories"):
        signed.add_head(second)
    follows = replace(true, root=bytes(32), before=fingerprint(files().heads[-1]))
    with pytest.raises(ConflictError, match="two histories"):
        signed.add_head(files().sign(follows))
    longer = replace(follows, size=true.size + 1)
    signed.add_head(files().sign(longer))
    flaw = checked(log(), signed)
    assert flaw is not None
    assert flaw.sequence == true.size + 1


def test_a_check_goes_on_from_its_state_and_finds_what_is_behind() -> None:
    records, state = log(), {}
    first = LogCheck(history())
    check_log(first, lambda after, limit: records[after : after + limit], 120)
    state = first.state()
    second = LogCheck(history())
    second.resume(state)
    forged = rewritten(records, BAD)
    found = check_log(second, lambda after, limit: forged[after : after + limit], len(forged))
    assert found.flaw is not None
    assert 101 <= found.flaw.sequence <= BAD
    third = LogCheck(history())
    third.resume(state)
    found = check_log(third, lambda after, limit: records[after : after + limit], len(records))
    assert (found.flaw, found.signed) == (None, files().signed)


def test_bodies_are_compared_as_bytes() -> None:
    record = log()[0]
    assert b64encode(record.body)
    assert hash_of(record.subject, record.headers, record.body) == record.hash

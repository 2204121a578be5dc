"""Attacks on proof files of a real log: each is found, and named at the right event.

Whoever tampers here knows the format: every file gets a last line that fits again.
"""

import gzip
import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ops.eventstore.envelope import Record, hash_of
from ops.notary import verify_imewe
from ops.notary.heads import Head, fingerprint, read_note, sign_note
from ops.notary.merkle import entry_of, leaf_hash
from ops.notary.sorted_map import MapEntry, key_of
from tests.proving import Line, at, changed, files, found_in, lines_in, sealed


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the standalone verifier says of bytes."""
    path = tmp_path / "x.imewe-proof.jsonl"
    return lambda data, **how: found_in(path, data, **how)


Check = Callable[..., dict[str, Any]]


def head_of(note: str) -> Head:
    return Head.read(read_note(note).text)


def flipped(text: str) -> str:
    """Base64 of the same bytes but for one bit."""
    raw = bytearray(b64decode(text))
    raw[len(raw) // 2] ^= 1
    return b64encode(raw).decode()


def rehashed(event: Line, **headers: str) -> None:
    """Give an event the hash of what it says now, and the leaf that follows."""
    event["headers"] |= headers
    body = b64decode(event["body"])
    event["headers"]["Imewe-Hash"] = hash_of(event["subject"], event["headers"], body)
    known = {**event["headers"], "Nats-Time-Stamp": event["time"]}
    record = Record(sequence=event["sequence"], subject=event["subject"], headers=known, body=body)
    event["leaf"] = b64encode(leaf_hash(entry_of(record))).decode()


def rewritten(lines: list[Line], sequence: int, *, leaves: bool) -> None:
    """Change an event and make its object's whole chain good again; ``leaves`` too."""
    events = [line["event"] for line in lines if "event" in line]
    subject = next(each["subject"] for each in events if each["sequence"] == sequence)
    before = ""
    for each in events:
        if each["subject"] != subject or each["sequence"] < sequence:
            continue
        old = each["leaf"]
        if each["sequence"] == sequence:
            each["body"] = b64encode(b64decode(each["body"])[:-1] + b',"forged":1}').decode()
            rehashed(each)
        else:
            rehashed(each, **{"Imewe-Prev-Hash": before})
        before = each["headers"]["Imewe-Hash"]
        each["leaf"] = each["leaf"] if leaves else old


def first_event(data: bytes, subject: str, *, place: int = 0) -> int:
    """The sequence of an event of an object of this kind."""
    found = [
        line["event"]["sequence"]
        for line in lines_in(data)
        if f".{subject}." in line.get("event", {}).get("subject", "")
    ]
    return int(found[place])


def heads_in(lines: list[Line]) -> list[int]:
    return [i for i, line in enumerate(lines) if "head" in line]


def test_a_range_is_verified_and_its_tail_is_told_apart(check: Check) -> None:
    found = check(files().whole)
    assert found["verified"]
    assert (found["signed"], found["unsigned_tail"]) == (
        files().signed,
        files().size - files().signed,
    )
    assert found["unsigned_tail"] > 0


def test_a_stretch_from_within_the_log_is_verified(check: Check) -> None:
    found = check(files().stretch)
    assert (found["verified"], found["unsigned_tail"]) == (True, 0)
    assert found["what"].startswith("events 60 to ")


@pytest.mark.parametrize("name", ["job", "failed", "foreign", "gap"])
def test_a_job_is_verified_whole(check: Check, name: str) -> None:
    found = check(files()._asdict()[name])
    assert (found["verified"], found["unsigned_tail"]) == (True, 0)


def test_a_jobs_file_shows_nothing_of_another_job() -> None:
    shown = {line["event"]["subject"] for line in lines_in(files().job) if "event" in line}
    others = [files().failed, files().foreign, files().begun]
    for other in others:
        theirs = {line["event"]["subject"] for line in lines_in(other) if "event" in line}
        assert not shown & theirs
    assert {subject.split(".")[2] for subject in shown} == {"job", "part", "dispatch", "build"}


def test_what_is_newer_than_the_head_is_never_verified(check: Check) -> None:
    found = check(files().begun)
    assert (found["verified"], found["exit"]) == (False, 2)


@pytest.mark.parametrize("sequence", [1, 26, 100, 180])
def test_one_bit_of_a_body_is_named(check: Check, sequence: int) -> None:
    def attack(lines: list[Line]) -> None:
        event = lines[at(lines, sequence)]["event"]
        event["body"] = flipped(event["body"])

    found = check(changed(files().whole, attack))
    assert (found["verified"], found["sequence"], found["exit"]) == (False, sequence, 1)


@pytest.mark.parametrize("header", ["Imewe-Actor", "Imewe-Org", "Imewe-Occurred", "Imewe-Topic"])
def test_a_changed_header_is_named(check: Check, header: str) -> None:
    def attack(lines: list[Line]) -> None:
        lines[at(lines, 77)]["event"]["headers"][header] = "mallory"

    assert check(changed(files().whole, attack))["sequence"] == 77


def test_a_header_that_no_hash_covers_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines[at(lines, 77)]["event"]["headers"]["Imewe-More"] = "a lie"

    assert check(changed(files().whole, attack))["sequence"] == 77


def test_another_time_than_the_servers_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines[at(lines, 77)]["event"]["time"] = "2020-01-01T00:00:00Z"

    assert check(changed(files().whole, attack))["sequence"] == 77


@pytest.mark.parametrize("sequence", [1, 2, 90, 224])
def test_a_dropped_event_is_named(check: Check, sequence: int) -> None:
    data = changed(files().whole, lambda lines: lines.pop(at(lines, sequence)))
    assert check(data)["sequence"] == sequence


def test_an_inserted_event_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines.insert(at(lines, 91), lines[at(lines, 40)])

    assert check(changed(files().whole, attack))["sequence"] == 91


def test_an_event_that_is_there_twice_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines.insert(at(lines, 91), lines[at(lines, 90)])

    assert check(changed(files().whole, attack))["sequence"] == 91


def test_swapped_events_are_named_even_with_new_numbers(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        one, other = at(lines, 90), at(lines, 91)
        lines[one], lines[other] = lines[other], lines[one]

    def renumbered(lines: list[Line]) -> None:
        attack(lines)
        for place in range(90, 92):
            event = lines[at(lines, 90) if place == 90 else at(lines, 91)]["event"]
            event["sequence"] = 181 - event["sequence"]

    assert check(changed(files().whole, attack))["sequence"] == 90
    assert check(changed(files().whole, renumbered))["sequence"] == 90


def test_a_truncated_tail_is_named(check: Check) -> None:
    cut = files().signed - 4

    def attack(lines: list[Line]) -> None:
        del lines[at(lines, cut) : -1]

    def also_in_the_first_line(lines: list[Line]) -> None:
        attack(lines)
        lines[0]["to"] = lines[0]["log_size"] = cut - 1
        lines[-1]["end"]["unsigned_tail"] = 0

    assert check(changed(files().whole, attack))["sequence"] == cut
    assert check(changed(files().whole, also_in_the_first_line))["sequence"] == cut


def test_a_file_that_breaks_off_is_named_where_it_does(check: Check) -> None:
    lines = files().whole.splitlines(keepends=True)
    cut = at(lines_in(files().whole), 120)
    assert check(b"".join(lines[:cut]))["sequence"] == 120
    assert check(b"".join(lines[:cut]) + lines[cut][:40])["sequence"] == 120


@pytest.mark.parametrize("sequence", [30, 150])
def test_an_event_rewritten_with_its_whole_chain_is_named(check: Check, sequence: int) -> None:
    data = changed(files().whole, lambda lines: rewritten(lines, sequence, leaves=False))
    assert check(data)["sequence"] == sequence


def test_a_chain_rewritten_with_every_leaf_is_found_before_the_next_head(check: Check) -> None:
    data = changed(files().whole, lambda lines: rewritten(lines, 60, leaves=True))
    found = check(data)
    assert (found["verified"], found["exit"]) == (False, 1)
    assert 50 < found["sequence"] <= 60, "heads are 25 events apart"


@pytest.mark.parametrize("leaves", [True, False])
def test_a_rewritten_job_is_named(check: Check, *, leaves: bool) -> None:
    sequence = first_event(files().job, "build", place=3)
    data = changed(files().job, lambda lines: rewritten(lines, sequence, leaves=leaves))
    assert check(data)["sequence"] == sequence


def test_the_last_events_of_a_build_cannot_be_left_out(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        builds = [i for i, line in enumerate(lines) if ".build." in str(line.get("event", ""))]
        subject = lines[builds[-1]]["event"]["subject"]
        own = [i for i in builds if lines[i]["event"]["subject"] == subject]
        last.append(lines[own[-1]]["event"]["sequence"])
        for place in reversed(own[-2:]):
            del lines[place : place + 2]  # with its inclusion proof

    last: list[int] = []
    assert check(changed(files().job, attack))["sequence"] == last[0]


def test_a_whole_build_cannot_be_left_out(check: Check) -> None:
    build = first_event(files().failed, "build")
    lines = lines_in(files().failed)
    subject = lines[at(lines, build)]["event"]["subject"]
    others = [
        line
        for i, line in enumerate(lines)
        if subject not in str(line) and subject not in str(lines[i - 1].get("event", ""))
    ]
    events_only = [
        line
        for i, line in enumerate(lines)
        if subject not in str(line.get("event", ""))
        and subject not in str(lines[i - 1].get("event", ""))
    ]
    found = check(sealed(others))
    assert (found["exit"], subject in found["reason"]) == (1, True)
    found = check(sealed(events_only))
    assert (found["exit"], subject in found["reason"]) == (1, True)
    assert found["sequence"] > build, "the build's last event is what the map names"


def test_a_second_dispatch_cannot_be_hidden_by_another_proof_of_absence(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        own = [i for i, line in enumerate(lines) if "map" in line and line["map"]["end"]]
        absent = [i for i, line in enumerate(lines) if "map" in line and i not in own]
        absent += [i for i in own if "key" in lines[i]["map"]["end"]]
        there = next(i for i in own if ".dispatch." in lines[i]["map"]["subject"])
        lines[there]["map"] |= {name: lines[absent[0]]["map"][name] for name in ("siblings", "end")}

    assert check(changed(files().failed, attack))["exit"] == 1


def test_an_event_of_another_job_is_named(check: Check) -> None:
    foreign = next(line for line in lines_in(files().foreign) if "event" in line)
    sequence = foreign["event"]["sequence"]

    def attack(lines: list[Line]) -> None:
        behind = [i for i, each in enumerate(lines) if each.get("event", foreign["event"])]
        later = [i for i in behind if lines[i].get("event", {}).get("sequence", 0) > sequence]
        lines.insert(later[0] if later else len(lines) - 1, foreign)

    assert check(changed(files().job, attack))["sequence"] == sequence


def test_a_job_without_a_proof_of_one_event_is_named(check: Check) -> None:
    sequence = first_event(files().job, "part", place=2)

    def attack(lines: list[Line]) -> None:
        del lines[at(lines, sequence) + 1]

    assert check(changed(files().job, attack))["sequence"] == sequence


def test_an_old_head_instead_of_the_newest_does_not_fit(check: Check) -> None:
    def in_a_job(lines: list[Line]) -> None:
        lines[heads_in(lines)[0]]["head"] = files().heads[-2]

    def again_at_the_end(lines: list[Line]) -> None:
        lines.insert(heads_in(lines)[-1] + 1, {"head": files().heads[2]})

    def left_out(lines: list[Line]) -> None:
        del lines[heads_in(lines)[3]]

    assert check(changed(files().job, in_a_job))["exit"] == 1
    old, after = head_of(files().heads[2]), head_of(files().heads[4])
    assert check(changed(files().whole, again_at_the_end))["sequence"] == old.size
    assert check(changed(files().whole, left_out))["sequence"] == after.size


def test_two_histories_of_one_size_are_found(check: Check, tmp_path: Path) -> None:
    true = head_of(files().heads[-1])
    forged = files().sign(replace(true, root=bytes(32)))
    other = head_of(forged)
    appended = files().sign(replace(true, root=bytes(32), before=fingerprint(files().heads[-1])))
    twice = changed(
        files().whole,
        lambda lines: lines.insert(heads_in(lines)[-1] + 1, {"head": appended}),
    )
    instead = changed(files().whole, lambda lines: lines[heads_in(lines)[-1]].update(head=forged))
    assert check(twice)["sequence"] == other.size
    found = check(instead)
    assert (found["exit"], found["sequence"]) == (1, head_of(files().heads[-2]).size + 1)


def test_a_head_that_was_kept_elsewhere_shows_another_history(check: Check, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    true = head_of(files().heads[3])
    kept.write_text(files().heads[3])
    assert check(files().whole, kept=[kept])["verified"]
    kept.write_text(files().sign(replace(true, root=bytes(32))))
    found = check(files().whole, kept=[kept])
    assert (found["exit"], found["sequence"]) == (1, head_of(files().heads[2]).size + 1)
    found = check(files().job, kept=[kept])
    assert found["exit"] == 2, "a job's file cannot show it"


def test_a_head_that_nobody_signed_counts_for_nothing(check: Check) -> None:
    def unsigned(lines: list[Line]) -> None:
        place = heads_in(lines)[-1]
        text = lines[place]["head"].rpartition("\n\n")[0]
        lines[place]["head"] = f"{text}\n\n"

    def with_another_signature(lines: list[Line]) -> None:
        place, other = heads_in(lines)[-1], heads_in(lines)[-2]
        text = lines[place]["head"].rpartition("\n\n")[0]
        line = lines[other]["head"].rpartition("\n\n")[2]
        lines[place]["head"] = f"{text}\n\n{line}"

    def without_the_new_key(lines: list[Line]) -> None:
        rotations = [i for i, line in enumerate(lines) if "rotation" in line]
        del lines[rotations[-1]]

    for attack in (unsigned, with_another_signature, without_the_new_key):
        assert check(changed(files().whole, attack))["exit"] == 1


def test_a_signature_line_of_a_stranger_does_no_harm(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines[heads_in(lines)[-1]]["head"] += "\u2014 a.witness AAAAAGFuIG90aGVyIGtpbmQ=\n"

    assert check(changed(files().job, attack))["verified"]


def test_the_key_that_was_given_must_be_one_of_the_files(check: Check) -> None:
    for key in files().keys:
        assert check(files().job, keys=[key])["verified"]
    stranger = files().keys[0].replace("notary-1", "notary-9")
    assert check(files().job, keys=[stranger])["exit"] == 1


def test_a_last_line_that_counts_otherwise_is_found(check: Check) -> None:
    for end in ({"events": 1}, {"unsigned_tail": 0}):
        assert check(sealed(lines_in(files().whole), **end))["exit"] == 1


def test_what_follows_the_last_line_is_found(check: Check) -> None:
    assert check(files().job + b"\n")["exit"] == 1
    assert check(files().job + files().foreign)["exit"] == 1


def test_a_line_in_another_form_is_found(check: Check) -> None:
    *lines, last = files().job.splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.startswith(b'{"event"'))
    lines[place] = lines[place].replace(b'{"sequence":', b'{"sequence":7,"sequence":', 1)
    data = b"".join(lines)
    old = json.loads(last)["end"]["sha256"].encode()
    data += last.replace(old, sha256(data).hexdigest().encode())
    assert check(data)["exit"] == 1


def builds_of(lines: list[Line]) -> list[int]:
    """The places of the events of the last build in a job's file."""
    builds = [i for i, line in enumerate(lines) if ".build." in str(line.get("event", ""))]
    subject = lines[builds[-1]]["event"]["subject"]
    return [i for i in builds if lines[i]["event"]["subject"] == subject]


def map_of(lines: list[Line], subject: str) -> Line:
    """What a job's file says of an object's end."""
    return next(e["map"] for e in lines if e.get("map", {}).get("subject") == subject)


def test_a_map_that_is_made_to_fit_what_was_left_out_is_found(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        *_, before, last = builds_of(lines)
        event = lines[before]["event"]
        map_of(lines, event["subject"])["end"] = {
            "version": int(event["headers"]["Imewe-Version"]),
            "sequence": event["sequence"],
            "hash": event["headers"]["Imewe-Hash"],
        }
        del lines[last : last + 2]

    assert check(changed(files().job, attack))["exit"] == 1


def test_an_object_is_no_other_leaf_in_its_own_way(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        places = builds_of(lines)
        subject = lines[places[0]]["event"]["subject"]
        told = map_of(lines, subject)
        entry = MapEntry(**told["end"])
        told["end"] = {
            "key": b64encode(key_of(subject)).decode(),
            "value": b64encode(entry.value).decode(),
        }
        for place in reversed(places):
            del lines[place : place + 2]

    assert check(changed(files().job, attack))["exit"] == 1


def test_the_first_event_of_an_object_cannot_be_left_out(check: Check) -> None:
    second: list[int] = []

    def attack(lines: list[Line]) -> None:
        first, after, *_ = builds_of(lines)
        second.append(lines[after]["event"]["sequence"])
        del lines[first : first + 2]

    assert check(changed(files().job, attack))["sequence"] == second[0]


def test_an_event_of_another_job_is_named_with_all_its_proofs(check: Check) -> None:
    foreign = lines_in(files().foreign)
    place = next(i for i, line in enumerate(foreign) if "event" in line)
    sequence = foreign[place]["event"]["sequence"]

    def attack(lines: list[Line]) -> None:
        later = [
            i for i, line in enumerate(lines) if line.get("event", {}).get("sequence", 0) > sequence
        ]
        ends = [i for i, line in enumerate(lines) if "map" in line]
        at_ = (later or ends)[0]
        lines[at_:at_] = foreign[place : place + 2]

    found = check(changed(files().job, attack))
    assert (found["exit"], found["sequence"]) == (1, sequence)


def test_a_leaf_that_does_not_fit_its_event_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        event = lines[at(lines, 66)]["event"]
        event["leaf"] = flipped(event["leaf"])

    assert check(changed(files().whole, attack))["sequence"] == 66


def test_the_unsigned_tail_must_continue_its_chains_all_the_same(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        event = lines[at(lines, files().size)]["event"]
        rehashed(event, **{"Imewe-Prev-Hash": "sha256:" + "0" * 64})

    assert check(changed(files().whole, attack))["sequence"] == files().size


@pytest.mark.parametrize("signers", [[0], [1], []])
def test_a_key_that_the_old_one_or_itself_did_not_sign_counts_for_nothing(
    check: Check, signers: list[int]
) -> None:
    def attack(lines: list[Line]) -> None:
        place = [i for i, line in enumerate(lines) if "rotation" in line][-1]
        text = lines[place]["rotation"].rpartition("\n\n")[0] + "\n"
        signed = sign_note(text, [files().signers[i] for i in signers])
        lines[place]["rotation"] = signed

    assert check(changed(files().whole, attack))["exit"] == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"not JSON\n", b"[]\n", b'{"imewe_proof":2}\n', b'{"end":{}}\n', b"\xff\xfe"],
)
def test_what_is_no_proof_file_is_said_to_be_none(check: Check, data: bytes) -> None:
    assert check(data)["exit"] == 2


def test_a_packed_file_is_read_and_a_damaged_one_found(tmp_path: Path) -> None:
    packed = gzip.compress(files().whole)
    path = tmp_path / "x.jsonl.gz"
    assert found_in(path, packed)["verified"]
    assert found_in(path, packed[:-200])["exit"] == 1
    assert found_in(path, packed[:8])["exit"] == 2


def run(*words: str | Path) -> tuple[int, str]:
    """Run it as a stranger does: outside the repository, without Imewe on the path."""
    script = Path(str(verify_imewe.__file__)).read_text()
    copy = Path(words[0]).parent / "verify_imewe.py"
    copy.write_text(script)
    command = [sys.executable, "-I", str(copy), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=copy.parent, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_stranger_runs_the_one_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(files().whole)
    bad.write_bytes(changed(files().whole, lambda lines: lines.pop(at(lines, 90))))
    code, told = run(good)
    assert (code, told.splitlines()[0]) == (
        0,
        f"VERIFIED: events 1 to {files().signed}: {files().signed} events are as they were signed",
    )
    assert "the first in the file" in told
    assert f"unsigned tail: {files().size - files().signed} events, not verified" in told
    assert "you gave it" in run(good, "--key", files().keys[0])[1]
    assert run(bad) == (1, "TAMPERED WITH: event 90: missing, or out of order\n")
    code, told = run(tmp_path / "none.jsonl", "--json")
    assert (code, '"exit": 2' in told) == (2, True)


def test_it_stays_one_readable_file_with_one_dependency() -> None:
    script = Path(str(verify_imewe.__file__)).read_text()
    assert len(script.splitlines()) <= 300
    imported = {line.split()[1].split(".")[0] for line in script.splitlines() if "import " in line}
    assert imported - set(sys.stdlib_module_names) <= {"cryptography", "package"}

"""Attacks on the proof file of one job, by somebody who knows the format."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.notary.sorted_map import MapEntry, key_of
from tests.proving import Line, at, changed, files, found_in, lines_in, sealed
from tests.tampering import builds_of, first_event, map_of, rewritten


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the standalone verifier says of bytes."""
    path = tmp_path / "x.imewe-proof.jsonl"
    return lambda data, **how: found_in(path, data, **how)


Check = Callable[..., dict[str, Any]]


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

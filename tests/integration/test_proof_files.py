"""Attacks on the proof file of a range: each is found, and named at the right event.

Whoever tampers here knows the format: every file gets a last line that fits again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.proving import Line, at, changed, files, found_in, lines_in, sealed
from tests.tampering import flipped, rehashed, rewritten


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the standalone verifier says of bytes."""
    path = tmp_path / "x.imewe-proof.jsonl"
    return lambda data, **how: found_in(path, data, **how)


Check = Callable[..., dict[str, Any]]


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


@pytest.mark.parametrize("sequence", [1, 26, 100, 180])
def test_one_bit_of_a_body_is_named(check: Check, sequence: int) -> None:
    def attack(lines: list[Line]) -> None:
        event = lines[at(lines, sequence)]["event"]
        event["body"] = flipped(event["body"])

    found = check(changed(files().whole, attack))
    assert (found["verified"], found["sequence"], found["exit"]) == (False, sequence, 1)


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


def test_a_first_line_that_says_less_does_not_make_the_tail_signed(check: Check) -> None:
    tail = files().size - files().signed
    assert tail > 0

    def attack(lines: list[Line]) -> None:
        lines[0]["to"] = files().signed

    for claimed in (0, tail):
        assert check(sealed(changed_lines(attack), unsigned_tail=claimed))["exit"] == 1


@pytest.mark.parametrize("place", ["event", "headers"])
def test_a_member_that_no_hash_covers_is_named(check: Check, place: str) -> None:
    def attack(lines: list[Line]) -> None:
        event = lines[at(lines, 91)]["event"]
        if place == "event":
            event["Imewe-Actor"] = "user/somebody-else"
        else:
            event["headers"]["subject"] = "imewe.events.job.another"

    assert check(changed(files().whole, attack))["sequence"] == 91


def changed_lines(change: Callable[[list[Line]], Any]) -> list[Line]:
    lines = lines_in(files().whole)
    change(lines)
    return lines

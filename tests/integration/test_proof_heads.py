"""Attacks on the heads and keys of a proof file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.notary.heads import fingerprint, sign_note
from tests.proving import Line, at, changed, files, found_in
from tests.tampering import head_of, heads_in, rewritten


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the standalone verifier says of bytes."""
    path = tmp_path / "x.imewe-proof.jsonl"
    return lambda data, **how: found_in(path, data, **how)


Check = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("header", ["Imewe-Actor", "Imewe-Org", "Imewe-Occurred", "Imewe-Topic"])
def test_a_changed_header_is_named(check: Check, header: str) -> None:
    def attack(lines: list[Line]) -> None:
        lines[at(lines, 77)]["event"]["headers"][header] = "mallory"

    assert check(changed(files().whole, attack))["sequence"] == 77


def test_a_header_that_no_hash_covers_is_named(check: Check) -> None:
    def attack(lines: list[Line]) -> None:
        lines[at(lines, 77)]["event"]["headers"]["Imewe-More"] = "a lie"

    assert check(changed(files().whole, attack))["sequence"] == 77


def test_a_chain_rewritten_with_every_leaf_is_found_before_the_next_head(check: Check) -> None:
    data = changed(files().whole, lambda lines: rewritten(lines, 60, leaves=True))
    found = check(data)
    assert (found["verified"], found["exit"]) == (False, 1)
    assert 50 < found["sequence"] <= 60, "heads are 25 events apart"


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


@pytest.mark.parametrize("forged", [{"root": bytes(32)}, {"map_root": bytes(32)}, {}])
def test_a_kept_head_of_the_same_size_shows_another_history_of_a_job(
    check: Check, tmp_path: Path, forged: dict[str, bytes]
) -> None:
    kept = tmp_path / "kept.txt"
    newest = head_of(files().heads[-1])
    kept.write_text(files().sign(replace(newest, **forged)))
    found = check(files().job, kept=[kept])
    assert found["verified"] is not bool(forged)
    assert not forged or (found["exit"], found["sequence"]) == (1, newest.size)


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

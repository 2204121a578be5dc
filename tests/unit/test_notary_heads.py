"""Signed heads and keys: what is accepted, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.shared.errors import InvalidInputError
from ops.notary.heads import Head, NoteError, fingerprint, open_note, read_note, sign_head
from ops.notary.keys import (
    Rotation,
    VerifierKey,
    key_path,
    load_key,
    make_key,
    open_rotation,
    sign_rotation,
)

ORIGIN = "imewe.log/1e0b2f0e-5a0c-4f0a-9d63-1d6b4f9b1d11"
HEAD = Head(
    origin=ORIGIN,
    size=1000,
    root=bytes(range(32)),
    map_root=bytes(32),
    time="2026-11-22T10:00:00.123Z",
    before="",
)


def test_a_head_is_a_checkpoint_with_extension_lines() -> None:
    assert HEAD.text == (
        f"{ORIGIN}\n1000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nhash sha256\n"
        "map sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        "time 2026-11-22T10:00:00.123Z\nbefore sha256:\n"
    )


def test_a_signed_head_opens_with_its_key_and_reads_back(tmp_path: Path) -> None:
    key = make_key(tmp_path, ORIGIN, 1)
    note = sign_head(HEAD, key)
    text, names = open_note(note, [key.verifier])
    assert Head.read(text) == HEAD
    assert names == [f"{ORIGIN}/notary-1"]
    assert len(fingerprint(note)) == 64


def test_every_changed_character_of_a_note_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path, ORIGIN, 1)
    note = sign_head(HEAD, key)
    for at, letter in enumerate(note):
        changed = note[:at] + ("A" if letter != "A" else "B") + note[at + 1 :]
        with pytest.raises(NoteError):
            open_note(changed, [key.verifier])


def test_lines_of_unknown_keys_do_no_harm_and_no_good(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    key, other = make_key(tmp_path, ORIGIN, 1), make_key(tmp_path / "other", ORIGIN, 2)
    both = sign_head(HEAD, other, key)
    assert open_note(both, [key.verifier])[1] == [key.name]
    with pytest.raises(NoteError, match="no known key"):
        open_note(sign_head(HEAD, other), [key.verifier])


def test_another_algorithm_in_a_signature_line_is_passed_over(tmp_path: Path) -> None:
    key = make_key(tmp_path, ORIGIN, 1)
    hybrid = sign_head(HEAD, key) + f"\u2014 {key.name} {'A' * 2000}\n"
    assert open_note(hybrid, [key.verifier])[1] == [key.name]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "a\n",
        "a\n\nb\n",
        "a\n\n\u2014 k\n",
        "a\n\n\u2014 k AAAA\n",
        "a\r\n\n\u2014 k AAAAAAAA\n",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        read_note(note)


@pytest.mark.parametrize(
    "text",
    [
        HEAD.text + "more\n",
        HEAD.text.replace("1000", "01000"),
        HEAD.text.replace("sha256\n", "sha512\n"),
        HEAD.text.replace("1000", "many"),
        replace(HEAD, root=b"short").text,
    ],
)
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Head.read(text)


def test_a_verifier_key_reads_back_and_names_its_id(tmp_path: Path) -> None:
    key = make_key(tmp_path, ORIGIN, 3).verifier
    assert VerifierKey.read(key.text) == key
    name, key_id, coded = key.text.split("+", 2)
    for text in (
        f"{name}+00000000+{coded}",
        f"{name}+{key_id}+Ag{coded[2:]}",
        f"{name}x+{key_id}+{coded}",
        name,
    ):
        with pytest.raises(NoteError):
            VerifierKey.read(text)


def test_the_private_half_is_for_its_owner_only_and_made_once(tmp_path: Path) -> None:
    first = make_key(tmp_path, ORIGIN, 1)
    assert key_path(tmp_path, 1).stat().st_mode & 0o777 == 0o600
    assert make_key(tmp_path, ORIGIN, 1).verifier == first.verifier
    with pytest.raises(InvalidInputError, match="holds no key"):
        load_key(tmp_path, ORIGIN, 2)


def test_a_new_key_counts_when_the_old_one_and_itself_say_so(tmp_path: Path) -> None:
    old, new = make_key(tmp_path, ORIGIN, 1), make_key(tmp_path, ORIGIN, 2)
    rotation = Rotation(
        origin=ORIGIN, number=2, size=1001, key=new.verifier, time=HEAD.time, before="0" * 64
    )
    assert open_rotation(sign_rotation(rotation, old=old, new=new), old.verifier) == rotation
    first = sign_rotation(replace(rotation, number=1, before=""), old=None, new=new)
    assert open_rotation(first, None).number == 1
    with pytest.raises(NoteError, match="old and the new key"):
        open_rotation(sign_rotation(rotation, old=None, new=new), old.verifier)
    with pytest.raises(NoteError, match="old and the new key"):
        open_rotation(sign_rotation(rotation, old=None, new=old), old.verifier)

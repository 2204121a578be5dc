"""Heads: what the notary signs, as C2SP checkpoints in signed notes.

A note is a text of lines, an empty line, and lines ``— <key name> <base64>`` of signatures, each
over the text with its last line end. A head's text is the log's name, its size, the base64 root of
its tree, and one line each for the hash in use, the map's root, the time and the head before it.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, Self

from domain.shared.errors import InvalidInputError
from ops.notary.merkle import SIZE

DASH = "\u2014"
HASH_LINE = "hash sha256"
LONGEST_NOTE = 1_000_000
"""Characters, as C2SP advises."""


class Signer(Protocol):
    """Who writes signature lines."""

    @property
    def name(self) -> str: ...

    def signature(self, text: str) -> bytes:
        """The key id and the signature over ``text``."""
        ...


class Checker(Protocol):
    """Who knows a public key."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key made ``signature`` (without the key id) over ``text``."""
        ...


class NoteError(InvalidInputError):
    """A note that cannot be read, or that lacks a good signature."""

    code = "BAD_NOTE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A signed text that was not checked yet."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The log's first ``size`` events in two hashes.

    ``time`` is UTC with milliseconds; ``before`` is the hex SHA-256 of the whole note of the head
    before, empty in the first.
    """

    origin: str
    size: int
    root: bytes
    map_root: bytes
    time: str
    before: str

    @property
    def text(self) -> str:
        """What is signed."""
        return (
            f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"
            f"{HASH_LINE}\nmap sha256:{_base64(self.map_root)}\n"
            f"time {self.time}\nbefore sha256:{self.before}\n"
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``text`` wrote, to the byte. Raises ``NoteError``."""
        lines = text.split("\n")
        try:
            origin, size, root, _hash, map_root, time, before, _end = lines
            head = cls(
                origin=origin,
                size=int(size),
                root=b64decode(root, validate=True),
                map_root=b64decode(map_root.removeprefix("map sha256:"), validate=True),
                time=time.removeprefix("time "),
                before=before.removeprefix("before sha256:"),
            )
        except ValueError as error:
            raise NoteError("this is no head of a log") from error
        if head.text != text or not len(head.root) == len(head.map_root) == SIZE:
            raise NoteError("this is no head of a log")
        return head


def sign_note(text: str, signers: Iterable[Signer]) -> str:
    """The whole note with one signature line of each signer."""
    lines = [f"{DASH} {each.name} {_base64(each.signature(text))}\n" for each in signers]
    return f"{text}\n{''.join(lines)}"


def sign_head(head: Head, *signers: Signer) -> str:
    """The whole note of a head."""
    return sign_note(head.text, signers)


def read_note(note: str) -> Note:
    """Take a note apart; nothing is checked but its shape. Raises ``NoteError``."""
    text, found, lines = note.rpartition("\n\n")
    if not found or not lines.endswith("\n") or len(note) > LONGEST_NOTE:
        raise NoteError("this is no signed note")
    if any(ord(each) < 0x20 and each != "\n" for each in note):
        raise NoteError("a signed note may not hold control characters")
    signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
    return Note(text=f"{text}\n", signatures=signatures)


def open_note(note: str, checkers: Sequence[Checker]) -> tuple[str, list[str]]:
    """The text, and the names of the given keys that signed it.

    Signatures of other keys count for nothing and do no harm. Raises ``NoteError`` when none of
    the given keys signed it, and when a signature that claims to be of one of them is bad.
    """
    read = read_note(note)
    known = {(each.name, each.key_id): each for each in checkers}
    good: list[str] = []
    for line in read.signatures:
        checker = known.get((line.name, line.key_id))
        if checker is None:
            continue
        if not checker.accepts(read.text, line.signature):
            raise NoteError(f"the signature of {line.name} is bad")
        good.append(line.name)
    if not good:
        raise NoteError("no known key signed this")
    return read.text, good


def fingerprint(note: str) -> str:
    """What the next head says of this one: the hex SHA-256 of the whole note."""
    return sha256(note.encode()).hexdigest()


def _signature(line: str) -> Signature:
    words = line.split(" ")
    try:
        dash, name, coded = words
        raw = b64decode(coded, validate=True)
    except ValueError as error:
        raise NoteError("this is no signature line") from error
    if dash != DASH or not name or len(raw) < 5 or _base64(raw) != coded:
        raise NoteError("this is no signature line")
    return Signature(name=name, key_id=raw[:4], signature=raw[4:])


def _base64(value: bytes) -> str:
    return b64encode(value).decode()

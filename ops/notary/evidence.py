"""What an export is made from: the heads that were signed, and both trees under one of them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import orjson

from domain.shared.errors import ConflictError, NotFoundError
from ops.eventstore.envelope import Record
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head, NoteError, fingerprint, open_note, read_note
from ops.notary.keys import Rotation, VerifierKey, open_rotation
from ops.notary.merkle import HashStore, entry_of, leaf_hash
from ops.notary.sorted_map import MapEntry, MapProof, SortedMap, verify_map
from ops.notary.state import FOLDER, MAP, TREE

BATCH = 500

Reading = Callable[[int, int], list[Record]]
"""Up to so many records behind a sequence, in order."""
Told = Callable[[int, int], None]
"""Hears how many events are done, and of how many."""


class SignedHead(NamedTuple):
    """A head and the whole note that it was read from."""

    head: Head
    note: str


@dataclass(slots=True)
class History:
    """Everything that the notary signed, in order, each note by the key that was valid for it."""

    origin: str = ""
    keys: list[tuple[Rotation, str]] = field(default_factory=list)
    heads: list[SignedHead] = field(default_factory=list)

    @property
    def newest(self) -> SignedHead:
        """Raises ``NotFoundError`` when nothing was signed yet."""
        if not self.heads:
            raise NotFoundError("nothing is signed yet", remedy="try again in a minute")
        return self.heads[-1]

    def add_key(self, note: str) -> None:
        """Take in a rotation. Raises ``NoteError``."""
        known = self.keys[-1][0].key if self.keys else None
        rotation = open_rotation(note, known)
        self.origin = self.origin or rotation.origin
        self.keys.append((rotation, note))

    def add_head(self, note: str) -> None:
        """Take in a head. Raises ``NoteError``, and ``ConflictError`` when it does not follow."""
        head = Head.read(read_note(note).text)
        open_note(note, [self.key_of(head.size)])
        before = fingerprint(self.heads[-1].note) if self.heads else ""
        size = self.heads[-1].head.size if self.heads else 0
        if head.before != before or head.origin != self.origin or head.size <= size:
            raise ConflictError(
                f"the head of size {head.size} does not follow the one before: two histories",
                remedy="compare both with the heads that you kept elsewhere",
            )
        self.heads.append(SignedHead(head, note))

    def key_of(self, size: int) -> VerifierKey:
        """The key that signs heads of this size. Raises ``NoteError``."""
        for rotation, _ in reversed(self.keys):
            if rotation.size <= size:
                return rotation.key
        raise NoteError("a head from before the first key")


def read_history(stream: HeadStream) -> History:
    """Read the stream of heads; notes that no valid key signed count for nothing, as for the
    notary itself. Raises ``ConflictError`` for heads that do not follow one another."""
    history = History()
    for signed in stream.after(0):
        try:
            if signed.is_key:
                history.add_key(signed.note)
            else:
                history.add_head(signed.note)
        except NoteError:
            continue
    return history


def demand_newest(home: Path, history: History) -> None:
    """Raises ``ConflictError`` when the notary of this home knows of a head that ``history``
    does not hold: the stream of heads was cut, or is another's."""
    try:
        with closing(SortedMap(home / FOLDER / MAP, read_only=True)) as entries:
            kept = orjson.loads(entries.kept("head") or "null")
    except sqlite3.Error:
        return
    if kept and all(each.note != kept for each in history.heads):
        raise ConflictError("heads that the notary signed are no longer in the stream of heads")


class Evidence:
    """Both trees under the newest head of ``history``. ``map`` may move on while it is used:
    ``prove`` gives proofs that hold, or raises ``MovedOnError``."""

    def __init__(self, history: History, tree: HashStore, entries: SortedMap) -> None:
        self.history = history
        self.tree = tree
        self._map = entries

    @property
    def head(self) -> Head:
        """What everything is proved against."""
        return self.history.newest.head

    def prove(self, subject: str) -> MapProof:
        """What the head's map says of an aggregate."""
        proof = self._map.prove(subject)
        if not verify_map(subject, proof, root=self.head.map_root):
            raise MovedOnError
        return proof


class MovedOnError(Exception):
    """Another head was signed meanwhile."""


@contextmanager
def kept_evidence(home: Path, stream: HeadStream) -> Iterator[Evidence | None]:
    """What the notary keeps in the home, while it runs or not; ``None`` when that does not fit
    what was signed."""
    folder = home / FOLDER
    history = read_history(stream)
    head = history.newest.head
    try:
        tree = HashStore(folder / TREE, read_only=True)
    except OSError:
        yield None
        return
    with closing(tree):
        try:
            entries = SortedMap(folder / MAP, read_only=True)
        except sqlite3.Error:
            yield None
            return
        with closing(entries):
            fits = tree.size >= head.size and tree.root(head.size) == head.root
            yield Evidence(history, tree, entries) if fits else None


@contextmanager
def made_evidence(stream: HeadStream, read: Reading, told: Told) -> Iterator[Evidence]:
    """Both trees made again from the log, for a home whose notary kept nothing that fits."""
    history = read_history(stream)
    size = history.newest.head.size
    with (
        TemporaryDirectory(prefix="imewe-proof-") as folder,
        closing(HashStore(Path(folder))) as tree,
        closing(SortedMap()) as entries,
    ):
        while tree.size < size:
            records = read(tree.size, min(BATCH, size - tree.size))
            if not records:
                raise ConflictError(
                    f"the log ends at {tree.size}, and {size} events were signed",
                    remedy="imewe audit verify tells what is missing",
                )
            tree.append([leaf_hash(entry_of(record)) for record in records])
            for each in records:
                entries.set(each.subject, MapEntry(each.version, each.sequence, each.hash))
            told(tree.size, size)
        yield Evidence(history, tree, entries)

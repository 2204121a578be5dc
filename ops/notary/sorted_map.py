"""The map over the log: every aggregate's last event, in a tree whose shape follows its contents.

A compact sparse Merkle tree. The key of a subject is a hash, whose bits, the most significant
first, lead down from the root. A subtree without entries is 32 zero bytes, one with a single
entry is that entry's leaf, any other the node of its two halves: equal contents give an equal
root, whatever the order in which they came. All hashes are 32 bytes.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ops.notary.merkle import SIZE, lp
from ops.notary.top_tree import MANY, Block, TopTree

EMPTY = bytes(SIZE)
"""The root of a subtree without entries."""
BITS = 8 * SIZE
TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS entry
  (key BLOB PRIMARY KEY, version INTEGER, sequence INTEGER, hash TEXT, leaf BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, count INTEGER, hash BLOB);
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_LABEL = lp(b"imewe.map.v1")


class MapEntry(NamedTuple):
    """An aggregate's last event: its version, its stream sequence, its hash text."""

    version: int
    sequence: int
    hash: str

    @property
    def value(self) -> bytes:
        """What the leaf covers."""
        return value_of(self.version, sequence=self.sequence, hash=self.hash)


class OtherLeaf(NamedTuple):
    """The leaf of another aggregate, where the one asked for would have to be."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MapProof:
    """Siblings from the root down, and what lies at the end of the way.

    ``end`` is the subject's own entry, or, when the map does not hold it, ``None`` (an empty
    place) or the leaf of another.
    """

    siblings: tuple[bytes, ...]
    end: MapEntry | OtherLeaf | None


def key_of(subject: str) -> bytes:
    """The place of a subject."""
    return sha256(_LABEL + lp(subject.encode())).digest()


def value_of(version: int, *, sequence: int, hash: str) -> bytes:
    """What the leaf of an aggregate covers beside its key."""
    return lp(b"%d" % version) + lp(b"%d" % sequence) + lp(hash.encode())


def map_leaf(key: bytes, value: bytes) -> bytes:
    """The leaf over one entry."""
    return sha256(b"\2" + key + value).digest()


def map_node(left: bytes, right: bytes) -> bytes:
    """The node over two halves."""
    return sha256(b"\3" + left + right).digest()


def bit(key: bytes, depth: int) -> int:
    """The bit that chooses the half below ``depth`` nodes."""
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def map_root(entries: Iterable[tuple[str, MapEntry]]) -> bytes:
    """The root over ``(subject, last event)`` in any order, each subject once, in memory."""
    leaves = sorted(
        (key, map_leaf(key, entry.value))
        for key, entry in ((key_of(subject), entry) for subject, entry in entries)
    )
    return subtree([key for key, _ in leaves], [leaf for _, leaf in leaves])


def subtree(
    keys: Sequence[bytes], leaves: Sequence[bytes], *, depth: int = 0, span: slice | None = None
) -> bytes:
    """The root over sorted keys that share their first ``depth`` bits; ``span``: only of these."""
    start, end = (span.start, span.stop) if span else (0, len(keys))
    if end - start < 2:
        return leaves[start] if start < end else EMPTY
    middle = split(keys, depth, start, end)
    left = subtree(keys, leaves, depth=depth + 1, span=slice(start, middle))
    right = subtree(keys, leaves, depth=depth + 1, span=slice(middle, end))
    return map_node(left, right)


def split(keys: Sequence[bytes], depth: int, start: int, end: int) -> int:
    """Where, among sorted keys that share ``depth`` bits, those with the next bit set begin."""
    if bit(keys[start], depth):
        return start
    if not bit(keys[end - 1], depth):
        return end
    shift = BITS - 1 - depth
    pivot = (int.from_bytes(keys[start], "big") >> shift | 1) << shift
    return bisect_left(keys, pivot.to_bytes(SIZE, "big"), start, end)


def verify_map(subject: str, proof: MapProof, *, root: bytes) -> bool:
    """Whether ``proof.end`` is what the map with ``root`` holds where ``subject`` belongs."""
    key, siblings, end = key_of(subject), proof.siblings, proof.end
    if len(siblings) > BITS or any(len(each) != SIZE for each in siblings):
        return False
    if isinstance(end, OtherLeaf) and not _in_the_way(end.key, key, len(siblings)):
        return False
    found = _end_hash(key, end)
    for depth in reversed(range(len(siblings))):
        other = siblings[depth]
        found = map_node(other, found) if bit(key, depth) else map_node(found, other)
    return found == root


def _in_the_way(other: bytes, key: bytes, depth: int) -> bool:
    same = len(other) == SIZE and other != key
    return same and all(bit(other, at) == bit(key, at) for at in range(depth))


def _end_hash(key: bytes, end: MapEntry | OtherLeaf | None) -> bytes:
    match end:
        case None:
            return EMPTY
        case MapEntry():
            return map_leaf(key, end.value)
        case OtherLeaf():
            return map_leaf(end.key, end.value)


class SortedMap:
    """The map on disk (SQLite), or in memory when no path is given.

    Entries lie sorted by key and are hashed in blocks by the first ``top_bits`` of their keys; the
    tree above the blocks is kept in memory (at most 4.5 MB). Changes since the last ``commit`` are
    lost with the process; other processes see what was committed (``read_only``).
    """

    def __init__(
        self, path: Path | None = None, *, read_only: bool = False, top_bits: int = 16
    ) -> None:
        mode = "?mode=ro" if read_only else ""
        where = f"file:{quote(str(path))}{mode}" if path else ":memory:"
        self._store = sqlite3.connect(where, uri=True, check_same_thread=False)
        if not read_only:
            self._store.executescript(TABLES)
        self._bits = top_bits
        self._top = TopTree(top_bits, map_node)
        self._pending: dict[str, MapEntry] = {}
        self._top.place(self._store.execute("SELECT id, count, hash FROM block"))

    def set(self, subject: str, entry: MapEntry) -> None:
        """Put the last event of an aggregate in the place of the one before."""
        self._pending[subject] = entry

    def get(self, subject: str) -> MapEntry | None:
        """The last event of an aggregate, if it has any."""
        return self.find([subject]).get(subject)

    def find(self, subjects: Iterable[str]) -> dict[str, MapEntry]:
        """``get`` for many: those that there are."""
        found: dict[str, MapEntry] = {}
        asked: dict[bytes, str] = {}
        for subject in subjects:
            if entry := self._pending.get(subject):
                found[subject] = entry
            else:
                asked[key_of(subject)] = subject
        marks = ",".join("?" * len(asked))
        query = f"SELECT key, version, sequence, hash FROM entry WHERE key IN ({marks})"
        for key, *entry in self._store.execute(query, tuple(asked)):
            found[asked[key]] = MapEntry(*entry)
        return found

    def root(self) -> bytes:
        """The root over all entries."""
        self._flush()
        return self._top.hash(1)

    def prove(self, subject: str) -> MapProof:
        """What the map holds where ``subject`` belongs, with the way to it."""
        self._flush()
        key, node = key_of(subject), 1
        siblings: list[bytes] = []
        while self._top.has_many(node) and len(siblings) < self._bits:
            node = node * 2 + bit(key, len(siblings))
            siblings.append(self._top.hash(node ^ 1))
        keys, leaves = self._entries(key, len(siblings))
        start, end = 0, len(keys)
        while end - start > 1:
            depth = len(siblings)
            middle = split(keys, depth, start, end)
            left, right = slice(start, middle), slice(middle, end)
            own, other = (right, left) if bit(key, depth) else (left, right)
            siblings.append(subtree(keys, leaves, depth=depth + 1, span=other))
            start, end = own.start, own.stop
        return MapProof(
            siblings=tuple(siblings), end=self._end(key, keys[start]) if start < end else None
        )

    def keep(self, name: str, value: str) -> None:
        """Remember a word beside the entries; it lasts from their next ``commit`` on."""
        self._store.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))

    def kept(self, name: str) -> str:
        """What ``keep`` was told last, or nothing."""
        row = self._store.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def commit(self) -> None:
        """Make all changes last, together."""
        self._flush()
        self._store.commit()

    def forget(self) -> None:
        """Empty the map; the words kept beside it stay."""
        self._pending.clear()
        for table in ("entry", "block"):
            self._store.execute(f"DELETE FROM {table}")
        self._store.commit()
        self._top.clear()

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        self._store.close()

    def _flush(self) -> None:
        if not self._pending:
            return
        rows, blocks = [], set()
        for subject, entry in self._pending.items():
            key = key_of(subject)
            rows.append((key, *entry, map_leaf(key, entry.value)))
            blocks.add(int.from_bytes(key, "big") >> BITS - self._bits)
        self._store.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)
        self._pending.clear()
        hashed = [self._block(block) for block in blocks]
        self._store.executemany("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", hashed)
        self._top.place(hashed)

    def _block(self, block: int) -> Block:
        first = (block << BITS - self._bits).to_bytes(SIZE, "big")
        keys, leaves = self._entries(first, self._bits)
        return block, min(len(keys), MANY), subtree(keys, leaves, depth=self._bits)

    def _entries(self, key: bytes, depth: int) -> tuple[list[bytes], list[bytes]]:
        """Keys and leaves of all that share the first ``depth`` bits of ``key``, sorted."""
        rest = (1 << BITS - depth) - 1
        first = int.from_bytes(key, "big") & ~rest
        span = first.to_bytes(SIZE, "big"), (first | rest).to_bytes(SIZE, "big")
        query = "SELECT key, leaf FROM entry WHERE key BETWEEN ? AND ? ORDER BY key"
        rows = self._store.execute(query, span).fetchall()
        return [key for key, _ in rows], [leaf for _, leaf in rows]

    def _end(self, key: bytes, found: bytes) -> MapEntry | OtherLeaf:
        query = "SELECT version, sequence, hash FROM entry WHERE key = ?"
        entry = MapEntry(*self._store.execute(query, (found,)).fetchone())
        return entry if found == key else OtherLeaf(found, entry.value)

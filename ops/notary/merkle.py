"""The tree over the log: RFC 6962 / RFC 9162 section 2.1 with SHA-256.

A leaf is the hash of a record's entry, a node the hash of its two halves; both begin with a byte
of their own, so that neither can be shown as the other. Leaf ``i`` is stream sequence ``i + 1``.
All hashes are 32 bytes.
"""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from domain.shared.errors import InvalidInputError
from ops.eventstore.envelope import HASH, Record

SIZE = 32
STRETCH = 4096
"""Nodes that are made at a time."""
EMPTY = sha256(b"").digest()
"""The root of a tree without leaves."""

NodeAt = Callable[[int, int], bytes]
"""``(level, index)`` to the hash over leaves ``index << level`` to ``(index + 1) << level``."""


def lp(value: bytes) -> bytes:
    """A byte string after its own length as eight bytes, most significant first."""
    return len(value).to_bytes(8, "big") + value


def entry_of(record: Record) -> bytes:
    """What a leaf covers: sequence, the server's time as it gives it, subject, event hash."""
    headers = record.headers
    parts = (
        b"%d" % record.sequence,
        headers["Nats-Time-Stamp"].strip().encode(),
        record.subject.encode(),
        headers[HASH].encode(),
    )
    return b"".join([part for value in parts for part in (len(value).to_bytes(8, "big"), value)])


def leaf_hash(entry: bytes) -> bytes:
    """The leaf over one entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node over two halves."""
    return sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes in memory."""
    level = list(leaves)
    if not level:
        return EMPTY
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def range_root(node_at: NodeAt, start: int, end: int) -> bytes:
    """The root over leaves ``start`` to ``end``; ``start`` fits a subtree of that size."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node_at(level, start >> level)
    middle = start + _half(count)
    return node_hash(range_root(node_at, start, middle), range_root(node_at, middle, end))


def inclusion_path(node_at: NodeAt, index: int, size: int) -> list[bytes]:
    """RFC 6962 section 2.1.1: the siblings from the leaf up to the root."""
    start, end, down = 0, size, []
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            down.append(range_root(node_at, middle, end))
            end = middle
        else:
            down.append(range_root(node_at, start, middle))
            start = middle
    return down[::-1]


def consistency_path(node_at: NodeAt, old: int, new: int) -> list[bytes]:
    """RFC 6962 section 2.1.2: what shows that the first ``old`` leaves are still the same."""
    start, end, down = 0, new, []
    while old != end:
        middle = start + _half(end - start)
        if old <= middle:
            down.append(range_root(node_at, middle, end))
            end = middle
        else:
            down.append(range_root(node_at, start, middle))
            start = middle
    if start:
        down.append(range_root(node_at, start, end))
    return down[::-1]


def verify_inclusion(
    leaf: bytes, hashes: Sequence[bytes], *, index: int, size: int, root: bytes
) -> bool:
    """RFC 9162 section 2.1.3.2: whether ``leaf`` is number ``index`` of the tree with ``root``."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in hashes:
        if last == 0 or len(sibling) != SIZE:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    hashes: Sequence[bytes], *, old_size: int, new_size: int, old_root: bytes, new_root: bytes
) -> bool:
    """RFC 9162 section 2.1.4.2: whether the old tree is a prefix of the new one."""
    if old_size == 0 or old_size == new_size:
        same = old_root == EMPTY if old_size == 0 else old_root == new_root
        return same and not hashes
    if not 0 < old_size < new_size or any(len(each) != SIZE for each in hashes):
        return False
    path = list(hashes) if old_size & (old_size - 1) else [old_root, *hashes]
    if not path:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


class HashStore:
    """The hashes of a growing tree in flat files, one per level, each a row of whole nodes.

    Level ``k`` holds ``size >> k`` hashes. One writer; readers may open the same folder with
    ``read_only`` and ask about any size that was there before.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only
        self._files: list[int] = []
        if not read_only:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.size = os.fstat(self._file(0)).st_size // SIZE

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes. They are in the files, yet not on the disk before ``sync``."""
        old, self.size = self.size, self.size + len(leaves)
        os.pwrite(self._file(0), b"".join(leaves), old * SIZE)
        self._grow(old)

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` leaves and make every level fit them again."""
        if size > self.size:
            raise InvalidInputError(f"there are only {self.size} leaves", field="size")
        self.size = size
        for level in range(max(len(self._files), size.bit_length())):
            os.ftruncate(self._file(level), (size >> level) * SIZE)

    def rebuild(self) -> None:
        """Make all nodes again from the leaves."""
        self._grow(0)

    def sync(self) -> None:
        """Wait until the leaves are on the disk; nodes can be made again from them."""
        os.fsync(self._file(0))

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaf hashes from index ``start`` up to but not including ``end``."""
        return _cut(os.pread(self._file(0), (end - start) * SIZE, start * SIZE))

    def root(self, size: int | None = None) -> bytes:
        """The root when the tree had ``size`` leaves; now, when it is not given."""
        wanted = self._known(self.size if size is None else size)
        return range_root(self._node, 0, wanted) if wanted else EMPTY

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that leaf ``index`` is in the tree of ``size`` leaves."""
        if not 0 <= index < self._known(size):
            raise InvalidInputError(f"leaf {index} is not in a tree of {size}", field="index")
        return inclusion_path(self._node, index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of ``old`` leaves is a prefix of that of ``new``."""
        if not 0 <= old <= self._known(new):
            raise InvalidInputError(f"{old} leaves do not come before {new}", field="old")
        return consistency_path(self._node, old, new) if old else []

    def _known(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise InvalidInputError(f"the tree has {self.size} leaves, not {size}", field="size")
        return size

    def _grow(self, old: int) -> None:
        level = 1
        while self.size >> level:
            for start in range(old >> level, self.size >> level, STRETCH):
                self._make(level, start, min(start + STRETCH, self.size >> level))
            level += 1

    def _make(self, level: int, start: int, end: int) -> None:
        below = os.pread(self._file(level - 1), (end - start) * 2 * SIZE, start * 2 * SIZE)
        made = [
            sha256(b"\1" + below[at : at + 2 * SIZE]).digest()
            for at in range(0, len(below), 2 * SIZE)
        ]
        os.pwrite(self._file(level), b"".join(made), start * SIZE)

    def _node(self, level: int, index: int) -> bytes:
        return os.pread(self._file(level), SIZE, index * SIZE)

    def _file(self, level: int) -> int:
        how = os.O_RDONLY if self._read_only else os.O_RDWR | os.O_CREAT
        while len(self._files) <= level:
            path = self._folder / f"level-{len(self._files):02}"
            self._files.append(os.open(path, how | os.O_CLOEXEC, 0o600))
        return self._files[level]


def _half(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _cut(row: bytes) -> list[bytes]:
    return [row[at : at + SIZE] for at in range(0, len(row), SIZE)]

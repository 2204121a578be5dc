"""The upper part of the sorted map's tree, kept whole in memory; numbered as a heap from 1."""

from collections.abc import Callable, Iterable

from ops.notary.merkle import SIZE

MANY = 2
"""How many entries are counted below a node at most: none, one, many."""

Block = tuple[int, int, bytes]
"""A node of the lowest level by its number from the left, its count up to ``MANY``, its hash."""


class TopTree:
    """``2 ** bits`` blocks and all nodes above them. ``join`` hashes two halves."""

    def __init__(self, bits: int, join: Callable[[bytes, bytes], bytes]) -> None:
        self.bits = bits
        self._join_hashes = join
        self._hashes = bytearray(SIZE << bits + 1)
        self._counts = bytearray(1 << bits + 1)

    def place(self, blocks: Iterable[Block]) -> None:
        """Put hashes of blocks into the lowest level, and hash all that is above them."""
        changed = set()
        for block, count, found in blocks:
            node = block + (1 << self.bits)
            self._put(node, count, found)
            changed.add(node >> 1)
        for _ in range(self.bits):
            for node in changed:
                self._join(node)
            changed = {node >> 1 for node in changed}

    def hash(self, node: int) -> bytes:
        """What stands at a node; zeros where there is nothing below."""
        return bytes(self._hashes[node * SIZE : (node + 1) * SIZE])

    def has_many(self, node: int) -> bool:
        """Whether more than one entry lies below."""
        return self._counts[node] == MANY

    def clear(self) -> None:
        """Forget everything."""
        self._hashes[:] = bytes(len(self._hashes))
        self._counts[:] = bytes(len(self._counts))

    def _join(self, node: int) -> None:
        """A lone entry stands at every node on its way up, as high as it is alone."""
        left, right = self._counts[node * 2], self._counts[node * 2 + 1]
        if left + right >= MANY:
            found = self._join_hashes(self.hash(node * 2), self.hash(node * 2 + 1))
            self._put(node, MANY, found)
        else:
            self._put(node, left or right, self.hash(node * 2 + (1 if right else 0)))

    def _put(self, node: int, count: int, found: bytes) -> None:
        self._counts[node] = count
        self._hashes[node * SIZE : (node + 1) * SIZE] = found

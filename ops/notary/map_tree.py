"""The sorted map's tree in memory alone, for checks that compare its root often."""

from typing import Any

from ops.notary.sorted_map import EMPTY, MapEntry, bit, key_of, map_leaf, map_node

Node = Any
"""``None``; a leaf, ``(hash, key)``; or ``[hash or None, half with bit 0, half with bit 1]``."""


class MapTree:
    """Only what changed since the last ``root`` is hashed again. About 400 bytes an entry."""

    def __init__(self) -> None:
        self._top: Node = None

    def set(self, subject: str, entry: MapEntry) -> None:
        """Put the last event of an aggregate in the place of the one before."""
        key = key_of(subject)
        self._top = _put(self._top, 0, key, map_leaf(key, entry.value))

    def root(self) -> bytes:
        """The root over all entries."""
        return _root(self._top)


def _put(node: Node, depth: int, key: bytes, leaf: bytes) -> Node:
    if node is None or (type(node) is tuple and node[1] == key):
        return leaf, key
    if type(node) is tuple:
        node = [None, None, node] if bit(node[1], depth) else [None, node, None]
    side = 1 + bit(key, depth)
    node[0] = None
    node[side] = _put(node[side], depth + 1, key, leaf)
    return node


def _root(node: Node) -> bytes:
    if node is None:
        return EMPTY
    if node[0] is None:
        node[0] = map_node(_root(node[1]), _root(node[2]))
    found: bytes = node[0]
    return found

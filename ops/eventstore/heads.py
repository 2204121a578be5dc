"""Where each aggregate stands: what the next event must expect, continue and list."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from ops.eventstore.envelope import WINDOW, Record

CACHED_HEADS = 5_000


class Head(NamedTuple):
    """An aggregate's last event.

    ``trail`` holds the sequences that the next event lists: of every version since the last
    multiple of ``WINDOW``, the newest last. While a batch is planned, ``-1 - i`` in it stands for
    the batch's own event ``i``.
    """

    subject: str
    version: int
    sequence: int
    hash: str
    trail: tuple[int, ...]


def head_of(record: Record) -> Head:
    """The head when this record is its aggregate's last."""
    return advanced(
        Head(record.subject, record.version - 1, 0, "", record.previous),
        sequence=record.sequence,
        digest=record.hash,
    )


def advanced(head: Head, *, sequence: int, digest: str) -> Head:
    """The head after one more event."""
    version = head.version + 1
    trail = (sequence,) if version % WINDOW == 0 else (*head.trail, sequence)
    return Head(head.subject, version, sequence, digest, trail)


class HeadCache:
    """The heads of the aggregates used last; a wrong one costs a refused save, never a fork."""

    def __init__(self, size: int = CACHED_HEADS) -> None:
        self._size = size
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, token: str) -> Head | None:
        with self._lock:
            head = self._heads.get(token)
            if head is not None:
                self._heads.move_to_end(token)
            return head

    def put(self, token: str, head: Head) -> None:
        """Remember a head, unless a later one is known already."""
        with self._lock:
            known = self._heads.get(token)
            if known is not None and known.sequence > head.sequence:
                return
            self._heads[token] = head
            self._heads.move_to_end(token)
            if len(self._heads) > self._size:
                self._heads.popitem(last=False)

    def forget(self, token: str) -> None:
        with self._lock:
            self._heads.pop(token, None)

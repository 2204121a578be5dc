"""Checks a whole log against everything that was signed over it: chain, tree, map, heads, keys.

Nothing that the notary keeps is believed; only its signed heads are, and its keys as they follow
one another. Where its kept tree has the root that was signed, that tree says which event changed.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

from domain.shared.errors import InvalidInputError
from ops.eventstore.chain import ChainCheck, Flaw, Last
from ops.eventstore.envelope import Record
from ops.notary.evidence import History, SignedHead
from ops.notary.map_tree import MapTree
from ops.notary.merkle import EMPTY, entry_of, leaf_hash, node_hash
from ops.notary.sorted_map import MapEntry

BATCH = 1000
SAVE_EVERY = 50_000


class Peaks:
    """A growing tree of which only the roots of whole subtrees are kept, the largest first."""

    def __init__(self, size: int = 0, hashes: list[bytes] | None = None) -> None:
        self.size = size
        self.hashes = hashes or []

    def add(self, leaf: bytes) -> None:
        """One more leaf."""
        at, self.size = self.size, self.size + 1
        while at & 1:
            leaf, at = node_hash(self.hashes.pop(), leaf), at >> 1
        self.hashes.append(leaf)

    def root(self) -> bytes:
        """The root now."""
        if not self.hashes:
            return EMPTY
        return reduce(lambda right, left: node_hash(left, right), reversed(self.hashes))


class Leaves(Protocol):
    """The tree that the notary kept; where it has the root that was signed, its leaves are what
    was signed, and say where a difference begins."""

    @property
    def size(self) -> int: ...

    def root(self, size: int) -> bytes: ...

    def leaves(self, start: int, end: int) -> list[bytes]: ...


@dataclass(slots=True)
class Found:
    """How a check ended. ``flaw`` is the first thing that is wrong."""

    checked: int = 0
    signed: int = 0
    heads: int = 0
    flaw: Flaw | None = None

    @property
    def unsigned_tail(self) -> int:
        """Events that no head covers; their chain was checked, and nothing more."""
        return max(0, self.checked - self.signed)


class LogCheck:
    """Takes the log's records in order. ``state`` can go on where another stopped."""

    def __init__(self, history: History, *, kept: Leaves | None = None) -> None:
        self._heads = {each.head.size: each for each in history.heads}
        self._newest = history.heads[-1].head.size if history.heads else 0
        self._kept = kept
        self._map = MapTree()
        self._told: set[str] = set()
        self._peaks = Peaks()
        self._signed = 0
        self._fresh: list[bytes] = []
        self._chain = ChainCheck(first=1)

    @property
    def checked(self) -> int:
        """The last sequence that was taken."""
        return self._peaks.size

    def take(self, records: Iterable[Record]) -> Flaw | None:
        """The next records; a ``Flaw`` ends the check."""
        chain, heads, told = self._chain, self._heads, self._told
        for record in records:
            if flaw := chain.take(record):
                return flaw
            leaf = leaf_hash(entry_of(record))
            self._peaks.add(leaf)
            self._fresh.append(leaf)
            told.add(record.subject)
            head = heads.get(record.sequence)
            if head and (flaw := self._meet(head)):
                return flaw
        return None

    def end(self) -> Found:
        """What was found, when the log ended here."""
        found = Found(checked=self.checked, signed=self._signed, heads=len(self._heads))
        if self.checked < self._newest:
            found.flaw = Flaw(self.checked + 1, f"missing: {self._newest} events were signed")
        return found

    def state(self) -> dict[str, Any]:
        """What to keep so as to go on from here."""
        return {
            "checked": self.checked,
            "signed": self._signed,
            "peaks": [each.hex() for each in self._peaks.hashes],
            "last": {subject: list(last) for subject, last in self._chain.last.items()},
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ``InvalidInputError`` when it is none."""
        try:
            self._peaks = Peaks(
                int(state["checked"]), [bytes.fromhex(each) for each in state["peaks"]]
            )
            self._signed = int(state["signed"])
            last = {subject: Last(*last) for subject, last in state["last"].items()}
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInputError(
                "this is no state of a check", field="state", remedy="begin anew: --afresh"
            ) from error
        self._told = set(last)
        self._chain = ChainCheck(first=self.checked + 1, known=last)

    def _meet(self, signed: SignedHead) -> Flaw | None:
        head = signed.head
        if self._peaks.root() != head.root:
            return self._first_other(head.size, head.root)
        for subject in self._told:
            last = self._chain.last[subject]
            self._map.set(subject, MapEntry(last.version, last.sequence, last.hash))
        self._told.clear()
        if self._map.root() != head.map_root:
            return Flaw(head.size, "the signed map is not that of the events up to here")
        self._signed, self._fresh = head.size, []
        return None

    def _first_other(self, size: int, root: bytes) -> Flaw:
        start = size - len(self._fresh)
        if self._kept and self._kept.size >= size and self._kept.root(size) == root:
            then = self._kept.leaves(start, size)
            for at, (now, before) in enumerate(zip(self._fresh, then, strict=True), start + 1):
                if now != before:
                    return Flaw(at, "is not the event that was signed")
        first = self._signed + 1
        return Flaw(first, f"this event or one up to {size} is not what was signed")


Read = Callable[[int, int], list[Record]]
Told = Callable[[int, int], None]


def check_log(
    check: LogCheck,
    read: Read,
    size: int,
    *,
    told: Told = lambda _done, _of: None,
    save: Callable[[dict[str, Any]], None] = lambda _state: None,
) -> Found:
    """Read the log up to ``size`` and check it. ``read(after, limit)`` gives records; ``save`` is
    given a state now and then, and when it is interrupted."""
    saved = check.checked
    try:
        while check.checked < size:
            records = read(check.checked, min(BATCH, size - check.checked))
            if not records:
                return _ended(check, Flaw(check.checked + 1, "missing: the log does not give it"))
            if flaw := check.take(records):
                return _ended(check, flaw)
            told(check.checked, size)
            if check.checked - saved >= SAVE_EVERY:
                save(check.state())
                saved = check.checked
    except KeyboardInterrupt:
        save(check.state())
        raise
    return check.end()


def _ended(check: LogCheck, flaw: Flaw) -> Found:
    found = check.end()
    found.flaw = flaw
    return found


def read_state(path: Path, origin: str) -> dict[str, Any] | None:
    """What ``write_state`` kept for this log. Raises ``InvalidInputError`` for another's."""
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidInputError(
            f"{path} is no state of a check", field="state", remedy="begin anew: --afresh"
        ) from error
    if not isinstance(state, dict) or state.get("origin") != origin:
        raise InvalidInputError(
            f"{path} belongs to the check of another log",
            field="state",
            remedy="begin anew: --afresh",
        )
    return state


def write_state(path: Path, origin: str, state: dict[str, Any]) -> None:
    """Keep how far a check is, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({"origin": origin, **state}))
    fresh.replace(path)

"""Checks a stretch of the log without trusting who keeps it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ops.eventstore.envelope import FIELDS, HASH, Record, hash_of

NAMES = frozenset({*FIELDS, HASH})


class Flaw(NamedTuple):
    """The first bad sequence and what is wrong with it."""

    sequence: int
    reason: str


class Last(NamedTuple):
    """An aggregate's last record."""

    sequence: int
    version: int
    hash: str


class ChainCheck:
    """Takes records in order and remembers, per aggregate, what the next one must follow.

    ``first`` is the sequence to begin with. When it is above 1, the first record of each
    aggregate is taken on trust as to what went before it; from 1 on, nothing is, and neither is
    where ``known`` gives, by subject, the last record of every aggregate before ``first``.
    """

    def __init__(self, *, first: int = 1, known: Mapping[str, Last] | None = None) -> None:
        self._whole = first == 1 or known is not None
        self._next = first
        self._last = dict(known or {})

    def take(self, record: Record) -> Flaw | None:
        """Check one more record; a ``Flaw`` ends the check."""
        try:
            reason = self._wrong(record)
        except (KeyError, ValueError):
            reason = "headers that cannot be read"
        if reason:
            bad = self._next if record.sequence > self._next else record.sequence
            return Flaw(bad, reason)
        self._next += 1
        self._last[record.subject] = Last(record.sequence, record.version, record.hash)
        return None

    @property
    def last(self) -> Mapping[str, Last]:
        """The last record of every aggregate so far, by subject."""
        return self._last

    def end(self, last: int) -> Flaw | None:
        """Check that the stretch reached ``last``, as somebody trusted says it must."""
        if self._next <= last:
            return Flaw(self._next, "missing at the end")
        return None

    def _wrong(self, record: Record) -> str:
        if record.sequence != self._next:
            return "missing" if record.sequence > self._next else "out of order"
        for strange in record.headers.keys() - NAMES:
            if strange.startswith("Imewe-"):
                return f"unknown header {strange}"
        if record.headers.get(HASH) != hash_of(record.subject, record.headers, record.body):
            return "content does not match its hash"
        return self._unchained(record)

    def _unchained(self, record: Record) -> str:
        before = self._last.get(record.subject)
        if before is None:
            begins = record.previous_hash == "" and not record.previous and record.version < 2
            return "" if begins or not self._whole else "does not begin its aggregate"
        version = record.version
        if version != before.version + 1:
            return f"version {version} after {before.version}"
        if record.previous_hash != before.hash:
            return "does not continue its aggregate's chain"
        listed = int(record.headers.get("Imewe-Prev", "").rpartition(",")[2] or 0)
        if (listed if listed > 0 else record.sequence + listed) != before.sequence:
            return "names another predecessor"
        return ""


def verify(records: Iterable[Record], *, first: int = 1, last: int | None = None) -> Flaw | None:
    """Check records from ``first`` on; ``last`` is the sequence the log must reach."""
    check = ChainCheck(first=first)
    for record in records:
        if flaw := check.take(record):
            return flaw
    return check.end(last) if last is not None else None

"""Whether a stretch of the log still is what the notary took from it."""

from collections.abc import Sequence

from ops.eventstore.chain import Flaw
from ops.eventstore.envelope import HASH, Record, hash_of
from ops.notary.merkle import entry_of, leaf_hash

CHANGED = "is not the event that was here before"
"""Or the kept leaf is not: only what was signed can tell."""


def differs(records: Sequence[Record], leaves: Sequence[bytes], *, after: int) -> Flaw | None:
    """The first of ``leaves``, those behind sequence ``after``, that the log no longer has."""
    for sequence, leaf in enumerate(leaves, after + 1):
        if sequence - after > len(records):
            return Flaw(sequence, "missing")
        if reason := _changed(records[sequence - after - 1], sequence, leaf):
            return Flaw(sequence, reason)
    return None


def _changed(record: Record, sequence: int, leaf: bytes) -> str:
    if record.sequence != sequence:
        return "missing"
    if record.headers.get(HASH) != hash_of(record.subject, record.headers, record.body):
        return "content does not match its hash"
    if leaf_hash(entry_of(record)) != leaf:
        return CHANGED
    return ""

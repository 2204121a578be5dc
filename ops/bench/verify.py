"""Verifying a log, chain, leaves, tree, heads and map, against decoding the same records alone.

Both sides get the same records in memory, in the form in which they come from the server, so that
neither pays for the wire: what verifying costs beyond reading is what is asked here.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from domain.shared.identifiers import derived
from ops.bench.result import BenchResult, Figure
from ops.eventstore.envelope import (
    FIELDS,
    HASH,
    WINDOW,
    Record,
    event_id,
    hash_of,
    previous_text,
    time_text,
)
from ops.eventstore.heads import Head as Chain
from ops.eventstore.heads import advanced
from ops.eventstore.reader import recorded_event
from ops.notary.evidence import History, SignedHead
from ops.notary.heads import Head
from ops.notary.map_tree import MapTree
from ops.notary.merkle import entry_of, leaf_hash
from ops.notary.sorted_map import MapEntry
from ops.notary.verifying import BATCH, LogCheck, Peaks

GOAL = 2.0
EVENTS = 1_000_000
EVENTS_PER_AGGREGATE = 40
EVENTS_PER_HEAD = 1000
ACTIVE = 100
"""Machines that work at the same time."""
BEGIN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ORGANISATION = str(derived("organisation", "bench"))


def run(folder: Path, *, events: int = EVENTS, rounds: int = 5) -> list[BenchResult]:
    """Measure on records that are made here; nothing is written to ``folder``."""
    records = made_records(events)
    history = signed_history(records)
    decoding: list[float] = []
    verifying: list[float] = []
    chain_and_tree: list[float] = []
    for _ in range(rounds):
        decoding.append(_decode(records))
        verifying.append(_verify(records, history))
        chain_and_tree.append(_verify(records, History()))
    whole = Figure(label="verify: chain, tree, heads and map", unit="us/event", runs=verifying)
    alone = Figure(label="decode alone", unit="us/event", runs=decoding)
    hashes = Figure(label="verify: chain and tree", unit="us/event", runs=chain_and_tree)
    ratio = whole.median / alone.median
    return [
        BenchResult(
            name="verify",
            what=f"{events:,} events in memory, {EVENTS_PER_AGGREGATE} of each object,"
            f" {ACTIVE} objects at a time, a head every {EVENTS_PER_HEAD}.",
            figures=[whole, alone, hashes],
            goal=f"at most {GOAL:g} times decoding alone",
            met=ratio <= GOAL,
            ratio=ratio,
            notes=["one core; the signatures of the heads are checked when they are read"],
        )
    ]


def made_records(events: int) -> list[Record]:
    """Records as the writer makes them, of ``ACTIVE`` aggregates at a time."""
    chains: dict[UUID, Chain] = {}
    records: list[Record] = []
    for sequence in range(1, events + 1):
        shift = sequence // (ACTIVE * EVENTS_PER_AGGREGATE)
        one = derived("bench", shift * ACTIVE + sequence % ACTIVE)
        chain = chains.get(one) or Chain(f"imewe.events.build.{one}", 0, 0, "", ())
        record = _record(sequence, str(one), chain)
        chains[one] = advanced(chain, sequence=sequence, digest=record.hash)
        records.append(record)
    return records


def _record(sequence: int, token: str, chain: Chain) -> Record:
    version, moment = chain.version + 1, time_text(BEGIN + timedelta(milliseconds=sequence))
    body = b'{"percent":%d}' % (sequence % 100)
    headers = {
        "Imewe-Version": str(version),
        "Imewe-Topic": "imewe.build:Progressed",
        "Imewe-Prev": previous_text(chain.trail[-WINDOW:], 0),
        "Imewe-Event": event_id(token, version),
        "Imewe-Command": str(derived("command", sequence)),
        "Imewe-Cause": str(derived("cause", sequence)),
        "Imewe-Story": str(derived("story", token)),
        "Imewe-Org": ORGANISATION,
        "Imewe-Actor-Kind": "bridge",
        "Imewe-Actor": "local",
        "Imewe-Occurred": moment,
        "Imewe-Recorded": moment,
        "Imewe-Schema": "1",
        "Imewe-Prev-Hash": chain.hash,
    }
    headers = {name: headers[name] for name in FIELDS if headers.get(name)}
    headers[HASH] = hash_of(chain.subject, headers, body)
    headers |= {
        "Nats-Stream": " IMEWE_EVENTS",
        "Nats-Subject": f" {chain.subject}",
        "Nats-Sequence": f" {sequence}",
        "Nats-Time-Stamp": f" {moment[:-1]}456789Z",
    }
    return Record(sequence=sequence, subject=chain.subject, headers=headers, body=body)


def signed_history(records: Sequence[Record]) -> History:
    """The heads that a notary would have signed, without the signatures."""
    history, peaks, entries = History(), Peaks(), MapTree()
    for record in records:
        peaks.add(leaf_hash(entry_of(record)))
        entries.set(record.subject, MapEntry(record.version, record.sequence, record.hash))
        if record.sequence % EVENTS_PER_HEAD == 0 or record.sequence == len(records):
            head = Head(
                origin="bench",
                size=record.sequence,
                root=peaks.root(),
                map_root=entries.root(),
                time=time_text(BEGIN),
                before="",
            )
            history.heads.append(SignedHead(head, head.text))
    return history


def _decode(records: Sequence[Record]) -> float:
    """Microseconds per event."""
    begin = time.perf_counter()
    for record in records:
        recorded_event(record)
    return (time.perf_counter() - begin) * 1e6 / len(records)


def _verify(records: list[Record], history: History) -> float:
    """Microseconds per event. Raises ``RuntimeError`` when what was made does not verify."""
    begin = time.perf_counter()
    check = LogCheck(history)
    for at in range(0, len(records), BATCH):
        if flaw := check.take(records[at : at + BATCH]):
            raise RuntimeError(f"event {flaw.sequence} {flaw.reason}")
    found = check.end()
    if found.flaw:
        raise RuntimeError(found.flaw.reason)
    return (time.perf_counter() - begin) * 1e6 / len(records)

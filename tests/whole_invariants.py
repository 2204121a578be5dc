"""What must hold of a whole system whatever was killed."""

import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

import psycopg
from psycopg.conninfo import make_conninfo

from domain.build.aggregate import Build
from domain.shared.recorded import RecordedEvent
from ops.artifacts.store import BUCKET
from ops.database.connection import conninfo
from ops.eventstore.chain import verify
from ops.eventstore.client import Client, read_answer
from ops.eventstore.envelope import Record
from ops.eventstore.reader import LogReader, recorded_event
from ops.messaging.connection import address
from ops.notary.evidence import History, read_history
from ops.notary.head_stream import HeadStream
from ops.notary.merkle import entry_of, leaf_hash, root
from ops.notary.sorted_map import MapEntry, SortedMap
from ops.projecting.applying import parked_keys
from projections.catalogue import CATALOGUE
from tests.projecting import dumped, migrated, positions, project
from tests.whole import ENDED, Whole

PAGE = 1000

Refusal = Callable[..., AbstractContextManager[None]]
"""``with refused(code, field)``: what is inside is refused so, and leaves nothing behind."""


def check_everything(whole: Whole, *job_ids: str) -> None:
    """All invariants; ``job_ids``: orders that have ended or wait for an answer."""
    heads = signed_heads(whole)
    records = whole_log(whole)
    check_log(whole, records)
    check_heads(heads, records)
    events = [recorded_event(record) for record in records]
    check_starts(whole, events)
    check_stock(whole)
    check_projections(whole)
    for job_id in job_ids:
        job = whole.job(job_id)
        assert job["status"] in ENDED or whole.questions(job), job


def whole_log(whole: Whole) -> list[Record]:
    """Every stored record, as an auditor reads it."""
    with closing(Client(address(whole.settings, "projections"))) as client:
        reader = LogReader.through_import(client)
        records: list[Record] = []
        while page := reader.read_raw(len(records), PAGE):
            records += page
        assert records[-1].sequence == len(records)
        reader.close()
        return records


def stored_messages(whole: Whole) -> int:
    """How many messages the file store holds, chunks that nobody refers to among them."""
    with closing(Client(address(whole.settings, "gateway"))) as client:
        answer = read_answer(client.request(f"$JS.API.STREAM.INFO.OBJ_{BUCKET}"))
        return int(answer["state"]["messages"])


def check_log(whole: Whole, records: list[Record]) -> None:
    """The chain holds from the first event, and what was acknowledged is there."""
    assert verify(records, last=len(records)) is None
    for aggregate_id, position in whole.acknowledged:
        assert position <= len(records), f"position {position} was acknowledged and is lost"
        assert records[position - 1].aggregate == aggregate_id


def signed_heads(whole: Whole) -> History:
    """Everything that the notary signed; each head follows from the one before."""
    with closing(Client(address(whole.settings, "log_notary"))) as client:
        return read_history(HeadStream(client))


def check_heads(history: History, records: list[Record]) -> None:
    """Every head is over what the log holds: nothing signed was lost, changed or forked."""
    leaves = [leaf_hash(entry_of(record)) for record in records]
    entries, taken = SortedMap(), 0
    for head, _ in history.heads:
        assert taken < head.size <= len(records), f"{head.size} were signed, {len(records)} found"
        for each in records[taken : head.size]:
            entries.set(each.subject, MapEntry(each.version, each.sequence, each.hash))
        taken = head.size
        assert root(leaves[:taken]) == head.root, f"the head over {taken} is over something else"
        assert entries.root() == head.map_root
    entries.close()


def check_starts(whole: Whole, events: list[RecordedEvent]) -> None:
    """No machine began more often than the log says, and none less, but for what is unknown.

    A build whose outcome is unknown may have begun once or not at all.
    """
    node_of: dict[str, str] = {}
    started: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    for recorded in events:
        key = str(recorded.aggregate_id)
        match recorded.event:
            case Build.Planned(node_id=node_id):
                node_of[key] = node_id
            case Build.Started():
                started[node_of[key]] += 1
                begun[key] += 1
            case Build.OutcomeBecameUnknown():
                unknown[node_of[key]] += 1
    assert not [build for build, times in begun.items() if times > 1]
    for node_id, name in whole.names.items():
        moved = whole.moved(node_id)["starts"]
        least = started[node_id] - unknown[node_id]
        assert least <= moved <= started[node_id], (name, least, moved, started[node_id])


def check_stock(whole: Whole) -> None:
    """Nothing is negative, and every milligram that came in is somewhere."""
    for lot in whole.lots():
        parts = ("freeMg", "reservedMg", "consumedMg", "wastedMg", "inTransitMg")
        assert all(lot[part] >= 0 for part in parts), lot
        assert lot["suppliedMg"] == sum(lot[part] for part in parts) - lot["adjustedMg"], lot


def check_projections(whole: Whole) -> None:
    """What readers see is what a rebuild from the first event makes, byte for byte."""
    with psycopg.connect(conninfo(whole.settings), autocommit=True) as live:
        position, served = whole.until(lambda: _at_rest(whole, live), "projections at rest")
        events = [recorded_event(record) for record in whole_log(whole)][:position]
        name = f"check_{uuid.uuid4().hex}"
        live.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        try:
            with migrated(make_conninfo(conninfo(whole.settings), dbname=name)) as fresh:
                project(fresh, events)
                for projection, ours, theirs in zip(CATALOGUE, dumped(fresh), served, strict=True):
                    assert ours == theirs, f"{projection.name} differs from its rebuild"
        finally:
            live.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _at_rest(
    whole: Whole, live: "psycopg.Connection[tuple[object, ...]]"
) -> tuple[int, list[bytes]] | None:
    """All projections at one position, the log's last, and still there after they were read."""
    last = len(whole_log(whole))
    before = positions(live)
    if set(before.values()) != {last} or len(before) != len(CATALOGUE):
        return None
    found = dumped(live)
    for (schema,) in live.execute("SELECT schema FROM imewe.projections").fetchall():
        assert not parked_keys(live, str(schema)), f"{schema} has parked keys"
    return (last, found) if positions(live) == before else None

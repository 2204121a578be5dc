"""Durable append of one event, one writer: our recorder against the library's PostgreSQL recorder.

Both servers are embedded ones of this bench's own, on the same disk, both synced before they
acknowledge. The rounds are interleaved, so that a neighbour's load meets both alike. Ours writes
more: an envelope of seventeen headers and a hash over all of it.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from domain.shared.recorded import Actor, Envelope
from ops.bench.result import BenchResult, Figure
from ops.database.server import EmbeddedPostgres
from ops.eventstore.client import Client
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.streams import ensure_streams
from ops.eventstore.wire import Address
from ops.hosting.account import server_account
from ops.hosting.home import make_home
from ops.messaging.server import EmbeddedNats, credentials

GOAL = 2.0
BODY = (
    b'{"node_id":"7f0c1d5e-prusa","build_id":"0b9e6a52","percent":35,"note":"' + b"x" * 180 + b'"}'
)


def run(folder: Path, *, rounds: int = 7, saves: int = 200) -> list[BenchResult]:
    """Measure on servers in a home inside ``folder``, on the disk that is meant."""
    home = make_home(folder / "home")
    nats = EmbeddedNats(home, server_account())
    postgres = EmbeddedPostgres(home, server_account())
    nats.start()
    try:
        postgres.start()
        try:
            return [measure(nats, postgres.url, home, rounds=rounds, saves=saves)]
        finally:
            postgres.stop()
    finally:
        nats.stop()


def measure(
    nats: EmbeddedNats, conninfo: str, home: Path, *, rounds: int, saves: int
) -> BenchResult:
    """Measure on servers that run; the first round of each warms up and does not count."""
    factory = _log(nats, home)
    datastore = _datastore(conninfo)
    try:
        ours = factory.application_recorder()
        theirs = PostgresApplicationRecorder(datastore, events_table_name="bench_append")
        theirs.create_table()
        ours_ms: list[float] = []
        theirs_ms: list[float] = []
        for _ in range(rounds + 1):
            ours_ms.append(_appends(ours, saves))
            theirs_ms.append(_appends(theirs, saves))
    finally:
        datastore.close()
        factory.close()
    return _result(ours_ms[1:], theirs_ms[1:], saves)


def _appends(recorder: ApplicationRecorder, saves: int) -> float:
    """Milliseconds per save of one event to one aggregate."""
    aggregate = uuid4()
    envelope = Envelope(
        command_id="b8a4a2f0-5a3e-5ce2-8f2a-6a6a2f1a0c11",
        causation_id="2f1a0c11-5a3e-5ce2-8f2a-b8a4a2f06a6a",
        correlation_id="6a6a2f1a-5a3e-5ce2-8f2a-0c11b8a4a2f0",
        organisation_id="workshop",
        site_id="hall-1",
        actor=Actor(kind="service", id="processes"),
        occurred_at=datetime.now(UTC),
    )
    begun = time.perf_counter()
    for version in range(1, saves + 1):
        event = StoredEvent(aggregate, version, "imewe.build:Progressed", BODY)
        recorder.insert_events([event], envelope=envelope)
    return (time.perf_counter() - begun) * 1000 / saves


def _log(nats: EmbeddedNats, home: Path) -> JetStreamFactory:
    passwords = credentials(home)
    user = "log_supervisor"
    supervisor = Client(
        Address(host="127.0.0.1", port=nats.port, user=user, password=passwords[user])
    )
    try:
        ensure_streams(supervisor)
    finally:
        supervisor.close()
    return JetStreamFactory(
        {
            "NATS_PORT": str(nats.port),
            "NATS_USER": "log_commands",
            "NATS_PASSWORD": passwords["log_commands"],
        }
    )


def _datastore(conninfo: str) -> PostgresDatastore:
    given = conninfo_to_dict(conninfo)
    return PostgresDatastore(
        dbname=str(given["dbname"]),
        host=str(given["host"]),
        port=str(given.get("port") or 5432),
        user=str(given["user"]),
        password=str(given.get("password") or ""),
    )


def _result(ours: Sequence[float], theirs: Sequence[float], saves: int) -> BenchResult:
    figures = (
        Figure(label="JetStream, our recorder", unit="ms per event", runs=ours),
        Figure(label="PostgreSQL, the library's recorder", unit="ms per event", runs=theirs),
    )
    ratio = figures[1].median / figures[0].median
    return BenchResult(
        name="append",
        what=f"One writer appends single events, each durable before the next; {saves} per round.",
        figures=figures,
        goal=f"at least {GOAL:g} times as fast",
        met=ratio >= GOAL,
        ratio=ratio,
        notes=("both sync to the same disk before they answer",),
    )

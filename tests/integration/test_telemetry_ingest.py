"""From the stream to the rows, with a real nats-server and a real PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import nats
import orjson
import psycopg
import pytest

from domain.telemetry.messages import Batch, read_batch
from ops.eventstore.client import Client
from ops.messaging.connection import address, nats_options
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ensure_app_streams
from ops.projecting.places import Connection
from ops.settings import Settings
from ops.telemetry.ingest import Ingest
from ops.telemetry.stream import TelemetryStream
from projections.telemetry import postgres
from projections.telemetry.chunks import encode
from projections.telemetry.known import load
from projections.telemetry.postgres import TelemetryFencedError
from tests.projecting import migrated
from tests.telemetry import HOT_END, NODE, told

PATIENCE_S = 30.0
STORE = (1 << 30) + (256 << 20)
HOSTILE = (
    b"",
    b"\x00\xff",
    b"[]",
    b'{"node_id": "another"}',
    b"{" * 5000,
    orjson.dumps({**told([]), "t": [1], "c": [0], "v": [1.0]}),
)


@pytest.fixture
def installed(fresh_settings: Settings, fresh_nats: EmbeddedNats, database_url: str) -> Settings:
    settings = replace(fresh_settings, database_url=database_url)
    asyncio.run(_streams(settings))
    migrated(database_url).close()
    return settings


async def _streams(settings: Settings) -> None:
    client = await nats.connect(**nats_options(settings, "supervisor"))
    await ensure_app_streams(client, store_bytes=STORE)
    await client.close()


def now() -> int:
    return time.time_ns() // 1_000_000


def publish(settings: Settings, *bodies: bytes, node_id: str = NODE) -> None:
    async def work() -> None:
        client = await nats.connect(**nats_options(settings, "bridge"))
        for body in bodies:
            answer = await client.request(f"imewe.telemetry.{node_id}", body, timeout=10)
            assert b"error" not in answer.data
        await client.close()

    asyncio.run(work())


def message(seq: int, readings: int = 3, **more: Any) -> bytes:
    at = now() - 60_000
    taken = [(at + seq * 100 + n, HOT_END, 200.0 + n) for n in range(readings)]
    return orjson.dumps(told(taken, seq=seq, **more))


@contextmanager
def running(settings: Settings) -> Iterator[Ingest]:
    client = Client(address(settings, "projections"))
    stream = TelemetryStream(client)
    ingest = Ingest(stream, lambda: psycopg.connect(str(settings.database_url), autocommit=True))
    thread = threading.Thread(target=ingest.run)
    thread.start()
    try:
        yield ingest
    finally:
        ingest.stop()
        stream.stop()
        thread.join(PATIENCE_S)
        stream.close()
        client.close()
        assert not thread.is_alive()


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def counted(connection: Connection) -> tuple[int, int]:
    """Readings in chunks, and as the roll-ups count them."""
    found = connection.execute(
        "SELECT (SELECT coalesce(sum((length(columns) - 6) / 13), 0) FROM telemetry.chunks),"
        " (SELECT coalesce(sum(number), 0) FROM telemetry.minutes)"
    ).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])


def position(connection: Connection) -> int:
    row = connection.execute("SELECT max(sequence) FROM telemetry.ingests").fetchone()
    return int(row[0] or 0) if row else 0


def test_readings_come_through_and_a_hostile_message_stops_nothing(installed: Settings) -> None:
    publish(installed, message(1), *HOSTILE, message(2))
    publish(installed, message(1), node_id="no-uuid")
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == len(HOSTILE) + 3)
        assert counted(connection) == (6, 6)
        refused = dict(
            connection.execute(
                "SELECT fault, sum(number)::int FROM telemetry.refused GROUP BY 1"
            ).fetchall()
        )
        assert refused == {"NOT_JSON": 3, "WRONG_SHAPE": 2, "WRONG_NODE": 2}


def test_what_is_published_twice_and_out_of_order_counts_once(installed: Settings) -> None:
    bodies = {seq: message(seq) for seq in range(1, 8)}
    publish(installed, *(bodies[seq] for seq in (1, 2, 5, 4, 5, 7, 3, 2)))
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == 8)
        assert counted(connection) == (18, 18)
        gaps = connection.execute(
            "SELECT cause, first_seq, last_seq, begun < ended FROM telemetry.gaps"
        ).fetchall()
        assert gaps == [("MISSING", 6, 6, True)]


def test_a_message_that_breaks_the_writer_is_counted_and_the_others_are_kept(
    installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(batch: Batch) -> bytes:
        if batch.seq == 2:
            raise ZeroDivisionError
        return encode(batch)

    monkeypatch.setattr(postgres, "encode", broken)
    publish(installed, message(1), message(2), message(3))
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == 3)
        assert counted(connection) == (6, 6)
        refused = connection.execute("SELECT fault, number, detail FROM telemetry.refused")
        assert refused.fetchall() == [("UNSTORABLE", 1, "ZeroDivisionError: ")]


def test_a_message_that_says_what_was_dropped_leaves_a_gap(installed: Settings) -> None:
    publish(installed, message(1), message(2, gap=40))
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == 2)
        gaps = connection.execute("SELECT cause, readings FROM telemetry.gaps").fetchall()
        assert gaps == [("DROPPED", 40)]


def test_a_bridge_that_counts_anew_is_heard(installed: Settings) -> None:
    publish(installed, *(message(seq) for seq in (1, 2, 3)))
    fresh = told([(now(), HOT_END, 20.0)], seq=1)
    publish(installed, orjson.dumps(fresh), message(2))
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == 5)
        readings, rolled = counted(connection)
        assert readings == rolled
        assert readings >= 10


def test_two_at_once_take_everything_in_once(installed: Settings) -> None:
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed), running(installed):
            publish(installed, *(message(seq) for seq in range(1, 101)))
            until(lambda: position(connection) == 100)
        assert counted(connection) == (300, 300)


def test_a_writer_that_was_overtaken_writes_nothing(database_url: str) -> None:
    one = read_batch(orjson.loads(message(1)), node_id=NODE, received=now())
    with migrated(database_url) as connection, connection.cursor() as cursor:
        ours, theirs = load(cursor, "stream"), load(cursor, "stream")
        with connection.transaction():
            postgres.write(cursor, theirs, upto=1, batches=[one])
        with pytest.raises(TelemetryFencedError), connection.transaction():
            postgres.write(cursor, ours, upto=1, batches=[one])
        assert counted(connection) == (3, 3)


def test_a_lost_connection_loses_and_repeats_nothing(installed: Settings) -> None:
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            for begin in range(1, 61, 20):
                publish(installed, *(message(seq) for seq in range(begin, begin + 20)))
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            until(lambda: position(connection) == 60)
        assert counted(connection) == (180, 180)


def test_a_stream_that_was_made_again_is_taken_from_its_beginning(installed: Settings) -> None:
    publish(installed, *(message(seq) for seq in range(1, 6)))
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        with running(installed):
            until(lambda: position(connection) == 5)
        asyncio.run(_made_again(installed))
        publish(installed, message(6), message(5))
        with running(installed):
            until(lambda: counted(connection)[0] >= 18)
        assert counted(connection) in {(18, 18), (21, 21)}


async def _made_again(settings: Settings) -> None:
    client = await nats.connect(**nats_options(settings, "supervisor"))
    await client.request("$JS.API.STREAM.DELETE.IMEWE_TELEMETRY", b"", timeout=10)
    await ensure_app_streams(client, store_bytes=STORE)
    await client.close()


def test_killed_again_and_again_it_takes_every_message_once(
    installed: Settings, long_tests: bool
) -> None:
    kills, each = (20 if long_tests else 3), 120
    environment = {**os.environ, "IMEWE_DATABASE_URL": str(installed.database_url)}
    command = [sys.executable, "-m", "ops.cli.main", "run", "telemetry"]
    command += ["--home", str(installed.home)]
    with psycopg.connect(str(installed.database_url), autocommit=True) as connection:
        for kill in range(kills + 1):
            bodies = [message(seq) for seq in range(kill * each + 1, (kill + 1) * each + 1)]
            feeding = threading.Thread(target=publish, args=(installed, *bodies))
            with subprocess.Popen(command, env=environment) as service:
                feeding.start()
                goal = (kill + 1) * each if kill == kills else kill * each + 1
                until(lambda goal=goal: position(connection) >= goal)
                service.send_signal(signal.SIGTERM if kill == kills else signal.SIGKILL)
                ended = service.wait(PATIENCE_S)
            feeding.join()
        assert ended == 0
        assert counted(connection) == (each * (kills + 1) * 3, each * (kills + 1) * 3)

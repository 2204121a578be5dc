"""Telemetry: readings published, readings persisted, how soon they are acknowledged, and charts.

The publisher is a process of its own; readings persisted are those whose chunks and roll-ups (1 s
and 1 min, all channels) PostgreSQL has committed, each message once.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import psutil

from domain.telemetry.messages import read_batch
from ops.bench import telemetry_publisher as publisher
from ops.bench.result import BenchResult, Figure, percentile
from ops.bench.servers import servers_in
from ops.database.connection import conninfo
from ops.eventstore.client import Client
from ops.messaging.connection import address
from ops.prepare import prepare_database, prepare_streams
from ops.projecting.places import Connection
from ops.projecting.wiring import NATS_USER, connected
from ops.settings import Settings
from ops.telemetry.ingest import Ingest
from ops.telemetry.stream import TelemetryStream
from projections.querying import Connection as AsyncConnection
from projections.telemetry.charts import chart
from projections.telemetry.known import load
from projections.telemetry.postgres import write
from projections.telemetry.rows import MOST_POINTS, Asked

RUNS: Final = 3
MESSAGES: Final = 1000
READINGS: Final = 1000
PACED: Final = 500
PACED_READINGS: Final = 100
RATE: Final = 100.0
QUERIES: Final = 50
DAY_MS: Final = 86_400_000
PUBLISHED_GOAL: Final = 1e6
ACKNOWLEDGED_MS: Final = 10.0
CHART_MS: Final = 100.0
PATIENCE_S: Final = 600.0


def run(folder: Path, *, messages: int = MESSAGES, runs: int = RUNS) -> list[BenchResult]:
    """`messages` of 1,000 readings each for the rates; a day of one channel at 1 Hz for charts."""
    settings = Settings.from_environment(folder / "home")
    with servers_in(settings.home) as (nats, postgres):
        asyncio.run(prepare_streams(settings))
        prepare_database(settings)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
            bench = Bench(settings, beside, messages)
            bench.pids = [pid for pid in (nats.pid, postgres.pid) if pid]
            published = [bench.published(epoch) for epoch in range(1, runs + 1)]
            persisted = [bench.persisted(epoch) for epoch in range(runs + 1, 2 * runs + 1)]
            waited = bench.acknowledged(2 * runs + 1)
        return [
            _published(published, messages * READINGS),
            _persisted(persisted),
            _acknowledged(waited),
            _chart(settings),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Persisted:
    """One run: readings a second, and microseconds of processor a reading by who spent them."""

    rate: float
    publisher_us: float
    ingest_us: float
    servers_us: float


class Bench:
    """One installation and a publisher beside it."""

    def __init__(self, settings: Settings, beside: ProcessPoolExecutor, messages: int) -> None:
        self._settings = settings
        self._beside = beside
        self._messages = messages
        self.pids: list[int] = []

    def published(self, epoch: int) -> publisher.Published:
        """Into the stream alone."""
        return self._publish(epoch).result()

    def persisted(self, epoch: int) -> Persisted:
        """Into the stream and from there into PostgreSQL, until the last is committed."""
        readings = self._messages * READINGS
        with self._ingesting() as stream, connected(self._settings) as database:
            self._until(database, stream.last())
            goal = stream.last() + self._messages
            servers, mine, begun = self._servers_s(), time.process_time(), time.perf_counter()
            publishing = self._publish(epoch)
            self._until(database, goal)
            wall = time.perf_counter() - begun
            return Persisted(
                rate=readings / wall,
                publisher_us=publishing.result().cpu_s / readings * 1e6,
                ingest_us=(time.process_time() - mine) / readings * 1e6,
                servers_us=(self._servers_s() - servers) / readings * 1e6,
            )

    def acknowledged(self, epoch: int) -> list[float]:
        """Seconds to each acknowledgement, while all is persisted, too."""
        with self._ingesting():
            return self._beside.submit(
                publisher.pace, self._settings, PACED, PACED_READINGS, epoch, RATE
            ).result()

    def _publish(self, epoch: int) -> "Future[publisher.Published]":
        return self._beside.submit(
            publisher.publish, self._settings, self._messages, READINGS, epoch
        )

    @contextmanager
    def _ingesting(self) -> Iterator[TelemetryStream]:
        client = Client(address(self._settings, NATS_USER))
        stream = TelemetryStream(client)
        ingest = Ingest(stream, partial(connected, self._settings))
        thread = threading.Thread(target=ingest.run)
        thread.start()
        try:
            yield stream
        finally:
            ingest.stop()
            stream.stop()
            thread.join()
            stream.close()
            client.close()

    def _until(self, database: Connection, goal: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while _position(database) < goal:
            if time.monotonic() > deadline:
                raise TimeoutError("the ingest does not come to the end of the stream")
            time.sleep(0.01)

    def _servers_s(self) -> float:
        """Processor time of nats-server and PostgreSQL with all its backends."""
        total = 0.0
        for pid in self.pids:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def _position(database: Connection) -> int:
    row = database.execute("SELECT coalesce(max(sequence), 0) FROM telemetry.ingests").fetchone()
    return int(row[0]) if row else 0


def _published(runs: list[publisher.Published], readings: int) -> BenchResult:
    rates = [readings / each.wall_s for each in runs]
    return BenchResult(
        name="telemetry published",
        what=f"Messages of {READINGS} readings into the stream, each acknowledged, 256 at once.",
        figures=[
            Figure(label="readings", unit="per second", runs=rates),
            Figure(
                label="publisher, encoding included",
                unit="microseconds of processor per reading",
                runs=[each.cpu_s / readings * 1e6 for each in runs],
            ),
        ],
        goal="at least 1,000,000 readings a second",
        met=min(rates) >= PUBLISHED_GOAL,
    )


def _persisted(runs: list[Persisted]) -> BenchResult:
    unit = "microseconds of processor per reading"
    rates = [each.rate for each in runs]
    return BenchResult(
        name="telemetry persisted",
        what="The same, until chunks and roll-ups of 1 s and 1 min are committed, each once.",
        figures=[
            Figure(label="readings", unit="per second", runs=rates),
            Figure(label="publisher", unit=unit, runs=[each.publisher_us for each in runs]),
            Figure(label="ingest", unit=unit, runs=[each.ingest_us for each in runs]),
            Figure(
                label="nats-server and PostgreSQL",
                unit=unit,
                runs=[each.servers_us for each in runs],
            ),
        ],
        goal="1,000,000 readings a second on two cores",
        met=min(rates) >= PUBLISHED_GOAL,
    )


def _acknowledged(waited: list[float]) -> BenchResult:
    p95 = percentile(waited, 0.95) * 1000
    return BenchResult(
        name="telemetry acknowledged",
        what=f"{RATE:.0f} messages a second of {PACED_READINGS} readings, one after the other.",
        figures=[
            Figure(label="p95", unit="ms", runs=[p95]),
            Figure(label="median", unit="ms", runs=[percentile(waited, 0.5) * 1000]),
        ],
        goal=f"p95 under {ACKNOWLEDGED_MS:.0f} ms",
        met=p95 < ACKNOWLEDGED_MS,
    )


def _chart(settings: Settings) -> BenchResult:
    now = time.time_ns() // 1_000_000
    with connected(settings) as database:
        _fill_a_day(database, now)
    waited, points = asyncio.run(_charts(settings, now))
    return BenchResult(
        name="telemetry chart",
        what=f"24 h of one channel, taken once a second, in {points} points.",
        figures=[
            Figure(label="p95", unit="ms", runs=[percentile(waited, 0.95) * 1000]),
            Figure(label="median", unit="ms", runs=[percentile(waited, 0.5) * 1000]),
        ],
        goal=f"under {CHART_MS:.0f} ms at {MOST_POINTS} points or fewer",
        met=percentile(waited, 0.95) * 1000 < CHART_MS and 0 < points <= MOST_POINTS,
    )


def _fill_a_day(database: Connection, now: int) -> None:
    """86,400 readings of the channel, and as many of nine others."""
    rows = READINGS // publisher.CHANNELS
    for number in range(0, DAY_MS // 1000, rows):
        told = publisher.message(0, READINGS, begun=0, epoch=1_000_000)
        told["seq"] = number // rows + 1
        at = now - DAY_MS + number * 1000
        told["t"] = [at + row * 1000 for row in range(rows) for _ in range(publisher.CHANNELS)]
        batch = read_batch(told, node_id=told["node_id"], received=now)
        with database.transaction(), database.cursor() as cursor:
            known = load(cursor, "a day")
            write(cursor, known, upto=known.position + 1, batches=[batch])
    database.execute("ANALYZE telemetry.minutes, telemetry.seconds, telemetry.chunks")


async def _charts(settings: Settings, now: int) -> tuple[list[float], int]:
    asked = Asked(channels=("temperature.zone0.actual_c",), since=now - DAY_MS, until=now)
    waited, points = [], 0
    async with await AsyncConnection.connect(conninfo(settings), autocommit=True) as connection:
        for _ in range(QUERIES):
            since = time.perf_counter()
            found = await chart(connection, publisher.node_id(0), asked)
            waited.append(time.perf_counter() - since)
            points = len(found.series[0].at)
    return waited, points

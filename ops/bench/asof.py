"""Looks at the past: the fleet, a page of orders and one machine at random moments of a long
history, beside the same queries of the present.

The history is as long as ``HISTORY_ROWS`` says, for the machines and once more for the orders. It
is written by PostgreSQL itself into the tables that the projections define; every query goes
through the same functions as the gateway's.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ops.bench.asof_rows import BEGIN, SCOPE, fill
from ops.bench.result import BenchResult, Figure, percentile
from ops.database.connection import async_pool, connect
from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.prepare import prepare_database
from ops.settings import Settings
from projections.jobs import queries as jobs
from projections.nodes import queries as nodes
from projections.querying import Connection, Cursor
from projections.reading import Reading, When, reading

HISTORY_ROWS = 1_000_000
"""States of machines, and as many of orders. The committed figures are of 1,000,000."""
MACHINES = 1000
STATES_OF_AN_ORDER = 20
FLEET_P95_MS = 1000.0
ONE_P95_MS = 20.0
LOOKS = 40
ROUNDS = 5

Ask = Callable[[Connection, random.Random], Awaitable[int]]


def run(
    folder: Path, *, history_rows: int = HISTORY_ROWS, looks: int = LOOKS, rounds: int = ROUNDS
) -> list[BenchResult]:
    """Measure on a server of its own in ``folder``."""
    settings = Settings(home=folder / "home")
    postgres = EmbeddedPostgres(settings.home, server_account())
    postgres.start()
    try:
        prepare_database(settings)
        with connect(settings, autocommit=True) as connection:
            fill(connection, history_rows, machines=MACHINES, states=STATES_OF_AN_ORDER)
        return asyncio.run(_measure(settings, history_rows, looks=looks, rounds=rounds))
    finally:
        postgres.stop()


class Bench:
    """Asks at random moments, and remembers how much memory the server's process came to hold."""

    def __init__(self, pool: AsyncConnectionPool[Any], rows: int, *, looks: int) -> None:
        self._pool = pool
        self._rows = rows
        self._looks = looks
        self._chance = random.Random(7)
        self.memory: set[int] = set()

    async def p95(self, ask: Ask, moment: Callable[[int], When | None]) -> float:
        """ms, beginning and end of the transaction included."""
        took = []
        for _ in range(self._looks):
            then = moment(self._chance.randint(self._rows // 10, self._rows))
            begun = time.perf_counter()
            async with reading(self._pool, jobs.READS, as_of=then) as now:
                found = await ask(now.connection, self._chance)
            took.append((time.perf_counter() - begun) * 1000)
            if not found:
                raise LookupError("a look found nothing")
            self.memory.add(_anonymous_bytes(now))
        return percentile(took, 0.95)


async def _measure(settings: Settings, rows: int, *, looks: int, rounds: int) -> list[BenchResult]:
    async with async_pool(settings, most=1) as pool:
        bench = Bench(pool, rows, looks=looks)
        results = [
            await _result(bench, "fleet", _fleet, rounds, goal=FLEET_P95_MS),
            await _result(bench, "working machines", _working, rounds, goal=FLEET_P95_MS),
            await _result(bench, "orders", _orders, rounds, goal=FLEET_P95_MS),
            await _result(bench, "one machine", _one, rounds, goal=ONE_P95_MS),
        ]
    note = f"{rows:,} states of {MACHINES} machines, {rows:,} of orders, {rows:,} events"
    held = f"the server's process held at most {max(bench.memory) / 2**20:.0f} MiB of its own"
    return [replace(each, notes=(note, held)) for each in results]


async def _result(bench: Bench, name: str, ask: Ask, rounds: int, *, goal: float) -> BenchResult:
    await bench.p95(ask, int)  # warms up
    by_position, by_time, present = [], [], []
    for _ in range(rounds):
        by_position.append(await bench.p95(ask, int))
        by_time.append(await bench.p95(ask, lambda at: BEGIN + timedelta(milliseconds=at)))
        present.append(await bench.p95(ask, lambda _at: None))
    figures = (
        Figure(label="as of a position, p95", unit="ms", runs=by_position),
        Figure(label="the present, p95", unit="ms", runs=present),
        Figure(label="as of a time, p95", unit="ms", runs=by_time),
    )
    return BenchResult(
        name=f"as of: {name}",
        what="The same query at random moments of the past and of the present.",
        figures=figures,
        goal=f"p95 under {goal:g} ms",
        met=max(figures[0].median, figures[2].median) < goal,
        ratio=figures[0].median / figures[1].median,
    )


async def _fleet(connection: Connection, _chance: random.Random) -> int:
    """Every machine with its run, in pages."""
    found, after = 0, None
    while True:
        page = await nodes.nodes(connection, SCOPE, first=500, after=after)
        found += len(page.items)
        if not page.has_more:
            return found
        after = Cursor(page.items[-1].node.created)


async def _working(connection: Connection, _chance: random.Random) -> int:
    """A condition on what changes all the time: the live table's indexes do not help."""
    return len((await nodes.nodes(connection, SCOPE, first=100, statuses=["EXECUTING"])).items)


async def _orders(connection: Connection, _chance: random.Random) -> int:
    return len((await jobs.jobs(connection, SCOPE, first=100)).items)


async def _one(connection: Connection, chance: random.Random) -> int:
    number = chance.randint(1, MACHINES)
    return int(await nodes.node(connection, SCOPE, f"machine {number}") is not None)


def _anonymous_bytes(now: Reading) -> int:
    """Memory of the server's process that is its own; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{now.connection.info.backend_pid}/status").read_text()
    except OSError:
        return 0
    (line,) = (line for line in text.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024

"""The runner against what goes wrong: kills, lost connections, rivals, poison, new versions."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.shared.errors import RebuildRunningError
from domain.shared.recorded import RecordedEvent
from ops.database.server import EmbeddedPostgres
from ops.projecting.places import Connection, create, next_rebuild, retire, switch
from ops.projecting.rebuild import rebuild
from ops.projecting.runner import Announcement
from projections.catalogue import CATALOGUE, projection_named
from projections.nodes.projector import NODES as NODE_ROWS
from projections.nodes.projector import Nodes
from projections.projection import Projection
from projections.rows import Rows
from tests.projecting import (
    SmallBatches,
    dumped,
    migrated,
    positions,
    project,
    running,
    until_all_at,
)
from tests.stories import MemoryLog, busy_shop

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("projection_child.py")
NODES = projection_named("nodes")
FIRST, NEXT = f"nodes_v{NODES.version}", f"nodes_v{NODES.version + 1}"


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def story_dump(postgres: EmbeddedPostgres) -> Iterator[list[bytes]]:
    """What 24 jobs look like, folded at once in a database of its own."""
    url = postgres.url
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE projected_once TEMPLATE template0")
        with migrated(make_conninfo(url, dbname="projected_once")) as connection:
            project(connection, busy_shop(24).events)
            dump = dumped(connection)
        yield dump
        admin.execute("DROP DATABASE projected_once WITH (FORCE)")


def test_the_runner_follows_a_growing_log_and_says_what_became_different(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(4).events
    log = SmallBatches(events[:100], size=50)
    heard: list[Announcement] = []
    with running(log, database_url, heard=heard):
        until_all_at(connection, 100)
        log.events = events
        until_all_at(connection, len(events))
    keys = {key for said in heard if said.projection == "jobs" for key in said.keys}
    assert keys == {str(e.aggregate_id) for e in events if e.kind == "job"}
    assert [said.position for said in heard if said.projection == "history"] == sorted(
        {0, *range(50, len(events), 50), len(events)}
    )


def test_all_projections_share_one_reading_of_the_log(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(4).events
    log = SmallBatches(events, size=10)
    with running(log, database_url):
        until_all_at(connection, len(events))
        batches = -(-len(events) // 10)
    assert log.reads < batches + 20


def test_kill_in_mid_batch_converges(
    connection: Connection, database_url: str, story_dump: list[bytes], long_tests: bool
) -> None:
    events = busy_shop(24).events
    chance = random.Random(7)
    kills = 20 if long_tests else 3
    for kill in range(1, kills + 1):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), database_url, "24"],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
        )
        goal = len(events) * kill // (kills + 1)
        until = time.monotonic() + 60
        while min(positions(connection).values(), default=0) < goal:
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(chance.random() * 0.02)
        child.kill()
        child.wait()
    assert min(positions(connection).values()) < len(events)
    with running(MemoryLog(events), database_url):
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump


def test_lost_connections_to_postgresql_repeat_nothing(
    connection: Connection, database_url: str, story_dump: list[bytes]
) -> None:
    events = busy_shop(24).events
    with running(SmallBatches(events, size=40), database_url):
        for _ in range(6):
            time.sleep(0.15)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump


def test_two_runners_at_once_fold_everything_once(
    connection: Connection, database_url: str, story_dump: list[bytes]
) -> None:
    events = busy_shop(24).events
    with (
        running(SmallBatches(events, size=30), database_url),
        running(SmallBatches(events, size=70), database_url),
    ):
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump


def test_an_event_that_cannot_be_read_costs_only_its_aggregate(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(4).events
    lost = next(e for e in events if e.topic == "imewe.job:Validated")
    with running(MemoryLog(events, frozenset({lost.position})), database_url):
        until_all_at(connection, len(events))
    parked = connection.execute(
        "SELECT schema, key, position, reason FROM imewe.parked_keys ORDER BY schema"
    ).fetchall()
    left = (str(lost.aggregate_id), lost.position, "no JSON")
    assert parked == [
        (f"{each.name}_v{each.version}", *left)
        for each in map(projection_named, ("history", "jobs", "kpis"))
    ]


class Broken(Nodes):
    """A projection whose rows never reach the database."""

    name = "broken"

    def flush(self, cursor: object, rows: Rows) -> None:
        raise RuntimeError("this one has a fault")


def test_a_projection_that_fails_does_not_hold_up_the_others(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(2).events
    with running(MemoryLog(events), database_url, projections=[Broken(), *CATALOGUE]):
        until = time.monotonic() + 60
        while sorted(positions(connection).values())[1:] != [len(events)] * len(CATALOGUE):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert positions(connection)["broken"] == 0


class Renamed(Nodes):
    """Another version of the nodes."""

    version = NODES.version + 1

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if recorded.kind == "node":
            rows.change(NODE_ROWS, str(recorded.aggregate_id), disconnect_reason="new")


def test_a_new_version_takes_over_at_the_end_of_the_log(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(4).events
    project(connection, events)
    others: list[Projection] = [each for each in CATALOGUE if each.name != "nodes"]
    with running(SmallBatches(events, size=20), database_url, projections=[*others, Renamed()]):
        until = time.monotonic() + 60
        while schemas(connection, "nodes") != [NEXT]:
            assert time.monotonic() < until
            time.sleep(0.02)
    names = connection.execute(f"SELECT disconnect_reason FROM {NEXT}.nodes".encode()).fetchall()
    assert set(names) == {("new",)}


def schemas(connection: Connection, name: str) -> list[str]:
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE %s ORDER BY 1", [f"{name}_v%"]
    ).fetchall()
    return [schema for (schema,) in rows if not schema.endswith("_past")]


def test_a_rebuild_beside_a_running_runner_gives_the_same_bytes(
    connection: Connection, database_url: str, story_dump: list[bytes]
) -> None:
    events = busy_shop(24).events
    log = SmallBatches(events[:-200], size=100)
    with running(log, database_url), psycopg.connect(database_url, autocommit=True) as own:
        until_all_at(connection, len(log.events))
        for projection in CATALOGUE:
            rebuilt = rebuild(own, MemoryLog(log.events), projection)
            assert rebuilt.schema == f"{projection.name}_v{projection.version}_r2"
            assert rebuilt.events == len(log.events)
        log.events = events
        until_all_at(connection, len(events))
    assert dumped(connection) == story_dump
    assert schemas(connection, "jobs") == [f"jobs_v{projection_named('jobs').version}_r2"]


def test_readers_see_whole_rows_of_one_schema_during_rebuilds(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(4).events
    project(connection, events)
    stop = threading.Event()
    seen: set[int] = set()
    failures: list[str] = []

    def look() -> None:
        with psycopg.connect(database_url, autocommit=True) as reader:
            while not stop.is_set():
                try:
                    with reader.transaction():
                        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                        reader.execute(
                            "SELECT set_config('search_path', schema, true)"
                            " FROM imewe.projections WHERE name = 'jobs'"
                        )
                        time.sleep(0.01)
                        (count,) = reader.execute("SELECT count(*) FROM timeline").fetchone() or (
                            0,
                        )
                    seen.add(count)
                except psycopg.Error as error:
                    failures.append(str(error))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rebuild(connection, MemoryLog(events), projection_named("jobs"))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(seen) == 1


def test_a_dropped_database_is_folded_again_to_the_same_bytes(
    postgres: EmbeddedPostgres, database_url: str, story_dump: list[bytes]
) -> None:
    events = busy_shop(24).events
    name = str(conninfo_to_dict(database_url)["dbname"])
    with migrated(database_url) as connection:
        project(connection, events[:500])
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name}".encode())
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    with migrated(database_url) as connection:
        with running(MemoryLog(events), database_url):
            until_all_at(connection, len(events))
        assert dumped(connection) == story_dump


def test_what_a_killed_rebuild_left_is_cleared(connection: Connection) -> None:
    events = busy_shop(1).events
    project(connection, events, projections=[NODES])

    class KilledError(Exception):
        pass

    def kill(_position: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        rebuild(connection, MemoryLog(events), NODES, progress=kill)
    assert schemas(connection, "nodes") == [FIRST, f"{FIRST}_r2"]
    assert rebuild(connection, MemoryLog(events), NODES).schema == f"{FIRST}_r2"
    assert schemas(connection, "nodes") == [f"{FIRST}_r2"]


def test_a_schema_that_somebody_still_reads_stays_until_the_next_rebuild(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(1).events
    project(connection, events, projections=[NODES])
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT 1")
        schema = next_rebuild(connection, NODES)
        create(connection, NODES, schema)
        assert switch(connection, NODES, schema) == FIRST
        assert not retire(connection, FIRST, timeout=0.1)
        assert schemas(connection, "nodes") == [FIRST, f"{FIRST}_r2"]
    rebuild(connection, MemoryLog(events), NODES)
    assert schemas(connection, "nodes") == [f"{FIRST}_r3"]


def test_two_rebuilds_of_one_projection_do_not_meet(
    connection: Connection, database_url: str
) -> None:
    events = busy_shop(1).events

    def rival(_position: int) -> None:
        with (
            psycopg.connect(database_url, autocommit=True) as other,
            pytest.raises(RebuildRunningError, match="nodes is being rebuilt"),
        ):
            rebuild(other, MemoryLog(events), NODES)

    assert rebuild(connection, MemoryLog(events), NODES, progress=rival).events == len(events)

"""A program stands still in the middle of its work (its machine slept), another one takes over, and
the first goes on as if nothing had been: what it writes late is refused, and nothing is done twice.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ops.database.server import EmbeddedPostgres
from ops.eventstore.client import Client
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.server import EmbeddedNats
from ops.notary.evidence import read_history
from ops.notary.head_stream import HeadStream
from ops.prepare import prepare_streams
from ops.processing.lease import Lease
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.eventlog import records
from tests.faults_child import DEADLINE_S, program
from tests.integration.commands_rig import Rig, commands_rig
from tests.integration.processes_shop import Shop, running_processes, running_shop
from tests.notarial import following, opened_shop
from tests.projecting import dumped, migrated, project, running, until_all_at
from tests.stories import MemoryLog, busy_shop
from tests.whole_invariants import check_heads

pytestmark = pytest.mark.stack
JOBS = 6


@pytest.fixture
async def rig(
    fresh_nats: EmbeddedNats, fresh_settings: Settings, tmp_path: Path
) -> AsyncIterator[Rig]:
    assert fresh_nats.poll() is None
    async with commands_rig(fresh_settings) as rig:
        rig.port = NatsCommandClient(
            rig.client, kind="service", principal_id="gateway", timeout_s=1.0
        )
        rig.points = [str(tmp_path)]
        yield rig
        for copy in rig.copies:
            copy.send_signal(signal.SIGCONT)


async def test_a_writer_that_slept_between_decision_and_append_overwrites_nothing(
    rig: Rig, tmp_path: Path
) -> None:
    await rig.start(copies=2)
    job = await rig.insist("SubmitJob", rig.job, "job")
    change = {"job_id": job["id"], "priority": 3}
    (tmp_path / "commands.append.before").write_text("stop")
    first = await rig.insist("ReprioritizeJob", change, "to three")
    (asleep,) = [each for each in rig.copies if _stands(each.pid)]
    second = await rig.insist("ReprioritizeJob", {**change, "priority": 7}, "to seven")

    (tmp_path / "commands.reply.before").write_text("stop")  # nobody else has anything to answer
    asleep.send_signal(signal.SIGCONT)
    await asyncio.to_thread(_until_it_stands, asleep.pid, tmp_path / "commands.reply.before")
    asleep.send_signal(signal.SIGCONT)
    asleep.terminate()  # it ends when it has answered what it took
    assert await asyncio.to_thread(asleep.wait, 60) == 0
    assert await rig.insist("ReprioritizeJob", change, "to three") == first
    log = await asyncio.to_thread(rig.records)
    told = [each for each in log if each.topic == "imewe.job:Reprioritized"]
    assert [each.sequence for each in told] == [first["position"], second["position"]]
    assert b'"priority":7' in told[-1].body.replace(b" ", b"")


@pytest.mark.parametrize(
    "point",
    [
        "processes.answered.ReserveNode",
        pytest.param("processes.position.stored", marks=pytest.mark.long),
    ],
)
async def test_a_runner_of_processes_that_slept_is_fenced(
    fresh_nats: EmbeddedNats,
    fresh_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    assert fresh_nats.poll() is None
    monkeypatch.setattr("ops.services.processes.Lease", partial(Lease, ttl_s=2.0))
    home = str(fresh_settings.home)
    async with running_shop(fresh_settings) as shop:
        with program(tmp_path, "processes", home, "30") as asleep:
            await asyncio.to_thread(asleep.until_said, "processes take over")
            node_id = await shop.printer("virtual one")
            asleep.arm(point)
            await shop.order(quantity=2)
            await asyncio.to_thread(asleep.until_stopped)
            async with running_processes(fresh_settings):
                await _one_piece(shop, node_id)
                asleep.go_on()
                await asyncio.to_thread(asleep.until_said, "processes step back")
                await shop.do("ClearBed", node_id=node_id, by="anna")
                await shop.make(node_id)
                topics = await shop.until(lambda topics: "job:Completed" in topics, within=90)
                topics = await shop.until(lambda topics: topics.count("build:Inspected") == 2)
    for topic in ("build:Planned", "build:Started", "node:Reserved", "inventory:Reserved"):
        assert topics.count(topic) == 2, topic


async def _one_piece(shop: Shop, node_id: str) -> None:
    await shop.until(lambda topics: "build:Sent" in topics, within=90)
    await shop.make(node_id)
    await shop.until(lambda topics: "node:ExecutionEnded" in topics, within=90)


@pytest.fixture
def expected(postgres: EmbeddedPostgres) -> Iterator[list[bytes]]:
    name = f"expected_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        with migrated(make_conninfo(postgres.url, dbname=name)) as connection:
            project(connection, busy_shop(JOBS).events)
            found = dumped(connection)
        yield found
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("point", ["projections.rows.flushed", "projections.rows.committed"])
def test_a_runner_of_projections_that_slept_is_fenced(
    database_url: str, expected: list[bytes], tmp_path: Path, point: str
) -> None:
    patient = make_conninfo(database_url, options="-c idle_in_transaction_session_timeout=1s")
    events = busy_shop(JOBS).events
    with migrated(database_url) as connection:
        with program(tmp_path, "projections", patient, str(JOBS)) as asleep:
            asleep.arm(point, "9 stop")
            asleep.until_stopped()
            with running(MemoryLog(events), database_url):
                until_all_at(connection, len(events), seconds=60)
            asleep.go_on()
            until_all_at(connection, len(events))
            asleep.until_said("fenced" if point.endswith("committed") else "projection")
        assert dumped(connection) == expected


def test_a_notary_that_slept_signs_no_second_history(
    fresh_nats: EmbeddedNats, fresh_settings: Settings, tmp_path: Path
) -> None:
    home, other = fresh_settings.home, tmp_path / "other"
    asyncio.run(prepare_streams(fresh_settings, store_bytes=LEAST_STORE_BYTES))
    with opened_shop(fresh_nats, home) as shop:
        shop.write(5)
        with program(tmp_path, "notary", str(home)) as asleep:
            asleep.until_said("a head was signed")
            shutil.copytree(home / "keys", other / "keys")
            asleep.arm("notary.events.taken")
            shop.write(5)
            asleep.until_stopped()
            with following(shop, other, events=3) as awake:
                shop.write(5)
                assert awake.until_signed(15).flaw is None
                asleep.go_on()
                shop.write(20)
                assert awake.until_signed(35).flaw is None
        assert "THE LOG IS NOT" not in asleep.log.read_text()
        client = Client(shop.address("log_notary"))
        history = read_history(HeadStream(client))
        client.close()
        assert history.newest.head.size == 35
        check_heads(history, records(shop))


def _until_it_stands(pid: int, at: Path) -> None:
    until = time.monotonic() + DEADLINE_S
    while at.exists() or not _stands(pid):
        assert time.monotonic() < until, "it never came to its answer"
        time.sleep(0.02)


def _stands(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED

"""The disk of the read models or of a bridge is full: it is said, nothing is half done, and all
goes on when there is space again. (The log's disk: ``test_full_disk``.)
"""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from device_bridge import dispatcher
from device_bridge.journal import BuildState, Journal
from device_bridge.work import parse_work
from domain.shared.errors import StorageFullError
from ops.clock import SystemClock
from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.hosting.home import make_home
from tests.integration.bridge_fakes import FileCore
from tests.integration.bridge_rig import printed
from tests.integration.bridge_shop import NODE, bridge, shop
from tests.projecting import SmallBatches, dumped, migrated, project, running, until_all_at
from tests.stories import busy_shop

BRIDGE_BYTES = 96 << 20
DATABASE_BYTES = 176 << 20


@contextlib.contextmanager
def _disk(folder: Path, size: int) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    how = ["-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder)]
    if subprocess.run(["mount", *how], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow a mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path, leave: int) -> Path:
    found = os.statvfs(folder)
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - leave))
    return ballast


@pytest.fixture
def bridge_disk(tmp_path: Path) -> Iterator[Path]:
    with _disk(tmp_path / "bridge", BRIDGE_BYTES):
        yield tmp_path / "bridge"


async def test_a_bridge_without_room_ends_what_it_has_and_leaves_new_work_on_the_queue(
    tmp_path: Path, bridge_disk: Path
) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(2000))
        await core.told("StartBuild", within_s=60)
        ballast = _fill(bridge_disk, dispatcher.RESERVE - (1 << 20))
        core.order("b2", NODE, printed(20))
        await core.told("FinishBuild", within_s=60)
        await core.told("ClearBed", within_s=60)
        await asyncio.sleep(0.5)
        assert [line["build_id"] for line in core.commands("AcceptBuild")] == ["b1"]
        assert list((tmp_path / "core" / "work" / NODE).glob("b2.json"))
        ballast.unlink()
        await core.told("FinishBuild", count=2, within_s=60)
        assert place.machines[0].ledger.counts.starts == 2
        assert not core.commands("ReportOutcomeUnknown")
        assert not core.commands("FailBuild")


async def test_a_journal_that_cannot_be_written_says_so_and_holds_nothing_by_halves(
    tmp_path: Path, bridge_disk: Path
) -> None:
    core = FileCore(tmp_path / "core")
    core.order("b1", NODE, printed(20))
    work = parse_work((tmp_path / "core" / "work" / NODE / "b1.json").read_bytes())
    journal = Journal(bridge_disk / "journal.db", clock=SystemClock())
    await journal.open()
    await journal.accept(work)
    ballast = _fill(bridge_disk, 0)
    reports = tuple(("ReportPaused", {"build_id": "b1", "text": "x" * 9000}) for _ in range(50))
    with pytest.raises(StorageFullError, match="full; nothing was written"):
        for _ in range(100):
            await journal.record(work, BuildState.PAUSED, reports=reports)
    before = await journal.entry("b1")
    ballast.unlink()
    count = 0
    while report := await journal.next_report(NODE):
        await journal.delivered(report)
        count += 1
    assert count % len(reports) == 0
    assert before is not None
    assert (before.state is BuildState.PAUSED) == (count > 0)
    await journal.record(work, BuildState.FINISHED, reports=reports[:1])
    await journal.close()


@pytest.mark.timeout(180)
def test_read_models_wait_for_space_and_are_then_what_they_would_have_been(
    fresh_home: Path,
) -> None:
    make_home(fresh_home)
    data, aside = fresh_home / "pgdata", fresh_home / "aside"
    server = EmbeddedPostgres(
        fresh_home, server_account(), options=("fsync=off", "max_wal_size=64MB")
    )
    server.start()
    server.stop()
    subprocess.run(["cp", "-a", str(data), str(aside)], check=True)
    with _disk(data, DATABASE_BYTES):
        subprocess.run(["cp", "-a", f"{aside}/.", str(data)], check=True)
        server.start()
        try:
            _fold_through(server, data, fresh_home / "logs" / "postgres.log")
        finally:
            server.stop()


def _fold_through(server: EmbeddedPostgres, disk: Path, log_file: Path) -> None:
    events = busy_shop(24).events
    log = SmallBatches(events[:100], size=40)
    with migrated(server.url) as connection, running(log, server.url):
        until_all_at(connection, 100)
        ballast = _fill(disk, 0)
        log.events = events
        _until_said(log_file, "No space left on device")
        ballast.unlink()
        if server.poll() is not None:  # its supervisor would do so
            server.stop()
            server.start()
    with migrated(server.url) as connection:
        with running(log, server.url):
            until_all_at(connection, len(events), seconds=60)
        found = dumped(connection)
        assert not connection.execute("SELECT * FROM imewe.parked_keys").fetchall()
        connection.execute("CREATE DATABASE expected TEMPLATE template0")
    with migrated(make_conninfo(server.url, dbname="expected")) as fresh:
        project(fresh, events)
        assert found == dumped(fresh)


def _until_said(log: Path, words: str) -> None:
    until = time.monotonic() + 60
    while words not in log.read_text():
        assert time.monotonic() < until, "nothing met the full disk"
        time.sleep(0.05)

"""The embedded nats-server and PostgreSQL: odd places, leftovers, a full disk."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nats.errors
import psycopg
import pytest

from domain.shared.errors import StorageFullError
from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.hosting.children import Child, Program
from ops.hosting.errors import HostingError
from ops.hosting.home import make_home
from ops.messaging.server import EmbeddedNats
from ops.messaging.space import StorageWatch, demand_room
from ops.prepare import prepare_streams
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.shop import append, enlarge, eventually, fill, is_root

FAST = ("fsync=off",)


def answers(server: EmbeddedPostgres) -> bool:
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_a_fresh_database_is_empty_and_speaks_utc(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        found = connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone()
        assert found == (0,)


def test_postgres_listens_on_no_port_and_asks_for_the_password(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url, password="guess")


def test_postgres_starts_where_a_socket_path_would_be_too_long(fresh_home: Path) -> None:
    deep = fresh_home.joinpath(*["a-rather-long-name-of-a-folder"] * 6)
    server = EmbeddedPostgres(deep, server_account(), options=FAST)
    server.start()
    first = server.url
    assert answers(server)
    server.stop()
    server.start()
    assert server.url == first
    server.stop()
    shutil.rmtree(str(psycopg.conninfo.conninfo_to_dict(first)["host"]))


def test_postgres_starts_over_a_pid_file_that_names_a_stranger(fresh_home: Path) -> None:
    account = server_account()
    server = EmbeddedPostgres(fresh_home, account, options=FAST)
    server.start()
    server.kill()
    server.finish_stop(5)
    stranger = Child(Program(command=[str(shutil.which("sleep")), "60"], account=account))
    pid_file = fresh_home / "pgdata" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
    server.start()
    assert answers(server)
    assert stranger.poll() is None
    server.stop()
    stranger.stop()


def test_an_initdb_that_was_killed_is_done_again(fresh_home: Path) -> None:
    make_home(fresh_home)
    (fresh_home / "pgdata.new" / "base").mkdir(parents=True)
    server = EmbeddedPostgres(fresh_home, server_account(), options=FAST)
    server.start()
    assert answers(server)
    server.stop()


@pytest.mark.skipif(not is_root(), reason="only root's servers run as another account")
def test_a_home_that_the_servers_account_cannot_enter_is_refused(fresh_home: Path) -> None:
    make_home(fresh_home)
    fresh_home.parent.chmod(0o700)
    with pytest.raises(HostingError, match="cannot enter it"):
        EmbeddedNats(fresh_home, server_account()).start()


def test_a_folder_with_other_things_in_it_is_not_taken_for_a_home(fresh_home: Path) -> None:
    fresh_home.mkdir()
    (fresh_home / "letters").touch()
    before = fresh_home.stat().st_mode
    with pytest.raises(HostingError, match="neither empty nor an Imewe home"):
        make_home(fresh_home)
    assert fresh_home.stat().st_mode == before


def test_secrets_are_readable_by_their_owner_only(
    fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    assert fresh_nats.poll() is None
    for name in ("credentials.json", "nats.conf"):
        assert (fresh_home / name).stat().st_mode & 0o777 == 0o600


def test_nats_server_takes_another_port_when_its_own_was_taken(
    fresh_nats: EmbeddedNats,
) -> None:
    first = fresh_nats.port
    fresh_nats.stop()
    with socket.create_server(("127.0.0.1", first)):
        fresh_nats.start()
    assert fresh_nats.port not in (0, first)


def test_a_guard_stops_its_program_when_the_parent_is_gone() -> None:
    """Other systems have no death signal: there a small process stands between."""
    sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    parent = (
        "import os, sys, time\n"
        "from ops.hosting.children import Child, Program\n"
        f"child = Child(Program(command={sleeper!r}, guarded=True))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        guard = next(int(each) for each in said if each != b"up")
        process.kill()
    assert eventually(lambda: not Path(f"/proc/{guard}").exists())


def test_a_guard_hands_on_signals_and_the_exit_code() -> None:
    script = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True)"
    )
    log = Path(os.devnull)
    child = Child(
        Program(command=[sys.executable, "-c", f"{script}; signal.pause()"], guarded=True, log=log)
    )
    below = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    assert eventually(lambda: bool(below.read_text().strip()))
    grandchild = int(below.read_text())
    assert eventually(lambda: handles_stop(grandchild, "SigCgt"))
    child.begin_stop()
    assert child.finish_stop(5) == 7


def test_a_child_that_does_not_obey_is_killed() -> None:
    script = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
    child = Child(Program(command=[sys.executable, "-c", script]))
    assert eventually(lambda: handles_stop(child.pid, "SigIgn"))
    child.begin_stop()
    assert child.finish_stop(0.2) == -signal.SIGKILL


async def test_a_log_whose_disk_was_full_records_again_after_the_restart(
    small_disk: Path, fresh_home: Path
) -> None:
    settings = Settings(home=fresh_home)
    server = EmbeddedNats(fresh_home, server_account(), store_bytes=LEAST_STORE_BYTES)
    server.start()
    await prepare_streams(settings, store_bytes=server.store_bytes)
    watch = StorageWatch(fresh_home, reserve=8 << 20)
    stored = await fill(settings)
    with pytest.raises(StorageFullError, match="disk is full"):
        demand_room(settings, reserve=8 << 20)
    assert not watch.restart_is_due()
    enlarge(small_disk)
    assert watch.restart_is_due()
    with pytest.raises(nats.errors.TimeoutError):  # the server does not recover by itself
        await append(settings, b"after")
    server.stop()
    server.start()
    watch.restarted()
    assert await append(settings, b"after") == stored + 1
    assert not watch.restart_is_due()
    demand_room(settings, reserve=8 << 20)
    server.stop()


def handles_stop(pid: int, how: str) -> bool:
    """Whether SIGTERM is caught (``SigCgt``) or ignored (``SigIgn``) by now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = dict(line.split(":\t", 1) for line in lines)
    return bool(int(masks[how], 16) >> (signal.SIGTERM - 1) & 1)

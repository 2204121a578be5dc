"""`imewe up`, with stand-ins for the services: kills, refusals, a clean end."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import nats.errors
import psycopg
import pytest

from ops.database.connection import conninfo
from ops.hosting.account import Account, server_account, usable_by
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.shop import Shop, append, enlarge, eventually, fill, is_root
from tests.processes import gone

Starter = Callable[..., Shop]


@pytest.fixture
def start(fresh_home: Path) -> Iterator[Starter]:
    """Starts shops on this test's home and ends those that still run."""
    shops: list[Shop] = []

    def begin(home: Path = fresh_home, **options: object) -> Shop:
        shops.append(Shop(home, **options))  # type: ignore[arg-type]
        return shops[-1]

    yield begin
    for shop in shops:
        if shop.running():
            shop.end(signal.SIGTERM)


def database_answers(home: Path) -> bool:
    try:
        with psycopg.connect(conninfo(Settings(home=home)), connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


async def log_answers(home: Path) -> None:
    client = await connect(Settings(home=home), "gateway", allow_reconnect=False)
    answer = await client.request("imewe.log.info", b"", timeout=30)
    assert b'"IMEWE_EVENTS"' in answer.data
    await client.close()


async def test_up_says_where_everything_is_and_everything_answers(start: Starter) -> None:
    shop = start().wait_ready()
    assert set(shop.ready) == {"url", "graphql", "nats", "database", "home", "admin"}
    assert "password" not in shop.ready["database"]
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(shop.ready["url"])).text == "up"
    assert database_answers(shop.home)
    await log_answers(shop.home)


def test_an_interrupt_stops_everything_soon_even_a_deaf_service(
    start: Starter,
) -> None:
    shop = start(manners="deaf").wait_ready()
    family = shop.family()
    before = time.monotonic()
    code, errors = shop.end(signal.SIGINT)
    assert time.monotonic() - before < 20
    assert code == 0
    assert "Traceback" not in errors
    assert gone(family)
    assert "database system is shut down" in (shop.home / "logs/postgres.log").read_text()


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_has_the_same_addresses(
    start: Starter,
) -> None:
    shop = start(manners="deaf").wait_ready()
    family = shop.family()
    assert len(family) > 8
    shop.end(signal.SIGKILL)
    assert eventually(lambda: gone(family))
    assert start().wait_ready().ready == shop.ready


def test_a_supervisor_killed_while_it_starts_leaves_no_process(
    start: Starter, long_tests: bool
) -> None:
    for point in range(20 if long_tests else 2):
        shop = start()
        time.sleep(0.3 + point * (0.1 if long_tests else 0.6))
        family = shop.family()
        shop.end(signal.SIGKILL)
        assert eventually(lambda family=family: gone(family))  # type: ignore[misc]
    assert start().wait_ready().ready["home"]


def test_a_second_up_on_the_same_home_refuses_and_names_the_first(start: Starter) -> None:
    shop = start().wait_ready()
    second = subprocess.run(
        [sys.executable, "-P", "-m", "ops.cli.main", "up", "--home", str(shop.home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 3
    assert f"pid {shop.family()[0].pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert database_answers(shop.home)


async def test_a_killed_nats_server_comes_back_on_the_same_port(start: Starter) -> None:
    shop = start().wait_ready()
    old = shop.child("nats.conf")
    old.kill()
    assert eventually(lambda: shop.child("nats.conf").pid != old.pid)
    client = await connect(Settings(home=shop.home), "gateway", connect_timeout=30)
    assert client.connected_url is not None
    assert str(client.connected_url.port) == shop.ready["nats"].rsplit(":", 1)[1]
    await client.close()
    await log_answers(shop.home)


def test_a_killed_postgres_comes_back_usable(start: Starter) -> None:
    shop = start().wait_ready()
    old = shop.child("pgdata")
    old.kill()
    assert eventually(lambda: shop.child("pgdata").pid != old.pid)
    assert eventually(lambda: database_answers(shop.home))


def test_a_killed_service_is_started_again(start: Starter) -> None:
    shop = start().wait_ready()
    for times in (1, 2):
        assert eventually(lambda times=times: shop.starts("commands") == times)  # type: ignore[misc]
        shop.child("commands").kill()
    assert eventually(lambda: shop.starts("commands") == 3)
    assert shop.starts("bridge") == 1


async def test_a_log_whose_disk_was_full_records_again_when_space_is_back(
    small_disk: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMEWE_STORE_BYTES", str(LEAST_STORE_BYTES))
    shop = start().wait_ready()
    settings = Settings(home=shop.home)
    stored = await fill(settings)
    enlarge(small_disk)
    until = time.monotonic() + 30
    later = 0
    while not later and time.monotonic() < until:
        await asyncio.sleep(0.4)
        later = await append_or_zero(settings)
    assert later == stored + 1


async def append_or_zero(settings: Settings) -> int:
    try:
        return await append(settings, b"after")
    except (OSError, nats.errors.Error):
        return 0


def test_servers_that_exist_already_are_used(
    start: Starter, fresh_home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = fresh_home.with_name("elsewhere")
    server = EmbeddedNats(there, server_account())
    server.start()
    monkeypatch.setenv("IMEWE_NATS_URL", server.url)
    monkeypatch.setenv("IMEWE_NATS_CREDENTIALS", str(there / "credentials.json"))
    monkeypatch.setenv("IMEWE_DATABASE_URL", database_url)
    shop = start().wait_ready()
    assert shop.ready["nats"] == server.url
    assert not (shop.home / "pgdata").exists()
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT name FROM imewe.imewe_migrations")
    assert len(shop.family()) == 4
    shop.end(signal.SIGTERM)
    server.stop()


@pytest.mark.skipif(not is_root(), reason="this run is an ordinary user's already")
def test_an_ordinary_user_runs_it_as_oneself() -> None:
    entry = pwd.getpwnam("nobody")
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if not usable_by(account, [sys.executable, "-P", "-c", "import ops.settings"]):
        pytest.skip("this Python or the checkout is in a folder that is closed to others")
    outer = Path(tempfile.mkdtemp(prefix="imewe-user-"))
    os.chown(outer, account.uid, account.gid)
    shop = Shop(outer / "home", account=account)
    try:
        shop.wait_ready()
        assert {each.uids().real for each in shop.family()} == {account.uid}
        assert (outer / "home").stat().st_mode & 0o777 == 0o700
    finally:
        shop.end(signal.SIGTERM)
        shutil.rmtree(outer)

"""Fixtures that every block shares: real servers, started once, on a home of their own."""

import gc
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import structlog
from psycopg.conninfo import make_conninfo

from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.hosting.home import make_home
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings

FROM_ENVIRONMENT = Settings.from_environment()
PROGRAMS = {
    "prusa-slicer": ("prusa-slicer", "PrusaSlicer"),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
}


def pytest_collection_finish() -> None:
    """What is loaded now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def leaks_are_told_where_they_are_made() -> Iterator[None]:
    """What a module left open is an error of that module, not of a later one, in which the
    collector happens to run."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def logging_as_found() -> Iterator[None]:
    """A command run in this process sets up logging to a stream that ends with it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def long_tests() -> bool:
    """Whether this is ``make test-long``: full counts of kills, seeds and examples."""
    return FROM_ENVIRONMENT.long_tests


@pytest.fixture(scope="session")
def require_or_skip() -> Callable[[str], str]:
    """Path of an optional program; without it the test skips, but in CI it fails."""

    def require(program: str) -> str:
        for name in PROGRAMS.get(program, (program,)):
            if found := shutil.which(name):
                return found
        if FROM_ENVIRONMENT.ci:
            pytest.fail(f"{program} is not installed, and CI must have it")
        pytest.skip(f"{program} is not installed")

    return require


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Path]:
    """The home of the session's servers."""
    yield from _home()


@pytest.fixture(scope="session")
def settings(shared_home: Path) -> Settings:
    """Settings of the session's servers; ask for ``nats_server`` or ``postgres`` beside it."""
    return Settings(home=shared_home)


@pytest.fixture(scope="session")
def nats_server(shared_home: Path) -> Iterator[EmbeddedNats]:
    """One nats-server for the session, with the accounts of the contract and no stream."""
    server = EmbeddedNats(shared_home, server_account())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    """An empty home of this test's own, which the servers' account can enter."""
    yield from _home()


@pytest.fixture
def fresh_settings(fresh_home: Path) -> Settings:
    """Settings of ``fresh_nats``."""
    return Settings(home=fresh_home)


@pytest.fixture
def fresh_nats(fresh_home: Path) -> Iterator[EmbeddedNats]:
    """A nats-server of this test's own (about 0.1 s), for those that kill it or fill its log."""
    server = EmbeddedNats(fresh_home, server_account())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def small_disk(fresh_home: Path) -> Iterator[Path]:
    """The log's folder of ``fresh_home`` on a disk of its own, of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    make_home(fresh_home)
    disk = fresh_home / "nats"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow a mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="session")
def postgres(shared_home: Path) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the session, without fsync: no test pulls the plug on it."""
    server = EmbeddedPostgres(shared_home, server_account(), options=("fsync=off",))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The conninfo of an empty database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield make_conninfo(postgres.url, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _home() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="imewe-test-"))
    if os.geteuid() == 0:
        outer.chmod(0o711)  # pytest's own temporary folders are closed to the servers' account
    yield outer / "home"
    shutil.rmtree(outer)

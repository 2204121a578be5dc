"""What the tests of rebuilds share: versions of the jobs with a difference, and a desk."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from domain.job.aggregate import Job
from domain.shared.errors import UnavailableError
from domain.shared.recorded import RecordedEvent
from ops.database.server import EmbeddedPostgres
from ops.projecting.desk import ProjectionDesk, Wires
from ops.projecting.places import Connection
from ops.projecting.runner import Runner
from ops.projecting.source import EventSource
from ops.projecting.telling import Order
from ops.projecting.versions import Versions
from projections.jobs.projector import Jobs
from projections.jobs.tables import JOBS
from projections.rows import Rows
from tests.projecting import dumped, migrated, project

JOBS_NOW = Jobs()
FIRST = f"jobs_v{Jobs.version}"
NEXT = f"jobs_v{Jobs.version + 1}"


class Marked(Jobs):
    """The next version: every order says so in every state."""

    version = Jobs.version + 1

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if recorded.kind == "job":
            rows.change(JOBS, str(recorded.aggregate_id), cancel_reason="marked")


class Buggy(Jobs):
    """The next version, with one line too many."""

    version = Jobs.version + 1

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        super().fold(rows, recorded)
        if isinstance(recorded.event, Job.Completed):
            rows.change(JOBS, str(recorded.aggregate_id), cancel_reason="a bug")


@dataclass
class Rig:
    """A desk on a database and a log in memory."""

    url: str
    source: EventSource
    versions: Versions
    automatic: bool = True
    runner: Runner | None = None
    trail_is_away: bool = False
    steps: list[dict[str, str]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    @property
    def desk(self) -> ProjectionDesk:
        wires = Wires(
            connect=lambda: psycopg.connect(self.url, autocommit=True),
            open_log=self.open_log,
            report=self._report,
            tell=lambda _name, told: self.told.append(told),
            moved=lambda _name, _position, _keys: self.runner and self.runner.look(),
        )
        return ProjectionDesk(wires, self.versions, automatic=self.automatic)

    @contextmanager
    def open_log(self) -> Iterator[EventSource]:
        yield self.source

    def _report(self, step: dict[str, str], token: str) -> None:
        if self.trail_is_away:
            raise UnavailableError("the audit trail cannot be written")
        self.steps.append(step)
        self.tokens.append(token)

    def do(self, verb: str, name: str = "jobs", **payload: Any) -> dict[str, Any]:
        """Obey an admin; the operation's result."""
        order = Order(verb=verb, name=name, by="user/anna", token="t", payload=payload)
        operation = self.desk.obey(order)["operation"]
        assert operation["state"] == "DONE"
        return dict(operation["result"])

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Verb and outcome of every step in the trail."""
        return [(s["action"].removeprefix("projections."), s["outcome"]) for s in self.steps]


def until(check: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def folded_at_once(postgres: EmbeddedPostgres, events: list[RecordedEvent]) -> list[bytes]:
    """What events look like, folded in one go in a database of its own."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE built_once TEMPLATE template0")
        try:
            with migrated(make_conninfo(postgres.url, dbname="built_once")) as connection:
                project(connection, events)
                return dumped(connection)
        finally:
            admin.execute("DROP DATABASE built_once WITH (FORCE)")


def states(connection: Connection, name: str = "jobs") -> dict[str, str]:
    """State by schema; the pointer's is LIVE."""
    rows = connection.execute(
        "SELECT b.schema, CASE WHEN p.schema IS NULL THEN b.state ELSE 'LIVE' END"
        " FROM imewe.builds b LEFT JOIN imewe.projections p USING (schema) WHERE b.name = %s",
        [name],
    ).fetchall()
    return dict(rows)


class Readers:
    """Threads that read orders and their story as the gateway does, until the end of the block.

    ``expected`` holds, by position, how many lines the stories have up to it.
    """

    def __init__(self, url: str, expected: list[int], *, count: int = 20) -> None:
        self.failures: list[str] = []
        self.seen: set[str] = set()
        self.reads = 0
        self._url = url
        self._expected = expected
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(count)]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _read(self) -> None:
        last = 0
        try:
            with psycopg.connect(self._url, autocommit=True) as reader:
                while not self._stop.is_set():
                    last = self._look(reader, last)
                    self._stop.wait(0.01)
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _look(self, reader: Connection, last: int) -> int:
        with reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            schema, position, _ = reader.execute(
                "SELECT p.schema, s.position, set_config('search_path', p.schema, true)"
                " FROM imewe.projections p JOIN imewe.positions s USING (schema)"
                " WHERE p.name = 'jobs'"
            ).fetchone() or ("", 0, "")
            lines = self._count(reader, "SELECT count(*) FROM timeline")
            jobs = self._count(reader, "SELECT count(*) FROM jobs")
            marked = self._count(reader, "SELECT count(*) FROM jobs WHERE cancel_reason = 'marked'")
        self.reads += 1
        self.seen.add(schema)
        if lines != self._expected[position]:
            self.failures.append(f"{schema} at {position}: {lines} lines")
        if marked not in ({0} if schema.startswith(FIRST) else {jobs}):
            self.failures.append(f"{schema} at {position}: {marked} of {jobs} marked")
        if position < last:
            self.failures.append(f"{schema} at {position} after {last}")
        return max(last, position)

    def _count(self, reader: Connection, statement: str) -> int:
        (count,) = reader.execute(statement.encode()).fetchone() or (0,)
        return int(count)

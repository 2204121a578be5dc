"""The bridge's own memory: what it was told to do, what it did, what it must still report.

One SQLite file (WAL, ``synchronous=FULL``): a build's intent is on disk before a byte goes to
the machine, and a change of state is written together with the report of it.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid5

from device_bridge.work import Work
from domain.ports import Clock
from domain.shared.errors import StaleEpochError, StorageFullError

COMMAND_NAMES = UUID("6f1f4d0e-6f0b-5d0a-9a63-0d0b5a1e7c11")
CONFLATED = frozenset({"ReportProgress", "ObserveNode"})
SCHEMA = """
CREATE TABLE IF NOT EXISTS bridge (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS machines (node_id TEXT PRIMARY KEY, highest_epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS builds (
    build_id TEXT PRIMARY KEY, node_id TEXT NOT NULL, epoch INTEGER NOT NULL,
    state TEXT NOT NULL, work TEXT NOT NULL, facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL, command_id TEXT NOT NULL,
    name TEXT NOT NULL, payload TEXT NOT NULL, build_id TEXT NOT NULL,
    tried INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS outbox_by_node ON outbox (node_id, seq);
"""
WITH_TIMES = "ALTER TABLE builds ADD COLUMN settled_at REAL"
"""Seconds since 1970; a file that an older bridge made has no such column."""
SETTLE = """
UPDATE builds SET settled_at = ?
WHERE settled_at IS NULL AND state NOT IN ('ACCEPTED', 'STARTED', 'PAUSED')
AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.build_id = builds.build_id)
"""
KEPT = timedelta(days=30)
"""How long a build is remembered that ended and whose reports were all delivered."""
Result = TypeVar("Result")


class BuildState(StrEnum):
    """How far this bridge has taken a build. From STARTED on bytes may have been written."""

    ACCEPTED = "ACCEPTED"
    STARTED = "STARTED"
    PAUSED = "PAUSED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def open(self) -> bool:
        """Whether its end is still to come."""
        return self in {BuildState.ACCEPTED, BuildState.STARTED, BuildState.PAUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One build in the journal."""

    work: Work
    state: BuildState
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One command to the core. ``command_id`` stays the same however often it is sent.

    ``causation_id`` and ``correlation_id`` are those of the work that it is about, or empty."""

    seq: int
    node_id: str
    command_id: str
    name: str
    payload: dict[str, Any]
    tried: bool
    causation_id: str = ""
    correlation_id: str = ""


class Journal:
    """All methods run in one thread of their own, so the disk never holds up a machine."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None
        self.bridge_epoch = 0

    async def open(self) -> None:
        """Open or make the file and count the bridge's epoch up."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._close)
        self._thread.shutdown()

    async def accept(self, work: Work) -> None:
        """Write the intent. Raises ``StaleEpochError`` below the machine's highest epoch."""
        await self._run(lambda db: self._accept(db, work))

    async def entry(self, build_id: str) -> Entry | None:
        """What is known of a build."""
        rows = await self._run(lambda db: self._entries(db, "build_id = ?", build_id))
        return rows[0] if rows else None

    async def unfinished(self, node_id: str) -> list[Entry]:
        """Builds of a machine whose end is not written."""
        entries = await self._run(lambda db: self._entries(db, "node_id = ?", node_id))
        return [entry for entry in entries if entry.state.open]

    async def record(
        self,
        work: Work,
        state: BuildState,
        *,
        facts: dict[str, Any] | None = None,
        reports: tuple[tuple[str, dict[str, Any]], ...] = (),
    ) -> None:
        """A new state of a build and the reports that follow from it, in one transaction."""
        await self._run(lambda db: self._record(db, work, state, facts, reports))

    async def post(self, node_id: str, name: str, payload: dict[str, Any]) -> None:
        """A report of its own. Untried progress and observations give way to newer ones."""
        await self._run(lambda db: self._post(db, node_id, name, payload))

    async def next_report(self, node_id: str) -> Report | None:
        """The oldest report of a node; from now on its payload stays as it is."""
        return await self._run(lambda db: self._next_report(db, node_id))

    async def delivered(self, report: Report) -> None:
        """The core has answered it."""
        await self._run(lambda db: self._delivered(db, report))

    async def prune(self) -> int:
        """Forget builds that were settled long ago, and say how many.

        The queue is a hint: a message about one of them is refused by the log (``AcceptBuild``).
        """
        return await self._run(self._prune)

    async def _run(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        """Raises ``StorageFullError``, and then nothing of the step was written."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._transaction(step)
            )
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            told = "the disk of the bridge's journal is full; nothing was written"
            raise StorageFullError(told, remedy=f"clear {self._path.parent}") from error

    def _transaction(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            self._db.executescript(SCHEMA)
            columns = self._db.execute("SELECT name FROM pragma_table_info('builds')")
            if ("settled_at",) not in columns.fetchall():
                self._db.execute(WITH_TIMES)
        self._db.execute("BEGIN IMMEDIATE")
        db = self._db
        try:
            result = step(db)
            if self._db is not None:  # it was not closed
                db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk may have ended it
                db.execute("ROLLBACK")
            raise
        return result

    def _open(self, db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO bridge VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1"
        )
        (self.bridge_epoch,) = db.execute("SELECT epoch FROM bridge").fetchone()

    def _close(self, db: sqlite3.Connection) -> None:
        db.execute("COMMIT")
        self._db = None
        with contextlib.closing(db):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _accept(self, db: sqlite3.Connection, work: Work) -> None:
        row = db.execute(
            "SELECT highest_epoch FROM machines WHERE node_id = ?", (work.node_id,)
        ).fetchone()
        if row is not None and work.epoch < row[0]:
            raise StaleEpochError(f"epoch {work.epoch} is below {row[0]}", field="epoch")
        db.execute(
            "INSERT INTO machines VALUES (?, ?) ON CONFLICT (node_id)"
            " DO UPDATE SET highest_epoch = excluded.highest_epoch",
            (work.node_id, work.epoch),
        )
        db.execute(
            "INSERT OR IGNORE INTO builds (build_id, node_id, epoch, state, work)"
            " VALUES (?, ?, ?, ?, ?)",
            (work.build_id, work.node_id, work.epoch, BuildState.ACCEPTED, work.as_json()),
        )

    def _entries(self, db: sqlite3.Connection, where: str, key: str) -> list[Entry]:
        rows = db.execute(f"SELECT work, state, facts FROM builds WHERE {where}", (key,))
        return [
            Entry(work=Work(**json.loads(work)), state=BuildState(state), facts=json.loads(facts))
            for work, state, facts in rows
        ]

    def _record(
        self,
        db: sqlite3.Connection,
        work: Work,
        state: BuildState,
        facts: dict[str, Any] | None,
        reports: tuple[tuple[str, dict[str, Any]], ...],
    ) -> None:
        db.execute("UPDATE builds SET state = ? WHERE build_id = ?", (state, work.build_id))
        if facts is not None:
            db.execute(
                "UPDATE builds SET facts = ? WHERE build_id = ?",
                (json.dumps(facts), work.build_id),
            )
        for name, payload in reports:
            self._post(db, work.node_id, name, payload)
        self._settle(db, work.build_id)

    def _delivered(self, db: sqlite3.Connection, report: Report) -> None:
        db.execute("DELETE FROM outbox WHERE seq = ?", (report.seq,))
        self._settle(db, str(report.payload.get("build_id", "")))

    def _settle(self, db: sqlite3.Connection, build_id: str) -> None:
        """Note when a build has ended and nothing of it is left to deliver."""
        now = self._clock.now().timestamp()
        db.execute(f"{SETTLE} AND build_id = ?", (now, build_id))

    def _prune(self, db: sqlite3.Connection) -> int:
        now = self._clock.now()
        db.execute(SETTLE, (now.timestamp(),))  # those that an older bridge ended
        oldest = (now - KEPT).timestamp()
        return db.execute("DELETE FROM builds WHERE settled_at < ?", (oldest,)).rowcount

    def _post(
        self, db: sqlite3.Connection, node_id: str, name: str, payload: dict[str, Any]
    ) -> None:
        build_id = str(payload.get("build_id", ""))
        newest = db.execute(
            "SELECT seq, name, build_id, tried FROM outbox WHERE node_id = ?"
            " ORDER BY seq DESC LIMIT 1",
            (node_id,),
        ).fetchone()
        if name in CONFLATED and newest is not None and newest[1:] == (name, build_id, 0):
            db.execute(
                "UPDATE outbox SET payload = ? WHERE seq = ?", (json.dumps(payload), newest[0])
            )
            return
        seq = db.execute(
            "INSERT INTO outbox (node_id, command_id, name, payload, build_id)"
            " VALUES (?, '', ?, ?, ?)",
            (node_id, name, json.dumps(payload), build_id),
        ).lastrowid
        command_id = uuid5(COMMAND_NAMES, f"{node_id}:{self.bridge_epoch}:{seq}")
        db.execute("UPDATE outbox SET command_id = ? WHERE seq = ?", (str(command_id), seq))

    def _next_report(self, db: sqlite3.Connection, node_id: str) -> Report | None:
        row = db.execute(
            "SELECT seq, node_id, command_id, name, payload, tried, build_id FROM outbox"
            " WHERE node_id = ? ORDER BY seq LIMIT 1",
            (node_id,),
        ).fetchone()
        if row is None:
            return None
        db.execute("UPDATE outbox SET tried = 1 WHERE seq = ?", (row[0],))
        works = [entry.work for entry in self._entries(db, "build_id = ?", row[6])]
        return Report(
            seq=row[0],
            node_id=row[1],
            command_id=row[2],
            name=row[3],
            payload=json.loads(row[4]),
            tried=bool(row[5]),
            causation_id=works[0].causation_id if works else "",
            correlation_id=works[0].correlation_id if works else "",
        )

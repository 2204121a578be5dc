"""Readings wait here for the hub: on disk, in order, within bounds.

A file of its own beside the journal, so that a build's reports never wait for readings. WAL with
``synchronous=NORMAL``: the bridge's death loses nothing, a power cut the last moments.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from device_bridge.telemetry.thinning import thinned

MOST_BYTES = 128 << 20
"""A day of ten machines with ten channels once a second."""
SPACING_S = (0, 10, 60)
"""How far apart readings of a channel stay, the first and the second time that room is needed."""
GROUP = 60
GROUP_READINGS = 5000
SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL, build_id TEXT NOT NULL,
    epoch INTEGER, seq INTEGER, thin INTEGER NOT NULL DEFAULT 0, readings INTEGER NOT NULL,
    gap INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS waiting_by_node ON waiting (node_id, id);
CREATE INDEX IF NOT EXISTS waiting_to_thin ON waiting (thin, id) WHERE seq IS NULL;
CREATE TABLE IF NOT EXISTS nodes (
    node_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, gap INTEGER NOT NULL);
"""
PRAGMAS = """
PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
PRAGMA journal_size_limit=4194304;
"""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message on its way; whatever happens it goes again under the same epoch and number."""

    id: int
    message: dict[str, Any]


class TelemetryOutbox:
    """Messages of all machines of a bridge. Numbers are given when a message is first sent, so
    what was thinned before leaves no hole; ``gap`` in a message counts the readings lost before it.

    All methods run in one thread of their own. They raise ``sqlite3.Error`` when the disk fails.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="telemetry")
        self._db: sqlite3.Connection | None = None
        self._bytes = 0
        self._epoch = 0

    async def open(self, epoch: int) -> None:
        """Open or make the file; a damaged one is put aside, a full disk is tried again later.

        ``epoch`` counts the bridge's starts.
        """
        self._epoch = epoch
        try:
            await self._apart(self._open)
        except sqlite3.OperationalError as problem:
            log = structlog.get_logger("bridge.telemetry")
            log.error("readings_cannot_be_kept", problem=str(problem))

    async def close(self) -> None:
        """Close the file."""
        await self._apart(self._close)
        self._thread.shutdown()

    async def put(self, node_id: str, messages: list[dict[str, Any]]) -> None:
        """Keep messages, oldest first; what waits is thinned when there are too many."""
        await self._run(lambda db: self._put(db, node_id, messages))

    async def following(self, node_id: str, *, done: Waiting | None = None) -> Waiting | None:
        """Forget what the hub has, and say what it is to have next."""
        return await self._run(lambda db: self._following(db, node_id, done))

    async def _run(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._apart(lambda: self._transaction(step))

    async def _apart(self, step: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, step)

    def _transaction(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        db = self._db or self._open()
        before = self._bytes
        db.execute("BEGIN IMMEDIATE")
        try:
            result = step(db)
            db.execute("COMMIT")
        except BaseException:
            self._bytes = before
            if db.in_transaction:  # a full disk may have ended it
                db.execute("ROLLBACK")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.DatabaseError as problem:
            if isinstance(problem, sqlite3.OperationalError):
                raise
            log = structlog.get_logger("bridge.telemetry")
            log.error("readings_damaged", problem=str(problem), file=self._path.name)
            for end in ("-wal", "-shm"):
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)
            self._path.replace(self._path.with_suffix(".damaged"))
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.executescript(PRAGMAS + SCHEMA)
            (self._bytes,) = db.execute(
                "SELECT coalesce(sum(length(body)), 0) FROM waiting"
            ).fetchone()
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _put(self, db: sqlite3.Connection, node_id: str, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            body = {name: value for name, value in message.items() if name != "gap"}
            self._insert(db, node_id, body, gap=message.get("gap", 0))
        while self._bytes > self._most_bytes and self._make_room(db):
            pass

    def _insert(
        self,
        db: sqlite3.Connection,
        node_id: str,
        message: dict[str, Any],
        *,
        gap: int,
        thin: int = 0,
        id: int | None = None,
    ) -> None:
        body = json.dumps(message, separators=(",", ":"))
        self._bytes += len(body)
        db.execute(
            "INSERT INTO waiting (id, node_id, build_id, thin, readings, gap, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, node_id, message["build_id"], thin, len(message["t"]), gap, body),
        )

    def _following(
        self, db: sqlite3.Connection, node_id: str, done: Waiting | None
    ) -> Waiting | None:
        if done is not None:
            self._delete(db, [done.id])
        row = db.execute(
            "SELECT id, epoch, seq, gap, body FROM waiting WHERE node_id = ? ORDER BY id LIMIT 1",
            (node_id,),
        ).fetchone()
        if row is None:
            return None
        id, epoch, seq, gap, body = row
        if seq is None:
            epoch, seq, gap = self._number(db, node_id, id, gap)
        message = {"node_id": node_id, "epoch": epoch, "seq": seq, **json.loads(body)}
        return Waiting(id, {**message, "gap": gap} if gap else message)

    def _number(
        self, db: sqlite3.Connection, node_id: str, id: int, gap: int
    ) -> tuple[int, int, int]:
        """From now on the message stays as it is."""
        known = db.execute(
            "SELECT epoch, seq, gap FROM nodes WHERE node_id = ?", (node_id,)
        ).fetchone()
        epoch, seq, lost = known or (self._epoch, 0, 0)
        seq = seq + 1 if epoch == self._epoch else 1
        gap += lost
        db.execute(
            "INSERT INTO nodes VALUES (?, ?, ?, 0) ON CONFLICT (node_id)"
            " DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, gap = 0",
            (node_id, self._epoch, seq),
        )
        db.execute(
            "UPDATE waiting SET epoch = ?, seq = ?, gap = ? WHERE id = ?",
            (self._epoch, seq, gap, id),
        )
        return self._epoch, seq, gap

    def _make_room(self, db: sqlite3.Connection) -> bool:
        """Thin the oldest that was thinned least; when all is thin, the oldest goes."""
        for level, spacing_s in enumerate(SPACING_S[1:], start=1):
            first = db.execute(
                "SELECT id, node_id, build_id FROM waiting WHERE thin = ? AND seq IS NULL"
                " ORDER BY id LIMIT 1",
                (level - 1,),
            ).fetchone()
            if first is not None:
                self._thin(db, first, level=level, spacing_s=spacing_s)
                return True
        return self._drop(db)

    def _thin(
        self, db: sqlite3.Connection, first: tuple[int, str, str], *, level: int, spacing_s: int
    ) -> None:
        id, node_id, build_id = first
        rows = db.execute(
            "SELECT id, build_id, thin, readings, gap, body FROM waiting"
            " WHERE node_id = ? AND id >= ? AND seq IS NULL ORDER BY id LIMIT ?",
            (node_id, id, GROUP),
        ).fetchall()
        group: list[tuple[int, int, dict[str, Any]]] = []
        readings = 0
        for row_id, build, thin, count, gap, body in rows:
            alike = build == build_id and thin == level - 1
            if not alike or (group and readings + count > GROUP_READINGS):
                break
            readings += count
            group.append((row_id, gap, json.loads(body)))
        message = thinned([body for _, _, body in group], spacing_s=spacing_s)
        lost = readings - len(message["t"]) + sum(gap for _, gap, _ in group)
        self._delete(db, [row_id for row_id, _, _ in group])
        self._insert(db, node_id, message, gap=lost, thin=level, id=id)

    def _drop(self, db: sqlite3.Connection) -> bool:
        row = db.execute(
            "SELECT id, node_id, readings + gap FROM waiting WHERE seq IS NULL ORDER BY id LIMIT 1"
        ).fetchone()
        if row is None:
            return False
        id, node_id, lost = row
        self._delete(db, [id])
        db.execute(
            "INSERT INTO nodes VALUES (?, ?, 0, ?) ON CONFLICT (node_id)"
            " DO UPDATE SET gap = gap + excluded.gap",
            (node_id, self._epoch, lost),
        )
        return True

    def _delete(self, db: sqlite3.Connection, ids: list[int]) -> None:
        for id in ids:
            row = db.execute(
                "DELETE FROM waiting WHERE id = ? RETURNING length(body)", (id,)
            ).fetchone()
            self._bytes -= row[0] if row else 0
        db.execute("PRAGMA incremental_vacuum(16)")

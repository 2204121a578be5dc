"""Takes telemetry from the stream into PostgreSQL: every message once, whatever some are like.

One ingest works at a time, held by an advisory lock; others stand by. How far it has come lies in
the transaction that writes the rows.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg.rows import TupleRow

from domain.shared.errors import UnavailableError
from domain.telemetry.messages import Batch, Fault, MalformedBatchError, read_batch
from ops.eventstore.raw import RawEvent
from ops.telemetry.stream import SUBJECTS, TelemetryStream
from projections.telemetry.known import Known, load
from projections.telemetry.postgres import Refusal, TelemetryFencedError, write

Connection = psycopg.Connection[TupleRow]

LOCK: Final = 0x7E1E
MOST_MESSAGES: Final = 256
GATHER_S: Final = 0.2
"""Few messages wait so long for others: a transaction costs the same for one and for fifty."""
FEW: Final = 64
IDLE_S: Final = 1.0
STAND_BY_S: Final = 2.0
LONGEST_PAUSE_S: Final = 5.0
_NOBODY: Final = ""
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)
_NOT_ITS_FAULT: Final = (*_AWAY, TelemetryFencedError)
"""What a message cannot bring about."""

log = structlog.get_logger()


class Ingest:
    """Runs in a thread of its own until `stop`.

    `connect` gives an autocommit connection to a migrated database; `chores` is called with the
    connection between two messages, about once in `chores_every_s`.
    """

    def __init__(
        self,
        stream: TelemetryStream,
        connect: Callable[[], Connection],
        *,
        chores: Callable[[Connection], None] = lambda _connection: None,
        chores_every_s: float = 600.0,
    ) -> None:
        self._stream = stream
        self._connect = connect
        self._chores = chores
        self._chores_every_s = chores_every_s
        self._chores_at = 0.0
        self._connection: Connection | None = None
        self._known: Known | None = None
        self._stopping = threading.Event()
        self._pause = 0.05

    def stop(self) -> None:
        """Let `run` return after the transaction at hand."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the stream for ever."""
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                taken = self._try_round()
                if taken is None:
                    self._stopping.wait(self._pause)
                elif not taken:
                    self._wait()
                elif taken < FEW:
                    self._stopping.wait(max(0.0, begun + GATHER_S - time.monotonic()))
        finally:
            self._forget()

    def round(self) -> int:
        """Take in what is there, one transaction of it; returns the number of messages."""
        connection = self._connected()
        if self._known is None:
            self._known = self._load(connection)
        known = self._known
        found = self._stream.read(known.position, MOST_MESSAGES)
        if not found:
            return 0
        try:
            batches, refusals = read(found)
            self._write(connection, known, found[-1].sequence, batches, refusals)
        except _NOT_ITS_FAULT:
            raise
        except Exception as error:
            log.warning("telemetry is written one by one", problem=str(error).strip())
            self._one_by_one(connection, found)
        return len(found)

    def _try_round(self) -> int | None:
        try:
            taken = self.round()
            self._do_chores()
        except _AWAY as error:
            log.warning("telemetry waits", problem=str(error).strip())
        except TelemetryFencedError as error:
            log.warning("telemetry is taken in elsewhere", problem=error.message)
        except Exception:
            log.exception("telemetry cannot be taken in")
        else:
            self._pause = 0.05
            return taken
        self._forget()
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        return None

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now >= self._chores_at:
            self._chores_at = now + self._chores_every_s
            self._chores(self._connected())
            self._known = None  # partitions may be gone

    def _wait(self) -> None:
        try:
            self._stream.wait(IDLE_S)
        except UnavailableError:
            self._stopping.wait(IDLE_S)

    def _connected(self) -> Connection:
        while self._connection is None or self._connection.closed:
            connection = self._connect()
            held = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
            if held == (True,):
                self._connection = connection
                return connection
            connection.close()
            if self._stopping.wait(STAND_BY_S):
                raise UnavailableError("stopped while standing by")
        return self._connection

    def _load(self, connection: Connection) -> Known:
        identity = self._stream.identity()
        with connection.transaction(), connection.cursor() as cursor:
            return load(cursor, identity)

    def _write(
        self,
        connection: Connection,
        known: Known,
        upto: int,
        batches: Sequence[Batch],
        refusals: Sequence[Refusal],
    ) -> None:
        try:
            with connection.transaction(), connection.cursor() as cursor:
                write(cursor, known, upto=upto, batches=batches, refusals=refusals)
        except BaseException:
            self._known = None  # it may remember what was rolled back
            raise

    def _one_by_one(self, connection: Connection, found: Sequence[RawEvent]) -> None:
        """Whatever a message does, the others go on: the one at fault is counted."""
        for raw in found:
            known = self._load(connection)
            try:
                batches, refusals = read([raw])
                self._write(connection, known, raw.sequence, batches, refusals)
            except _NOT_ITS_FAULT:
                raise
            except Exception as error:
                refusal = _refusal(raw, _node_of(raw.subject), f"{type(error).__name__}: {error}")
                known = self._load(connection)
                self._write(connection, known, raw.sequence, (), [refusal])

    def _forget(self) -> None:
        self._known = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read(found: Sequence[RawEvent]) -> tuple[list[Batch], list[Refusal]]:
    """Messages of the stream, and those that are none."""
    batches: list[Batch] = []
    refusals: list[Refusal] = []
    for raw in found:
        node_id = _node_of(raw.subject)
        try:
            batches.append(batch_of(raw))
        except MalformedBatchError as error:
            refusals.append(_refusal(raw, node_id, str(error), fault=error.fault))
    return batches, refusals


def batch_of(raw: RawEvent) -> Batch:
    """Read one message of the stream. Raises `MalformedBatchError`."""
    node_id = _node_of(raw.subject)
    if not node_id:
        raise MalformedBatchError(Fault.WRONG_NODE, f"{raw.subject[:80]} names no machine")
    try:
        told = orjson.loads(raw.body)
    except orjson.JSONDecodeError as error:
        raise MalformedBatchError(Fault.NOT_JSON, str(error)) from error
    return read_batch(told, node_id=node_id, received=raw.stored_ns // 1_000_000)


def _node_of(subject: str) -> str:
    """The machine that a subject names; empty for what is no machine's id."""
    text = subject.removeprefix(f"{SUBJECTS}.")
    try:
        return text if str(UUID(text)) == text else _NOBODY
    except ValueError:
        return _NOBODY


def _refusal(raw: RawEvent, node_id: str, detail: str, *, fault: str = "UNSTORABLE") -> Refusal:
    return Refusal(
        node_id, fault, detail, raw.sequence, raw.stored_ns // 1_000_000, bytes(raw.body)
    )

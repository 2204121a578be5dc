"""What the ingest does beside its work: roll-ups that are too old go, and days of readings move."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from psycopg.rows import TupleRow

from ops.settings import Settings
from ops.telemetry.cold import has_library
from projections.telemetry.partitions import DAY_MS, drop, moment, partitions

MINUTE_DAYS: Final = 731
"""Roll-ups of 1 min are kept for two years."""
TIER_EVERY_S: Final = 3600.0

Connection = psycopg.Connection[TupleRow]
log = structlog.get_logger()


class Chores:
    """`now` gives Unix ms. Days are moved by a program of its own: the library is large."""

    def __init__(self, settings: Settings, *, now: Callable[[], int]) -> None:
        self._settings = settings
        self._now = now
        self._moving: subprocess.Popen[bytes] | None = None
        self._move_at = 0.0

    def __call__(self, connection: Connection) -> None:
        """Do what is due."""
        self._forget(connection, "seconds", days=self._settings.telemetry_second_days)
        self._forget(connection, "minutes", days=MINUTE_DAYS)
        if self._moving is not None and self._moving.poll() is not None:
            self._moving = None
        if self._moving is None and time.monotonic() >= self._move_at and has_library():
            self._move_at = time.monotonic() + TIER_EVERY_S
            if self._due(connection):
                self._moving = subprocess.Popen(tier_command(self._settings))

    def close(self) -> None:
        """Do not wait for a move: what it has not finished is done by the next one."""
        if self._moving is not None and self._moving.poll() is None:
            self._moving.terminate()
            self._moving.wait()

    def _forget(self, connection: Connection, table: str, *, days: int) -> None:
        """A partition whose name sorts before that of the first time that is kept."""
        kept = moment(self._now() - days * DAY_MS)
        first = f"{table}_{kept:%Y%m%d}" if table == "seconds" else f"{table}_{kept:%Y%m}"
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")  # a long look must not stop the ingest
            for name in partitions(cursor, table):
                if name < first:
                    drop(cursor, name)
                    log.info("roll-ups are too old", dropped=name)

    def _due(self, connection: Connection) -> bool:
        first = moment(self._now() - self._settings.telemetry_raw_days * DAY_MS)
        with connection.cursor() as cursor:
            return any(n < f"chunks_{first:%Y%m%d}" for n in partitions(cursor, "chunks"))


def tier_command(settings: Settings) -> list[str]:
    """`imewe telemetry tier` in this interpreter, whatever lies in the working folder."""
    words = [sys.executable, "-P", "-m", "ops.cli.main", "telemetry"]
    return [*words, "--home", str(settings.home), "tier", "--json"]

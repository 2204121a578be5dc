"""Connections to the database: the embedded one, or the one that IMEWE_DATABASE_URL names."""

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from ops.database.server import database_note
from ops.settings import Settings


def conninfo(settings: Settings, **more: Any) -> str:
    """The psycopg conninfo, with the parameters ``more``."""
    return make_conninfo(settings.database_url or database_note(settings.home), **more)


def connect(settings: Settings, **options: Any) -> psycopg.Connection[TupleRow]:
    """One connection; ``options`` are psycopg's own (``autocommit``, ``row_factory`` ...)."""
    return psycopg.connect(conninfo(settings), **options)


def rebuildable(
    settings: Settings, *, idle_s: int = 0, **options: Any
) -> psycopg.Connection[TupleRow]:
    """A connection for read models, whose commits need not wait for the disk.

    With ``idle_s`` the server ends it when it leaves a transaction idle for so many seconds: one
    that stands still would hold its locks against whoever takes over.

    After a crash of the server the last commits may be missing, in order and whole: rows and
    position go back together, and the runner, whose connection broke too, reads both again.
    """
    how = f"-c synchronous_commit=off -c idle_in_transaction_session_timeout={idle_s}s"
    return psycopg.connect(conninfo(settings, options=how), **options)


def async_pool(settings: Settings, *, most: int = 8, **options: Any) -> AsyncConnectionPool[Any]:
    """A closed pool for asyncio: use it as an async context manager, or ``await open()``."""
    return AsyncConnectionPool(
        conninfo(settings),
        min_size=1,
        max_size=most,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs=options,
    )

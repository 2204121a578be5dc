"""Puts runner and rebuild together with the servers of an installation."""

from collections.abc import Iterator
from contextlib import contextmanager

from ops.database.connection import rebuildable
from ops.database.migrations import migrate
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.messaging.connection import address
from ops.projecting.places import Connection
from ops.settings import Settings

NATS_USER = "projections"


def connected(settings: Settings, *, idle_s: int = 0) -> Connection:
    """A connection to the read models; an empty database gets its tables first.

    ``idle_s``: see ``rebuildable``.
    """
    connection = rebuildable(settings, idle_s=idle_s, autocommit=True)
    try:
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def log_reader(settings: Settings) -> Iterator[LogReader]:
    """The log as account ``APP`` sees it."""
    client = Client(address(settings, NATS_USER))
    try:
        reader = LogReader.through_import(client)
        try:
            yield reader
        finally:
            reader.close()
    finally:
        client.close()

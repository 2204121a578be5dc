"""The log of an installation that runs here or is stopped, for tools that check it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from ops.eventstore.client import Client
from ops.messaging.connection import address
from ops.messaging.serving import served
from ops.settings import Settings

USER = "log_notary"
PATIENCE_S = 60.0
"""A server that has just begun reads a long log first."""


@contextmanager
def log_client(settings: Settings) -> Iterator[Client]:
    """A connection to the log; raises what ``served`` does."""
    with (
        served(settings),
        closing(Client(address(settings, USER), timeout=PATIENCE_S)) as client,
    ):
        yield client

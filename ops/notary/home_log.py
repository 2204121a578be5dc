"""The log of an installation that runs here or is stopped, for tools that check it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from domain.shared.errors import NotFoundError
from ops.eventstore.client import Client
from ops.hosting.account import server_account
from ops.hosting.home import MARKER, held, lock_holder
from ops.messaging.connection import address
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings

USER = "log_notary"
PATIENCE_S = 60.0
"""A server that has just begun reads a long log first."""


def runs(settings: Settings) -> bool:
    """Whether a server of this installation is there already."""
    return bool(settings.nats_url) or lock_holder(settings.home) is not None


@contextmanager
def log_client(settings: Settings) -> Iterator[Client]:
    """A connection to the log. A stopped home is held, and its server runs meanwhile on loopback.

    Raises ``NotFoundError`` where no installation was, ``HomeInUseError`` when one starts now.
    """
    if runs(settings):
        with closing(Client(address(settings, USER), timeout=PATIENCE_S)) as client:
            yield client
        return
    if not (settings.home / MARKER).exists() or not (settings.home / "nats").is_dir():
        raise NotFoundError(f"{settings.home} holds no log", field="home", remedy="say --home")
    with held(settings.home):
        server = EmbeddedNats(
            settings.home,
            server_account(settings.server_account),
            store_bytes=settings.store_bytes,
        )
        server.start()
        try:
            with closing(Client(address(settings, USER), timeout=PATIENCE_S)) as client:
                yield client
        finally:
            server.stop()

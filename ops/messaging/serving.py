"""The nats-server of an installation that runs here or is stopped, for tools beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.shared.errors import NotFoundError
from ops.hosting.account import server_account
from ops.hosting.home import MARKER, held, lock_holder
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings


def runs(settings: Settings) -> bool:
    """Whether a server of this installation is there already."""
    return bool(settings.nats_url) or lock_holder(settings.home) is not None


def demand_home(home: Path) -> None:
    """Raises ``NotFoundError`` where no installation was that has a log."""
    if not (home / MARKER).exists() or not (home / "nats").is_dir():
        raise NotFoundError(
            f"{home} is no home of an installation with a log",
            field="home",
            remedy="say which: --home",
        )


@contextmanager
def served(settings: Settings) -> Iterator[None]:
    """A server that answers for as long as the block runs.

    A stopped home is held, and its server runs meanwhile on loopback. Raises ``NotFoundError``
    where no installation was, ``HomeInUseError`` when somebody starts it now.
    """
    if runs(settings):
        yield
        return
    demand_home(settings.home)
    with held(settings.home):
        server = EmbeddedNats(
            settings.home,
            server_account(settings.server_account),
            store_bytes=settings.store_bytes,
        )
        server.start()
        try:
            yield
        finally:
            server.stop()

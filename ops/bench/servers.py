"""What benches over a log and a database share: connections, and what the library is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from domain.shared.recorded import Actor, Envelope
from ops.database.connection import connect
from ops.database.server import EmbeddedPostgres
from ops.eventstore.client import Client
from ops.eventstore.jetstream import environment_of
from ops.eventstore.wire import Address
from ops.hosting.account import server_account
from ops.messaging.server import EmbeddedNats, credentials
from ops.projecting.places import Connection
from ops.settings import Settings


def envelope(occurred_at: datetime) -> Envelope:
    """What every event of a bench is recorded with: as long as a bridge's report."""
    return Envelope(
        command_id="b8a4a2f0-5a3e-5ce2-8f2a-6a6a2f1a0c11",
        causation_id="2f1a0c11-5a3e-5ce2-8f2a-b8a4a2f06a6a",
        correlation_id="6a6a2f1a-5a3e-5ce2-8f2a-0c11b8a4a2f0",
        organisation_id="workshop",
        site_id="",
        actor=Actor(kind="bridge", id="local"),
        occurred_at=occurred_at,
    )


@contextmanager
def servers_in(home: Path) -> Iterator[tuple[EmbeddedNats, EmbeddedPostgres]]:
    """Both embedded servers in ``home``, started, and stopped at the end."""
    nats = EmbeddedNats(home, server_account())
    postgres = EmbeddedPostgres(home, server_account())
    nats.start()
    try:
        postgres.start()
        try:
            yield nats, postgres
        finally:
            postgres.stop()
    finally:
        nats.stop()


class Servers:
    """A nats-server and a PostgreSQL that run in one home."""

    def __init__(self, settings: Settings, nats: EmbeddedNats) -> None:
        self.settings = settings
        self._nats = nats
        self._passwords = credentials(settings.home)

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """A connection of the owner's."""
        with connect(self.settings, autocommit=True) as connection:
            yield connection

    def client(self, user: str) -> Client:
        """A client of the log."""
        return Client(self.address(user))

    def address(self, user: str) -> Address:
        """Where and as whom."""
        return Address(
            host="127.0.0.1", port=self._nats.port, user=user, password=self._passwords[user]
        )

    def environment(self, prefix: str) -> dict[str, str]:
        """The log for the application, PostgreSQL for the library's view of that name."""
        with self.database() as connection:
            given = conninfo_to_dict(connection.info.dsn)
        return {
            **environment_of(self.address("log_commands")),
            f"{prefix}_PERSISTENCE_MODULE": "eventsourcing.postgres",
            f"{prefix}_POSTGRES_DBNAME": str(given["dbname"]),
            f"{prefix}_POSTGRES_HOST": str(given["host"]),
            f"{prefix}_POSTGRES_PORT": str(given.get("port") or 5432),
            f"{prefix}_POSTGRES_USER": str(given["user"]),
            f"{prefix}_POSTGRES_PASSWORD": (self.settings.home / "database.secret").read_text(),
        }

"""A log of a test's own on the session's nats-server, with the real accounts and users."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from domain.shared.recorded import Actor, Envelope
from ops.eventstore.client import Client
from ops.eventstore.envelope import Record
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import LogNames, ensure_streams, events_config, snapshots_config
from ops.eventstore.wire import Address
from ops.messaging.server import EmbeddedNats, credentials
from ops.settings import Settings

MODULE = "ops.eventstore.jetstream"
MAPPER = "ops.eventstore.mapper:ImeweMapper"


@dataclass(kw_only=True)
class OwnLog:
    """One log: its names, and the environment that leads the library to it."""

    server: EmbeddedNats
    passwords: dict[str, str]
    names: LogNames
    factories: list[JetStreamFactory] = field(default_factory=list)

    def address(self, user: str) -> Address:
        return Address(
            host="127.0.0.1", port=self.server.port, user=user, password=self.passwords[user]
        )

    @property
    def env(self) -> dict[str, str]:
        return {
            "PERSISTENCE_MODULE": MODULE,
            "NATS_HOST": "127.0.0.1",
            "NATS_PORT": str(self.server.port),
            "NATS_USER": "log_commands",
            "NATS_PASSWORD": self.passwords["log_commands"],
            "NATS_STREAM": self.names.stream,
            "NATS_SUBJECTS": self.names.subjects,
            "NATS_LIVE": self.names.live,
            "NATS_SNAPSHOT_STREAM": self.names.snapshot_stream,
            "NATS_SNAPSHOT_SUBJECTS": self.names.snapshot_subjects,
        }

    def factory(self) -> JetStreamFactory:
        """Another writer, with a memory of its own."""
        self.factories.append(JetStreamFactory(self.env))
        return self.factories[-1]


@contextlib.contextmanager
def own_log(server: EmbeddedNats, settings: Settings) -> Iterator[OwnLog]:
    """Make the streams of a log, and drop them afterwards."""
    mark = token_hex(6)
    names = LogNames(
        stream=f"T_{mark}",
        subjects=f"t.{mark}",
        live=f"live.imewe.events.t.{mark}",
        snapshot_stream=f"TS_{mark}",
        snapshot_subjects=f"ts.{mark}",
    )
    log = OwnLog(server=server, passwords=credentials(settings.home), names=names)
    supervisor = Client(log.address("log_supervisor"))
    ensure_streams(supervisor, [events_config(names), snapshots_config(names)])
    try:
        yield log
        for factory in log.factories:
            factory.close()
        supervisor.api(f"STREAM.DELETE.{names.stream}")
        supervisor.api(f"STREAM.DELETE.{names.snapshot_stream}")
    finally:
        supervisor.close()


def an_envelope(command: str = "a command") -> Envelope:
    return Envelope(
        command_id=command,
        causation_id="a cause",
        correlation_id="a story",
        organisation_id="an organisation",
        site_id="a site",
        actor=Actor(kind="user", id="anna"),
        occurred_at=datetime(2026, 11, 21, 10, 0, 0, 123000, tzinfo=UTC),
    )


def fact(aggregate: UUID, version: int, **fields: object) -> StoredEvent:
    return StoredEvent(aggregate, version, "imewe.job:Moved", orjson.dumps(fields))


def records(log: OwnLog) -> list[Record]:
    """The whole log as it is stored."""
    client = Client(log.address("log_commands"))
    reader = LogReader(client, names=log.names)
    found: list[Record] = []
    while more := reader.read_raw(len(found), 2000):
        found += more
    reader.close()
    client.close()
    return found

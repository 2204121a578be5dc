"""The event log as a persistence module of the eventsourcing library.

``PERSISTENCE_MODULE=ops.eventstore.jetstream`` names this module, so that the write side needs no
import of it. The library wants exactly one factory class in here.
"""

from datetime import UTC, datetime
from typing import Any

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.utils import Environment, EnvType

from ops.eventstore.appending import Appender
from ops.eventstore.client import Client
from ops.eventstore.heads import HeadCache
from ops.eventstore.loading import LogFiles
from ops.eventstore.recorder import JetStreamAggregateRecorder, JetStreamApplicationRecorder
from ops.eventstore.snapshots import JetStreamSnapshotRecorder
from ops.eventstore.streams import LogNames
from ops.eventstore.wire import Address


class JetStreamFactory(InfrastructureFactory[TrackingRecorder]):
    """Recorders on one event log.

    Environment: ``NATS_HOST``, ``NATS_PORT``, ``NATS_USER``, ``NATS_PASSWORD``; for another log
    than the shop's also ``NATS_STREAM``, ``NATS_SUBJECTS``, ``NATS_LIVE``, ``NATS_SNAPSHOT_STREAM``
    and ``NATS_SNAPSHOT_SUBJECTS``. The streams must exist (``ops.eventstore.streams``): this user
    may not make them.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self._names = _names(self.env)
        self._client = Client(_address(self.env))
        self._heads = HeadCache()
        self._files = LogFiles(
            self._client,
            direct_get=f"$JS.API.DIRECT.GET.{self._names.stream}",
            subjects=self._names.subjects,
        )
        self._appender = Appender(
            self._client, self._files, self._heads, subjects=self._names.subjects, now=_now
        )

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The recorder of single aggregates' events, or of their snapshots."""
        if purpose != "snapshots":
            return JetStreamAggregateRecorder(self._appender, self._files, self._heads)
        return JetStreamSnapshotRecorder(
            self._client,
            self._heads,
            stream=self._names.snapshot_stream,
            subjects=self._names.snapshot_subjects,
            now=_now,
        )

    def application_recorder(self) -> ApplicationRecorder:
        """The recorder of all aggregates' events in one order."""
        return JetStreamApplicationRecorder(
            self._appender,
            self._files,
            self._heads,
            client=self._client,
            stream=self._names.stream,
            live=f"{self._names.live}.>",
        )

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        """Positions live in the database of the read model, in its transaction."""
        raise NotImplementedError("the event log tracks no positions")

    def process_recorder(self) -> ProcessRecorder:
        """Process managers keep their position behind a lease, not in the log."""
        raise NotImplementedError("the event log tracks no positions")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def environment_of(address: Address) -> dict[str, str]:
    """What the library's application needs to be told of a log there."""
    return {
        "PERSISTENCE_MODULE": "ops.eventstore.jetstream",
        "MAPPER_TOPIC": "ops.eventstore.mapper:ImeweMapper",
        "NATS_HOST": address.host,
        "NATS_PORT": str(address.port),
        "NATS_USER": address.user,
        "NATS_PASSWORD": address.password,
    }


def _now() -> datetime:
    return datetime.now(UTC)


def _address(env: Environment) -> Address:
    return Address(
        host=env.get("NATS_HOST", "127.0.0.1"),
        port=int(env.get("NATS_PORT", "4222")),
        user=env.get("NATS_USER", ""),
        password=env.get("NATS_PASSWORD", ""),
    )


def _names(env: Environment) -> LogNames:
    shop = LogNames()
    given: dict[str, Any] = {
        "stream": env.get("NATS_STREAM", shop.stream),
        "subjects": env.get("NATS_SUBJECTS", shop.subjects),
        "live": env.get("NATS_LIVE", shop.live),
        "snapshot_stream": env.get("NATS_SNAPSHOT_STREAM", shop.snapshot_stream),
        "snapshot_subjects": env.get("NATS_SNAPSHOT_SUBJECTS", shop.snapshot_subjects),
    }
    return LogNames(**given)

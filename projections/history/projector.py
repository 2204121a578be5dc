"""Keeps every event as a row; personal fields stay sealed."""

from domain.account.aggregate import Account
from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.organisation.aggregate import Organisation
from domain.part.aggregate import Part
from domain.period.aggregate import Period
from domain.shared.recorded import RecordedEvent
from projections.history.rows import EventRow
from projections.projection import Projection, topics_of
from projections.rows import Rows
from projections.table import Past, Table

EVENTS = Table(
    EventRow,
    "events",
    ("position",),
    indexes=(
        "aggregate_id, position",
        "organisation_id, position",
        "event_id",
        "correlation_id, position",
        "causation_id, position",
        "topic, position",
        "stored_at, position",
    ),
    past=Past.GROWS,
)


class History(Projection):
    """Announces ids of aggregates."""

    name = "history"
    version = 2
    topics = topics_of(Account, Build, Dispatch, Inventory, Job, Node, Organisation, Part, Period)
    tables = (EVENTS,)

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """One row an event."""
        envelope = recorded.envelope
        rows.append(
            EVENTS,
            EventRow(
                position=recorded.position,
                event_id=recorded.event_id,
                topic=recorded.topic,
                kind=recorded.kind,
                aggregate_id=str(recorded.aggregate_id),
                version=recorded.version,
                organisation_id=envelope.organisation_id,
                site_id=envelope.site_id,
                actor_kind=envelope.actor.kind,
                actor_id=envelope.actor.id,
                command_id=envelope.command_id,
                causation_id=envelope.causation_id,
                correlation_id=envelope.correlation_id,
                occurred_at=envelope.occurred_at,
                recorded_at=recorded.recorded_at,
                stored_at=recorded.stored_at,
                schema_version=recorded.schema_version,
                previous_hash=recorded.previous_hash,
                hash=recorded.hash,
                body=recorded.body,
            ),
        )
        rows.touch(str(recorded.aggregate_id))

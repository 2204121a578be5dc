"""Events again from the rows of the history, by the one mapper that there is."""

import orjson
from eventsourcing.persistence import MapperDeserialisationError

from domain.aggregates import AGGREGATES
from domain.shared.aggregate import Fact
from ops.eventstore.envelope import Record, time_text
from ops.eventstore.mapper import event_of
from projections.history.rows import EventRow
from projections.history.states import UnreadableEventError

READABLE = AGGREGATES
"""Their import makes the topics of every event known, whatever else a program imports."""


def event_of_row(row: EventRow) -> Fact:
    """The event that a row tells; ``Decode`` of the gateway. Raises ``UnreadableEventError``."""
    record = Record(
        sequence=row.position,
        subject=f"imewe.events.{row.kind}.{row.aggregate_id}",
        headers={
            "Imewe-Version": str(row.version),
            "Imewe-Topic": row.topic,
            "Imewe-Command": row.command_id,
            "Imewe-Occurred": time_text(row.occurred_at),
            "Imewe-Schema": str(row.schema_version),
        },
        body=row.body if isinstance(row.body, bytes) else orjson.dumps(row.body),
    )
    try:
        event: Fact = event_of(record)
    except MapperDeserialisationError as error:
        raise UnreadableEventError(
            f"the event at position {row.position} cannot be read: {error.__cause__ or error}",
            remedy="a newer version of Imewe may have written it: imewe schema check",
        ) from error
    return event

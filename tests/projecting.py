"""What the tests of the read side share: a migrated database and a runner over a list."""

from collections.abc import Iterable

import psycopg

from domain.shared.recorded import RecordedEvent
from ops.database.migrations import migrate
from ops.projecting.applying import Batch, apply, parked_keys
from ops.projecting.comparing import canonical
from ops.projecting.places import Connection, settle
from projections.catalogue import CATALOGUE
from projections.projection import Projection


def migrated(database_url: str) -> Connection:
    connection = psycopg.connect(database_url, autocommit=True)
    migrate(connection)
    return connection


def project(
    connection: Connection,
    events: list[RecordedEvent],
    *,
    projections: Iterable[Projection] = CATALOGUE,
    size: int = 1000,
) -> None:
    """Fold all events that a projection has not seen, in batches of ``size``."""
    for projection in projections:
        place = settle(connection, projection)
        parked = parked_keys(connection, place.schema)
        position = place.position
        while position < len(events):
            batch = events[position : position + size]
            apply(
                connection,
                projection,
                place.schema,
                Batch(batch, batch[-1].position),
                after=position,
                parked=parked,
            )
            position = batch[-1].position


def dumped(connection: Connection, projections: Iterable[Projection] = CATALOGUE) -> list[bytes]:
    """Everything the projections hold, in canonical form."""
    return [b"".join(canonical(connection, each)) for each in projections]

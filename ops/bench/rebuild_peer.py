"""The library's side of the rebuild bench: its runner, its tracking, one event a transaction.

The view is the jobs projection itself: the same fold and the same statements, for one event.
"""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from commands.application import Imewe
from domain.shared.recorded import RecordedEvent
from projections.jobs.projector import Jobs
from projections.postgres import definition, prefetch, write
from projections.rows import Rows

PEER = "peer_jobs"


class PeerJobs(PostgresTrackingRecorder):
    """The tables of the jobs in a schema of their own; with ``past`` their histories too."""

    past: ClassVar[bool] = True
    recorded: ClassVar[Callable[[Any, int], RecordedEvent]]
    """Adds to an event what the library drops in reading: the envelope."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        tables = "".join(definition(table, past=self.past) for table in Jobs.tables)
        path = SQL("SET LOCAL search_path TO {}").format(Identifier(PEER))
        self.sql_create_statements += [
            SQL("CREATE SCHEMA {}").format(Identifier(PEER)),
            path,
            *(SQL(cast("Any", each)).format() for each in tables.split(";") if each),
            SQL("SET LOCAL search_path TO {}").format(Identifier(datastore.schema)),
        ]
        self._path = path

    def put(self, event: Any, tracking: Tracking) -> None:
        """Fold one event and write what it did."""
        recorded = type(self).recorded(event, tracking.notification_id)
        with self.datastore.transaction(commit=True) as tracked:
            with tracked.connection.cursor(row_factory=tuple_row) as cursor:
                cursor.execute(self._path)
                rows = Rows()
                prefetch(cursor, JOBS.needs(recorded), rows)
                JOBS.fold(rows, recorded)
                rows.keep(recorded.position)
                write(cursor, rows, past=self.past)
            self._insert_tracking(tracked, tracking)


class PeerLive(PeerJobs):
    """Without the histories."""

    past = False


JOBS = Jobs()


class PeerProjection(Projection[PeerJobs]):
    """One event, one transaction."""

    name = "peerjobs"
    topics: ClassVar[tuple[str, ...]] = tuple(sorted(Jobs.topics))  # type: ignore[misc]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold one event."""
        self.view.put(domain_event, tracking)


def runner(environment: dict[str, str], *, past: bool) -> ProjectionRunner[Imewe, PeerJobs]:
    """The library's runner over our log."""
    return ProjectionRunner(
        application_class=Imewe,
        projection_class=cast("Any", PeerProjection),
        view_class=PeerJobs if past else PeerLive,
        env=environment,
    )

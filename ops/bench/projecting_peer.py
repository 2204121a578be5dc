"""The library's side of the projecting bench, written as its documentation shows."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from commands.application import Imewe
from domain.build.aggregate import Build
from domain.build.states import BuildStatus
from projections.projection import topics_of

_STATUS: Mapping[type[Any], BuildStatus] = {
    Build.Planned: BuildStatus.PLANNED,
    Build.Reserved: BuildStatus.RESERVED,
    Build.Sent: BuildStatus.SENT,
    Build.Accepted: BuildStatus.ACCEPTED,
    Build.Started: BuildStatus.RUNNING,
    Build.Finished: BuildStatus.FINISHED,
    Build.Inspected: BuildStatus.INSPECTED,
}


def status_after(event: Any, before: str) -> str:
    """The state to which an event leads."""
    status = _STATUS.get(type(event))
    return status.value if status else before


class PeerView(PostgresTrackingRecorder):
    """A materialised view: one statement for the row and one for the tracking, one commit."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        table = Identifier(datastore.schema, "peer_view")
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, status text NOT NULL,"
                " percent bigint NOT NULL, version bigint NOT NULL)"
            ).format(table)
        )
        self._put = SQL(
            "INSERT INTO {0} AS v (id, status, percent, version)"
            " VALUES (%(id)s, coalesce(%(status)s, ''), coalesce(%(percent)s, 0), %(version)s)"
            " ON CONFLICT (id) DO UPDATE SET status = coalesce(%(status)s, v.status),"
            " percent = coalesce(%(percent)s, v.percent), version = EXCLUDED.version"
        ).format(table)

    def put(self, values: dict[str, Any], tracking: Tracking) -> None:
        """Store what one event says."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._put, values, prepare=True)
            self._insert_tracking(cursor, tracking)


class PeerProjection(Projection[PeerView]):
    """One event, one transaction."""

    name = "peerprojection"
    topics: ClassVar[tuple[str, ...]] = tuple(sorted(topics_of(Build)))  # type: ignore[misc]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Store what one event says."""
        status = status_after(domain_event, "")
        percent = domain_event.percent if isinstance(domain_event, Build.Progressed) else None
        self.view.put(
            {
                "id": str(domain_event.originator_id),
                "status": status or None,
                "percent": percent,
                "version": domain_event.originator_version,
            },
            tracking,
        )

    @classmethod
    def runner(cls, environment: dict[str, str]) -> ProjectionRunner[Imewe, PeerView]:
        """The library's runner over our log."""
        return ProjectionRunner(
            application_class=Imewe,
            projection_class=cast("Any", cls),
            view_class=PeerView,
            env=environment,
        )

"""Read models as an admin sees them: schemas, what is done to them, what would change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import strawberry
from strawberry.scalars import JSON

from gateways.graphql.fields import described
from gateways.graphql.scalars import Instant, Int53, Position


@strawberry.type(description="One schema that holds, or will hold, a read model's rows.")
class ProjectionBuild:
    schema: str = described("Its name in the database.")
    version: int = described("The version of the projection that fills it.")
    state: str = described("BUILDING, BUILT (a candidate), LIVE, PREVIOUS or FAILED.")
    position: Position = described("How far in the log it is.")
    unattended: bool = described("The service builds it by itself: a new version in a release.")
    started_by: str = described("Who had it built: kind/id.")
    started_at: Instant = described("When that began.")
    changed_at: Instant = described("When it came into this state.")
    events: Int53 = described("Events that were folded to build it.")
    seconds: float = described("How long that took.")
    error: str = described("Why it failed, or empty.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return cls(
            **{
                **told,
                "position": Position(told["position"]),
                "started_at": instant(told["started_at"]),
                "changed_at": instant(told["changed_at"]),
                "events": Int53(told["events"]),
            }
        )


@strawberry.type(description="What is being done to a read model, or was done last.")
class ProjectionOperation:
    name: str = described("The projection.")
    verb: str = described("build, diff, switch, rollback, drop, retry or rebuild.")
    started_by: str = described("Who asked for it: kind/id.")
    state: str = described("RUNNING, DONE or FAILED.")
    phase: str = described("What it is at, in words; empty when it has ended.")
    done: Int53 = described("How much of the phase is done: events, or tables.")
    goal: Int53 = described("How much there is; 0 where nobody can say.")
    began_at: Instant = described("When it began.")
    changed_at: Instant = described("When this was so.")
    result: JSON | None = described("What it did, once it is done.")
    error: JSON | None = described("Why it failed: code, message, field, remedy.")

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Self | None:
        """From the service's answer."""
        if told is None:
            return None
        return cls(
            **{
                **told,
                "done": Int53(told["done"]),
                "goal": Int53(told["goal"]),
                "began_at": instant(told["began_at"]),
                "changed_at": instant(told["changed_at"]),
            }
        )


@strawberry.type(description="A read model.")
class Projection:
    name: str = described("Its name.")
    release_version: int = described("The version that the running release builds.")
    tables: list[str] = described("Its tables.")
    version: int = described("The version that readers see.")
    schema: str = described("The schema that readers see; empty before the first run.")
    position: Position = described("How far that schema is in the log.")
    parked: int = described("Objects whose events could not be folded.")
    stale_since: Position | None = described("The first event that could not; null: none.")
    builds: list[ProjectionBuild] = described("All its schemas, the one readers see first.")
    operation: ProjectionOperation | None = described("What is done to it, or was done last.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        since = told["stale_since"]
        return cls(
            **{
                **told,
                "position": Position(told["position"]),
                "stale_since": None if since is None else Position(since),
                "builds": [ProjectionBuild.of(each) for each in told["builds"]],
                "operation": ProjectionOperation.of(told["operation"]),
            }
        )


@strawberry.type(description="Where the log ends, and how far the read models are.")
class ProjectionOverview:
    log_position: Position = described("The position of the newest event.")
    automatic: bool = described("New versions take over by themselves when they are complete.")
    projections: list[Projection] = described("All of them.")


@strawberry.type(description="What a build would do.")
class ProjectionPlan:
    name: str = described("The projection.")
    live: str = described("The schema readers see; empty: none.")
    live_version: int = described("Its version.")
    release_version: int = described("The version that would be built.")
    live_position: Position = described("How far the schema in use is.")
    events: Int53 = described("Events to fold.")
    events_per_s: float = described("Measured speed.")
    measured_by: str = described("The last build, or a trial just now that left nothing behind.")
    seconds: float = described("Estimated duration.")
    live_bytes: Int53 = described("Disk space of the schema in use.")
    disk_bytes: Int53 = described("Estimated disk space of the new one, beside it.")
    free_bytes: Int53 | None = described("Free on the database's disk; null where unknown.")
    candidate: str = described("The candidate that is there already, or empty.")
    previous: list[str] = described("Schemas kept for a rollback.")
    leftovers: list[str] = described("Schemas that nobody keeps and drop would remove.")
    steps: list[str] = described("What comes next, as commands.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        free = told["free_bytes"]
        return cls(
            **{
                **told,
                "live_position": Position(told["live_position"]),
                "events": Int53(told["events"]),
                "live_bytes": Int53(told["live_bytes"]),
                "disk_bytes": Int53(told["disk_bytes"]),
                "free_bytes": None if free is None else Int53(free),
            }
        )


@strawberry.type(description="An object whose events are not folded until it is retried.")
class ParkedKey:
    projection: str = described("The projection.")
    key: strawberry.ID = described("The object.")
    position: Position = described("The first event that could not be folded.")
    reason: str = described("Why.")
    skipped: Int53 = described("Later events of it that wait.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return cls(
            projection=told["projection"],
            key=strawberry.ID(told["key"]),
            position=Position(told["position"]),
            reason=told["reason"],
            skipped=Int53(told["skipped"]),
        )


@strawberry.type(description="How many rows of a table a switch would change.")
class TableDiff:
    of: str = described("The table.")
    added: Int53 = described("Rows that only the candidate has.")
    removed: Int53 = described("Rows that only the schema in use has.")
    changed: Int53 = described("Rows that both have with other values.")
    columns_added: list[str] = described("Columns that only the candidate has; not compared.")
    columns_removed: list[str] = described("Columns that only the schema in use has.")


@strawberry.type(description="One value that a switch would change.")
class CellDiff:
    column: str = described("The column.")
    before: JSON | None = described("In the schema in use; null where the row is not there.")
    after: JSON | None = described("In the candidate; null where the row is not there.")


@strawberry.type(description="The event that explains a difference.")
class ExplainingEvent:
    position: Position = described("Its place in the log.")
    event_id: strawberry.ID = described("Its id; empty where it cannot be read.")
    topic: str = described("What happened.")
    aggregate_id: strawberry.ID = described("The object it is about.")
    actor: str = described("Who: kind/id.")
    at: Instant | None = described("When it happened.")

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Self | None:
        """From the service's answer."""
        if told is None:
            return None
        return cls(
            position=Position(told["position"]),
            event_id=strawberry.ID(told["event_id"]),
            topic=told["topic"],
            aggregate_id=strawberry.ID(told["aggregate_id"]),
            actor=told["actor"],
            at=instant(told["at"]) if told["at"] else None,
        )


@strawberry.type(description="One row that a switch would add, remove or change.")
class RowDiff:
    number: Int53 = described("Its number in the table's differences; send it as after to go on.")
    of: str = described("The table.")
    kind: str = described("ADDED, REMOVED or CHANGED.")
    key: JSON = described("The row's key.")
    changes: list[CellDiff] = described("What differs.")
    withheld: bool = described("The row is of an organisation that you do not administrate.")
    event: ExplainingEvent | None = described("What explains it; null where nothing can.")

    @classmethod
    def of_told(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return cls(
            number=Int53(told["number"]),
            of=told["of"],
            kind=told["kind"],
            key=JSON(told["key"]),
            changes=[CellDiff(**each) for each in told["changes"]],
            withheld=told["withheld"],
            event=ExplainingEvent.of(told["event"]),
        )


@strawberry.type(description="What a switch would change, both schemas at one position.")
class ProjectionDiff:
    name: str = described("The projection.")
    live: str = described("The schema in use.")
    candidate: str = described("The candidate.")
    position: Position = described("The position at which they were compared.")
    tables: list[TableDiff] = described("Counts by table.")
    rows: list[RowDiff] = described("Rows that differ, in the order of their keys.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return cls(
            name=told["name"],
            live=told["live"],
            candidate=told["candidate"],
            position=Position(told["position"]),
            tables=[TableDiff(**each) for each in told["tables"]],
            rows=[RowDiff.of_told(each) for each in told["rows"]],
        )


def instant(text: str) -> Instant:
    """From ISO 8601."""
    return Instant(datetime.fromisoformat(text))

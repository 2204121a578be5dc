"""Events as they were recorded, figures, people and telemetry."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.past import MomentShown
from gateways.graphql.scalars import Instant, Int53, Position
from projections.history.rows import EventRow
from projections.kpis.rows import KpiRow


@strawberry.type(description="One event of the log with its envelope.")
class Event:
    position: Position = described("Its place in the log.")
    event_id: strawberry.ID = described("Its id.")
    topic: str = described("Its stable name, for example imewe.job:Submitted.")
    kind: str = described("The kind of its aggregate, for example job.")
    aggregate_id: strawberry.ID = described("What it is about.")
    version: int = described("Its number inside the aggregate, from 1.")
    organisation_id: strawberry.ID = described("The tenant.")
    site_id: strawberry.ID = described("The site, or empty.")
    actor: str = described("Who caused it: kind/id.")
    command_id: str = described("The command that led to it.")
    causation_id: str = described("The event or command that led to it.")
    correlation_id: str = described("The one that began the story.")
    occurred_at: Instant = described("When it happened in the shop.")
    recorded_at: Instant = described("When the commands service wrote it.")
    stored_at: Instant = described("When the log took it, by its own clock: what asOf goes by.")
    schema_version: int = described("Which schema/events file describes its body.")
    previous_hash: str = described("The hash of the aggregate's event before.")
    hash: str = described("sha256 over subject, version, envelope and body.")
    body: JSON = described("Its fields. Personal ones are sealed.")

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """From a committed row."""
        return cls(
            position=Position(row.position),
            event_id=strawberry.ID(row.event_id),
            topic=row.topic,
            kind=row.kind,
            aggregate_id=strawberry.ID(row.aggregate_id),
            version=row.version,
            organisation_id=strawberry.ID(row.organisation_id),
            site_id=strawberry.ID(row.site_id),
            actor=f"{row.actor_kind}/{row.actor_id}",
            command_id=row.command_id,
            causation_id=row.causation_id,
            correlation_id=row.correlation_id,
            occurred_at=Instant(row.occurred_at),
            recorded_at=Instant(row.recorded_at),
            stored_at=Instant(row.stored_at),
            schema_version=row.schema_version,
            previous_hash=row.previous_hash,
            hash=row.hash,
            body=JSON(row.body),
        )


@strawberry.type(
    description="The figures of one organisation in one period (UTC; weeks begin on Monday)."
    " A rate is null where there is nothing to divide by."
)
class Kpi:
    since: Instant = described("The period's begin.")
    until: Instant = described("Its end, the present, or the moment shown.")
    jobs_submitted: int = described("Orders that came in.")
    jobs_completed: int = described("Orders whose pieces have all passed.")
    mean_completion_ms: float | None = described("Submission to completion, ms.")
    first_time_success: float | None = described("Ordered pieces that passed at once, 0 to 1.")
    pieces_passed: int = described("Pieces as ordered.")
    pieces_scrapped: int = described("Pieces lost.")
    utilisation: float | None = described("Of the time machines were reachable, they worked: 0-1.")
    uptime: float | None = described("Of the time machines were known, they were reachable: 0-1.")
    material_mg: Int53 = described("Used by builds that ended, scrap included, mg.")
    energy_j: Int53 = described("Used by builds that ended, J; virtual meters included.")
    material_mg_per_part: float | None = described("mg per passed piece, scrap included.")
    energy_j_per_part: float | None = described("J per passed piece, scrap included.")

    @resolved("The moment of the past that this shows; null is the present.")
    def as_of(self, info: Info) -> MomentShown | None:
        return MomentShown.of(info.context.moment_of(info))

    @classmethod
    def of(cls, row: KpiRow) -> Self:
        """From a row of figures; the formulas stand there."""
        return cls(
            since=Instant(row.since),
            until=Instant(row.until),
            jobs_submitted=row.jobs_submitted,
            jobs_completed=row.jobs_completed,
            mean_completion_ms=row.mean_completion_ms,
            first_time_success=row.first_time_success,
            pieces_passed=row.pieces_passed,
            pieces_scrapped=row.pieces_scrapped,
            utilisation=row.utilisation,
            uptime=row.uptime,
            material_mg=Int53(row.material_mg),
            energy_j=Int53(row.energy_j),
            material_mg_per_part=row.material_mg_per_part,
            energy_j_per_part=row.energy_j_per_part,
        )

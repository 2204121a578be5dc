"""Parts, pieces, the runs of machines that make them, and the story of an order."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from domain.build.states import BuildStatus
from domain.dispatch.aggregate import DispatchStatus
from domain.part.states import PieceStatus
from gateways.graphql.fields import described
from gateways.graphql.notes import noted
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.shared import Artifact, optional_id
from projections.jobs.rows import BuildRow, DecisionRow, DispatchRow, PieceRow, TimelineRow

strawberry.enum(PieceStatus, description="Where one physical piece stands.")
strawberry.enum(BuildStatus, description="Where one run of one machine stands.")
strawberry.enum(DispatchStatus, description="How far a piece is on its way to a machine.")


@strawberry.type(description="One physical try; a scrapped one is replaced by a new number.")
class Piece:
    part_id: strawberry.ID = described("Its part.")
    piece: int = described("Its number inside the part, from 0.")
    status: PieceStatus = described("Where it stands.")
    build_id: strawberry.ID | None = described("The last build that held it.")
    node_id: strawberry.ID | None = described("The machine of that build.")
    reason: str = noted("Why it was scrapped, or empty.")
    judged_by: str = described("Who passed or scrapped it, or empty.")
    replacement: int | None = described("The piece made instead of it.")

    @classmethod
    def of(cls, row: PieceRow) -> Self:
        """From a committed row."""
        return cls(
            part_id=strawberry.ID(row.part_id),
            piece=row.piece,
            status=PieceStatus(row.status),
            build_id=optional_id(row.build_id),
            node_id=optional_id(row.node_id),
            reason=row.reason,
            judged_by=row.judged_by,
            replacement=row.replacement if row.replacement >= 0 else None,
        )


@strawberry.type(description="One run of one machine. A retry is a new build.")
class Build:
    id: strawberry.ID = described("Its id.")
    job_id: strawberry.ID = described("The order it is for.")
    part_id: strawberry.ID = described("The part it makes.")
    piece: int = described("The number of the piece it makes.")
    node_id: strawberry.ID = described("Its machine.")
    attempt: int = described("Which try of this piece it is, from 1.")
    status: BuildStatus = described("Where it stands.")
    percent: int = described("Acknowledged progress, %.")
    program: Artifact | None = described("The G-code that runs.")
    material_type: str = described("Upper case, for example PLA.")
    epoch: int = described("The fencing epoch it runs under.")
    planned_duration_ms: Int53 = described("Estimate, ms.")
    planned_material_mg: Int53 = described("Estimate, mg.")
    duration_ms: Int53 = described("As reported, ms; 0 before the end.")
    material_mg: Int53 = described("As reported, mg.")
    material_mm3: Int53 = described("As reported, mm³.")
    energy_j: Int53 = described("As measured, J.")
    energy_source: str = described("Who measured: meter, virtual meter or none.")
    reason: str = described("Why it failed, or empty.")
    native_text: str = described("The machine's own words about a fault.")
    facts: JSON = described("What was known when its outcome was lost; else empty.")
    passed: bool | None = described("The verdict on what came out; null before.")
    inspected_by: str = described("Who judged, or empty.")
    planned_at: Instant = described("When it was planned.")
    started_at: Instant | None = described("When the machine began.")
    ended_at: Instant | None = described("When it ended.")
    position: Position = described("The last event that changed it.")

    @classmethod
    def of(cls, row: BuildRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            job_id=strawberry.ID(row.job_id),
            part_id=strawberry.ID(row.part_id),
            piece=row.piece,
            node_id=strawberry.ID(row.node_id),
            attempt=row.attempt,
            status=BuildStatus(row.status),
            percent=row.percent,
            program=Artifact.of(row.program),
            material_type=row.material,
            epoch=row.epoch,
            planned_duration_ms=Int53(row.planned_duration_ms),
            planned_material_mg=Int53(row.planned_material_mg),
            duration_ms=Int53(row.duration_ms),
            material_mg=Int53(row.material_mg),
            material_mm3=Int53(row.material_mm3),
            energy_j=Int53(row.energy_j),
            energy_source=row.energy_source,
            reason=row.reason,
            native_text=row.native_text,
            facts=JSON(row.facts),
            passed=row.passed,
            inspected_by=row.inspected_by,
            planned_at=Instant(row.planned_at),
            started_at=Instant(row.started_at) if row.started_at else None,
            ended_at=Instant(row.ended_at) if row.ended_at else None,
            position=Position(row.position),
        )


@strawberry.type(description="Why a machine was chosen for one attempt.")
class Decision:
    position: Position = described("Its event.")
    event_id: strawberry.ID = described("Its event.")
    at: Instant = described("When it was made.")
    part_id: strawberry.ID = described("For which part.")
    piece: int = described("For which piece.")
    attempt: int = described("Which try, from 1.")
    build_id: strawberry.ID = described("The build it planned.")
    node_id: strawberry.ID = described("The machine chosen.")
    decision: JSON = described("Rejected nodes with reasons, score terms, runner-up, policy.")

    @classmethod
    def of(cls, row: DecisionRow) -> Self:
        """From a committed row."""
        return cls(
            position=Position(row.position),
            event_id=strawberry.ID(row.event_id),
            at=Instant(row.at),
            part_id=strawberry.ID(row.part_id),
            piece=row.piece,
            attempt=row.attempt,
            build_id=strawberry.ID(row.build_id),
            node_id=strawberry.ID(row.node_id),
            decision=JSON(row.decision),
        )


@strawberry.type(description="How one piece comes to a machine, over all its attempts.")
class Dispatch:
    id: strawberry.ID = described("Its id.")
    part_id: strawberry.ID = described("The part.")
    piece: int = described("The number of the piece.")
    status: DispatchStatus = described("How far the last attempt has come.")
    attempt: int = described("The last attempt, from 1; 0 before a machine was chosen.")
    build_id: strawberry.ID | None = described("The build of that attempt.")
    node_id: strawberry.ID | None = described("Its machine.")
    inventory_id: strawberry.ID | None = described("The lot that its material comes from.")
    reason: str = noted("Why an attempt was given up, or empty.")
    outcome: str = described("How it ended, or empty.")
    position: Position = described("The last event that changed it.")

    @classmethod
    def of(cls, row: DispatchRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            part_id=strawberry.ID(row.part_id),
            piece=row.piece,
            status=DispatchStatus(row.status),
            attempt=row.attempt,
            build_id=optional_id(row.build_id),
            node_id=optional_id(row.node_id),
            inventory_id=optional_id(row.inventory_id),
            reason=row.reason,
            outcome=row.outcome,
            position=Position(row.position),
        )


@strawberry.type(description="One event of an order's story.")
class TimelineEntry:
    position: Position = described("Its place in the log.")
    at: Instant = described("When it happened.")
    what: str = described("Aggregate.Event, for example Build.Started.")
    words: str = noted("The same as a sentence.")
    part_id: strawberry.ID | None = described("The part it is about.")
    piece: int | None = described("The piece it is about.")
    build_id: strawberry.ID | None = described("The build it is about.")
    node_id: strawberry.ID | None = described("The machine it is about.")
    event_id: strawberry.ID = described("The event itself.")
    actor: str = described("Who caused it: kind/id.")

    @classmethod
    def of(cls, row: TimelineRow) -> Self:
        """From a committed row."""
        return cls(
            position=Position(row.position),
            at=Instant(row.at),
            what=row.what,
            words=row.words,
            part_id=optional_id(row.part_id),
            piece=row.piece if row.piece >= 0 else None,
            build_id=optional_id(row.build_id),
            node_id=optional_id(row.node_id),
            event_id=strawberry.ID(row.event_id),
            actor=row.actor,
        )

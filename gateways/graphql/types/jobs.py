"""Orders and their parts."""

from typing import Self

import strawberry

from domain.build.states import ON_THE_MACHINE
from domain.job.states import JobStatus
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.notes import noted
from gateways.graphql.past import MomentShown
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.builds import Build, Decision, Dispatch, Piece, TimelineEntry
from gateways.graphql.types.shared import Artifact, Reason, Size
from projections.jobs.rows import BuildRow, JobRow, PartRow

strawberry.enum(JobStatus, description="Where an order or one of its parts stands.")


@strawberry.type(description="One line of an order: pieces that are alike.")
class Part:
    id: strawberry.ID = described("Its id.")
    part_id: strawberry.ID = described("The same id, under the specification's name.")
    job_id: strawberry.ID = described("Its order.")
    line: int = described("Its place in the order, from 0.")
    name: str = described("As the designer named it.")
    material_type: str = described("Upper case, for example PLA.")
    quantity: int = described("Pieces ordered.")
    passed: int = described("Pieces that are as ordered.")
    production_status: JobStatus = described("Where it stands.")
    process: str = described("fdm, mill or laser; empty before validation.")
    artifact: Artifact | None = described("The file that was ordered.")
    program: Artifact | None = described("The G-code that makes it; null before validation.")
    size: Size | None = described("Of one piece; null before validation.")
    duration_ms: Int53 = described("Estimate for one piece, ms.")
    material_mm3: Int53 = described("Estimate for one piece, mm³.")
    material_mg: Int53 = described("Estimate for one piece, mg.")
    estimated_by: str = described("Who estimated, for example the slicer and its version.")
    reasons: list[Reason] = described("Why it was rejected.")
    failure: str = described("Why it was given up, or empty.")
    waiting_for: list[Reason] = described("Why no machine could take a piece that waits.")
    position: Position = described("The last event that changed it.")

    @classmethod
    def of(cls, row: PartRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            part_id=strawberry.ID(row.id),
            job_id=strawberry.ID(row.job_id),
            line=row.line,
            name=row.name,
            material_type=row.material,
            quantity=row.quantity,
            passed=row.passed,
            production_status=JobStatus(row.status),
            process=row.process,
            artifact=Artifact.of(row.artifact),
            program=Artifact.of(row.program),
            size=Size(x=row.size_mm[0], y=row.size_mm[1], z=row.size_mm[2])
            if row.size_mm
            else None,
            duration_ms=Int53(row.duration_ms),
            material_mm3=Int53(row.material_mm3),
            material_mg=Int53(row.material_mg),
            estimated_by=row.estimated_by,
            reasons=[Reason(**reason) for reason in row.reasons],
            failure=row.failure,
            waiting_for=[Reason(**reason) for reason in row.waiting_for],
            position=Position(row.position),
        )

    @resolved("Its pieces by number, scrapped ones included.")
    async def pieces(self, info: Info) -> list[Piece]:
        rows = await info.context.loaders_of(info).pieces_of_part.load(str(self.id))
        return [Piece.of(row) for row in rows]

    @resolved("The runs for it, the oldest first.")
    async def builds(self, info: Info) -> list[Build]:
        rows = await info.context.loaders_of(info).builds_of_job.load(str(self.job_id))
        return [Build.of(row) for row in rows if row.part_id == self.id]

    @resolved("Machines that have or had a piece of it, each once.")
    async def assigned_nodes(self, info: Info) -> list[strawberry.ID]:
        rows = await info.context.loaders_of(info).builds_of_job.load(str(self.job_id))
        return _nodes([row for row in rows if row.part_id == self.id])


@strawberry.type(description="An order for parts, from submission to completion.")
class Job:
    id: strawberry.ID = described("Its id.")
    job_id: strawberry.ID = described("The same id, under the specification's name.")
    organisation_id: strawberry.ID = described("The tenant it belongs to.")
    user_id: strawberry.ID = described("The account that submitted it.")
    name: str = described("As the designer named it.")
    priority: int = described("1 (last) to 10 (first).")
    status: JobStatus = described("Where it stands; follows from its parts.")
    deadline: Instant | None = described("Wanted by.")
    submission_timestamp: Instant = described("When it was submitted.")
    start_timestamp: Instant | None = described("When the first machine began.")
    completion_timestamp: Instant | None = described("When it ended, however it did.")
    cancel_requested: bool = described("Somebody wants it stopped.")
    cancel_reason: str = noted("Why, or empty.")
    line_count: int = described("Its order lines.")
    piece_count: int = described("Pieces ordered, over all lines.")
    position: Position = described("The last event that changed it.")

    @classmethod
    def of(cls, row: JobRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            job_id=strawberry.ID(row.id),
            organisation_id=strawberry.ID(row.organisation_id),
            user_id=strawberry.ID(row.owner_id),
            name=row.name,
            priority=row.priority,
            status=JobStatus(row.status),
            deadline=Instant(row.deadline) if row.deadline else None,
            submission_timestamp=Instant(row.submitted_at),
            start_timestamp=Instant(row.started_at) if row.started_at else None,
            completion_timestamp=Instant(row.ended_at) if row.ended_at else None,
            cancel_requested=row.cancel_requested,
            cancel_reason=row.cancel_reason,
            line_count=row.lines,
            piece_count=row.pieces,
            position=Position(row.position),
        )

    @resolved("The moment of the past that this shows; null is the present.")
    def as_of(self, info: Info) -> MomentShown | None:
        return MomentShown.of(info.context.moment_of(info))

    @resolved("Its order lines.")
    async def parts(self, info: Info) -> list[Part]:
        rows = await info.context.loaders_of(info).parts_of_job.load(str(self.id))
        return [Part.of(row) for row in rows]

    @resolved("The runs of machines for it, the oldest first.")
    async def builds(self, info: Info) -> list[Build]:
        rows = await info.context.loaders_of(info).builds_of_job.load(str(self.id))
        return [Build.of(row) for row in rows]

    @resolved("How each piece comes to a machine, the oldest first.")
    async def dispatches(self, info: Info) -> list[Dispatch]:
        rows = await info.context.loaders_of(info).dispatches_of_job.load(str(self.id))
        return [Dispatch.of(row) for row in rows]

    @resolved("Why each machine was chosen, in the order of the choices.")
    async def decisions(self, info: Info) -> list[Decision]:
        rows = await info.context.loaders_of(info).decisions_of_job.load(str(self.id))
        return [Decision.of(row) for row in rows]

    @resolved("Its story from the beginning; at most 5000 entries.")
    async def timeline(self, info: Info, first: int = 100) -> list[TimelineEntry]:
        rows = await info.context.loaders_of(info).timeline_of_job.load((str(self.id), first))
        return [TimelineEntry.of(row) for row in rows]

    @resolved("How much of the ordered pieces is made, %.")
    async def progress(self, info: Info) -> float:
        parts = await info.context.loaders_of(info).parts_of_job.load(str(self.id))
        builds = await info.context.loaders_of(info).builds_of_job.load(str(self.id))
        made = sum(row.passed for row in parts) + sum(
            row.percent / 100 for row in builds if row.status in ON_THE_MACHINE
        )
        return round(min(100.0, 100 * made / max(1, self.piece_count)), 1)

    @resolved("Estimate for all pieces on one machine after another, s.")
    async def estimated_duration(self, info: Info) -> float:
        parts = await info.context.loaders_of(info).parts_of_job.load(str(self.id))
        return sum(row.duration_ms * row.quantity for row in parts) / 1000

    @resolved("Machines that have or had a piece of it, each once.")
    async def assigned_nodes(self, info: Info) -> list[strawberry.ID]:
        return _nodes(await info.context.loaders_of(info).builds_of_job.load(str(self.id)))


def _nodes(builds: list[BuildRow]) -> list[strawberry.ID]:
    return [strawberry.ID(node) for node in dict.fromkeys(row.node_id for row in builds)]

"""What can be asked. Every field goes by the caller's scope."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import strawberry

from domain.job.states import JobStatus
from domain.node.states import NodeStatus
from gateways.graphql.attending import AttendingQuery
from gateways.graphql.auditing import trail
from gateways.graphql.context import Info
from gateways.graphql.correcting import CorrectingQuery
from gateways.graphql.erasure import ErasureQuery
from gateways.graphql.explaining import ExplainingQuery
from gateways.graphql.fields import resolved
from gateways.graphql.pages import Connection, page_size, place
from gateways.graphql.past import AsOf
from gateways.graphql.projecting import ProjectionQuery
from gateways.graphql.proof import ProofQuery
from gateways.graphql.replaying import ReplayQuery
from gateways.graphql.scalars import Instant, Position
from gateways.graphql.telemetry import TelemetryQuery
from gateways.graphql.types.audit import AuditEntry
from gateways.graphql.types.history import Event, Kpi
from gateways.graphql.types.inventory import Lot
from gateways.graphql.types.jobs import Job
from gateways.graphql.types.nodes import Node
from gateways.graphql.types.people import Account, Grant, Me
from projections.accounts import queries as people
from projections.history import queries as history
from projections.inventory import queries as inventory
from projections.jobs import queries as jobs
from projections.kpis import queries as figures
from projections.nodes import queries as nodes
from projections.nodes.rows import NodeView
from projections.querying import Cursor

AtLeast = Annotated[
    Position | None,
    strawberry.argument(description="Wait until this position can be seen: read your own write."),
]
First = Annotated[int, strawberry.argument(description="How many, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


Before = Annotated[str | None, strawberry.argument(description="Only what is older than this.")]


@strawberry.enum(description="The length of a period.")
class Period(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@strawberry.type(description="What can be asked.")
class Query(
    AttendingQuery,
    CorrectingQuery,
    ExplainingQuery,
    ErasureQuery,
    ProofQuery,
    ReplayQuery,
    ProjectionQuery,
    TelemetryQuery,
):
    @resolved("Who the token belongs to.")
    def me(self, info: Info) -> Me:
        person = info.context.caller.person()
        return Me(
            account_id=strawberry.ID(person.id),
            name=person.name,
            grants=[Grant.of(grant) for grant in person.grants],
        )

    @resolved("One order, or null when there is none that you may know of.")
    async def job(
        self, info: Info, id: strawberry.ID, at_least: AtLeast = None, as_of: AsOf = None
    ) -> Job | None:
        scope, known, then = info.context.scope, uuid_of(id), info.context.look(info, as_of)
        if known is None:
            return None
        reads = info.context.reads
        async with reads.use(jobs.READS, at_least=at_least, as_of=then) as connection:
            row = await jobs.job(connection, scope, known)
        return Job.of(row) if row else None

    @resolved("Orders, the newest first.")
    async def jobs(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        status: list[JobStatus] | None = None,
        priority: list[int] | None = None,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[Job]:
        scope, size, begin = info.context.scope, page_size(first), place(after)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(jobs.READS, at_least=at_least, as_of=then) as connection:
            page = await jobs.jobs(
                connection,
                scope,
                first=size,
                after=begin,
                statuses=status or (),
                priorities=priority or (),
            )
        found = [(row.created, Job.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved("One machine, or null when there is none that you may know of.")
    async def node(
        self, info: Info, id: strawberry.ID, at_least: AtLeast = None, as_of: AsOf = None
    ) -> Node | None:
        scope, known, then = info.context.scope, uuid_of(id), info.context.look(info, as_of)
        if known is None:
            return None
        reads = info.context.reads
        async with reads.use(nodes.READS, at_least=at_least, as_of=then) as connection:
            view = await nodes.node(connection, scope, known)
        return _shown(info, view) if view else None

    @resolved("Machines, the first registered first.")
    async def nodes(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        status: list[NodeStatus] | None = None,
        bridge: str = "",
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[Node]:
        scope, size, begin = info.context.scope, page_size(first), place(after)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(nodes.READS, at_least=at_least, as_of=then) as connection:
            page = await nodes.nodes(
                connection,
                scope,
                first=size,
                after=begin,
                statuses=status or (),
                bridge=bridge,
            )
        found = [(view.node.created, _shown(info, view)) for view in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved("Lots of material, the first opened first.")
    async def inventory(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        node_id: strawberry.ID | None = None,
        material_type: str = "",
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[Lot]:
        scope, size, begin = info.context.scope, page_size(first), place(after)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(inventory.READS, at_least=at_least, as_of=then) as connection:
            page = await inventory.inventory(
                connection,
                scope,
                first=size,
                after=begin,
                node_id=node_id or "",
                material=material_type,
            )
        found = [(row.created, Lot.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved("Events as they were recorded, in the order of the log.")
    async def event_history(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        after_sequence: Position | None = None,
        aggregate_id: strawberry.ID | None = None,
        kind: str = "",
        topics: list[str] | None = None,
        correlation_id: str = "",
        since: Instant | None = None,
        until: Instant | None = None,
        newest_first: bool = False,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[Event]:
        scope = info.context.scope
        wanted = history.EventFilter(
            aggregate_id=aggregate_id or "",
            kind=kind,
            topics=topics or (),
            correlation_id=correlation_id,
            since=since,
            until=until,
        )
        size = page_size(first)
        begin = place(after) or (Cursor(after_sequence) if after_sequence else None)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(history.READS, at_least=at_least, as_of=then) as connection:
            page = await history.event_history(
                connection,
                scope,
                wanted,
                first=size,
                after=begin,
                newest_first=newest_first,
            )
        found = [(row.position, Event.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=begin is not None)

    @resolved("Figures by period; by default the last seven days, by day.")
    async def kpis(
        self,
        info: Info,
        period: Period = Period.DAY,
        since: Instant | None = None,
        until: Instant | None = None,
        organisation_id: strawberry.ID | None = None,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> list[Kpi]:
        scope = info.context.scope
        then, reads = info.context.look(info, as_of), info.context.reads
        async with reads.use(figures.READS, at_least=at_least, as_of=then) as connection:
            end = _end(info, until)
            rows = await figures.kpis(
                connection,
                scope,
                organisation_id=organisation_id or info.context.caller.person().place(""),
                period=period.value,
                since=since or end - timedelta(days=6),
                until=end,
            )
        return [Kpi.of(row) for row in rows]

    @resolved("People of your organisations, for those who audit them.")
    async def accounts(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[Account]:
        scope, size, begin = info.context.scope, page_size(first), place(after)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(people.READS, at_least=at_least, as_of=then) as connection:
            page = await people.accounts(connection, scope, first=size, after=begin)
        found = [(row.created, Account.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved(
        "Log-ins, and what was refused for want of a right, the newest first: for admins and"
        " auditors. Go on with the end cursor as before."
    )
    async def audit_trail(
        self, info: Info, first: First = 50, before: Before = None
    ) -> Connection[AuditEntry]:
        return await trail(info, first=first, before=before)


def uuid_of(text: str) -> str | None:
    """The canonical form of an id; what is none names nothing."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _end(info: Info, until: datetime | None) -> datetime:
    """Nothing is counted beyond the moment that is shown."""
    if info.context.moment_of(info) is None:
        return until or info.context.present_of(info)
    present = info.context.present_of(info)
    return min(until or present, present)


def _shown(info: Info, view: NodeView) -> Node:
    info.context.gateway.whereabouts.learn(view.node)
    return Node.of(view)

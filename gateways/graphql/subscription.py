"""What can be watched.

State (an order, a machine): the newest committed row now, then whenever it is another one. Log
(events): every event once, in order, from the history, so that a reconnecting client that says
where it stopped misses nothing and sees nothing twice. Telemetry: the newest of each channel.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable

import strawberry

from domain.job.states import ENDED
from domain.shared.errors import NotFoundError
from gateways.graphql.context import Info
from gateways.graphql.fields import watched
from gateways.graphql.live import Watch
from gateways.graphql.projecting import ProjectionSubscription
from gateways.graphql.query import uuid_of
from gateways.graphql.replaying import ReplaySubscription
from gateways.graphql.scalars import Position
from gateways.graphql.types.history import Event
from gateways.graphql.types.jobs import Job
from gateways.graphql.types.nodes import Node
from gateways.graphql.types.telemetry import Telemetry
from projections.history import queries as history
from projections.history.rows import EventRow
from projections.jobs import queries as jobs
from projections.jobs.rows import JobRow
from projections.nodes import queries as nodes
from projections.nodes.rows import NodeView
from projections.querying import Cursor, Page

TAIL_BATCH = 100
GRACE_S = 1.0


@strawberry.type(description="What can be watched.")
class Subscription(ReplaySubscription, ProjectionSubscription):
    @watched("An order now, and whenever anything of it is different, until it has ended.")
    async def job_updated(self, info: Info, job_id: strawberry.ID) -> AsyncGenerator[Job, None]:
        wanted = _known(job_id, "order", "jobId")
        seen = -1
        with info.context.gateway.live.watching("jobs", wanted) as watch:
            await _appeared(info, watch, lambda: _job(info, wanted))
            while True:
                row, newest = await _job(info, wanted)
                if newest > seen:
                    seen = newest
                    yield Job.of(row)
                if row.status in ENDED:
                    return
                await _pause(info, watch)

    @watched("A machine now, and whenever it is different.")
    async def node_updated(self, info: Info, node_id: strawberry.ID) -> AsyncGenerator[Node, None]:
        wanted = _known(node_id, "machine", "nodeId")
        seen: NodeView | None = None
        with info.context.gateway.live.watching("nodes", wanted) as watch:
            await _appeared(info, watch, lambda: _node(info, wanted))
            while True:
                view = await _node(info, wanted)
                if view != seen:
                    seen = view
                    yield Node.of(view)
                await _pause(info, watch)

    @watched("The newest sample of each channel of a machine, at most four times a second.")
    async def telemetry(
        self, info: Info, node_id: strawberry.ID
    ) -> AsyncGenerator[Telemetry, None]:
        wanted = _known(node_id, "machine", "nodeId")
        await _node(info, wanted)
        await info.context.release()
        async with info.context.gateway.live.tapping(wanted) as tap:
            async for readings in tap.messages():
                yield Telemetry.of(readings, dropped=tap.dropped)

    @watched(
        "Every event once, in the order of the log, from behind afterSequence; without"
        " it, from now on."
    )
    async def event_tail(
        self,
        info: Info,
        after_sequence: Position | None = None,
        kinds: list[str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        with info.context.gateway.live.watching("history") as watch:
            last = after_sequence if after_sequence is not None else await _end(info)
            while True:
                page = await _events(info, last)
                for row in page.items:
                    last = info.context.position = row.position
                    if not kinds or row.kind in kinds:
                        yield Event.of(row)
                if not page.has_more:
                    await _pause(info, watch)


async def _job(info: Info, job_id: str) -> tuple[JobRow, int]:
    """The order and the newest position of anything that belongs to it."""
    async with info.context.reads.use(jobs.READS) as connection:
        row = await jobs.job(connection, info.context.scope, job_id)
    if row is None:
        raise NotFoundError(f"there is no order {job_id}", field="job_id")
    parts = await info.context.loaders.parts_of_job.load(job_id)
    builds = await info.context.loaders.builds_of_job.load(job_id)
    return row, max([row.position, *(r.position for r in parts), *(r.position for r in builds)])


async def _node(info: Info, node_id: str) -> NodeView:
    async with info.context.reads.use(nodes.READS) as connection:
        view = await nodes.node(connection, info.context.scope, node_id)
    if view is None:
        raise NotFoundError(f"there is no machine {node_id}", field="node_id")
    return view


async def _events(info: Info, after: int) -> Page[EventRow]:
    await info.context.release()
    async with info.context.reads.use(history.READS) as connection:
        return await history.event_history(
            connection, info.context.scope, first=TAIL_BATCH, after=Cursor(after)
        )


async def _end(info: Info) -> int:
    async with info.context.reads.use(history.READS) as connection:
        page = await history.event_history(
            connection, info.context.scope, first=1, newest_first=True
        )
    return page.items[0].position if page.items else 0


async def _appeared(info: Info, watch: Watch, look: Callable[[], Awaitable[object]]) -> None:
    """Who has just been told of an object may watch it, though its row is still on the way."""
    try:
        await look()
    except NotFoundError:
        await info.context.release()
        await watch.changed(within_s=GRACE_S)


async def _pause(info: Info, watch: Watch) -> None:
    """Hold nothing while waiting; what is read afterwards is new."""
    await info.context.release()
    await watch.changed()


def _known(text: str, what: str, field: str) -> str:
    known = uuid_of(text)
    if known is None:
        raise NotFoundError(f"there is no {what} {text[:64]}", field=field)
    return known

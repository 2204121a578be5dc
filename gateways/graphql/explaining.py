"""Questions about the past: what an object was, what changed, why, and what led to what."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry.types.unset import UNSET, UnsetType

from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.scope import Scope
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.pages import Connection, page_size, place
from gateways.graphql.past import AsOf, AsOfInput
from gateways.graphql.scalars import Position
from gateways.graphql.types.decided import ExplanationShown
from gateways.graphql.types.explaining import (
    AggregateState,
    CausationNode,
    CausationTree,
    ChangedAggregate,
)
from projections.history import queries as history
from projections.history.causes import TREE_LIMIT, events_of_job, tree_around
from projections.history.explanations import explain
from projections.history.intervals import WIDEST, Changed, changed_between
from projections.history.rows import EventRow
from projections.history.unfolding import demand_kind, state_at
from projections.querying import Connection as Database
from projections.querying import Page
from projections.reading import LAST

From = Annotated[AsOfInput, strawberry.argument(name="from", description="The earlier moment.")]
To = Annotated[
    AsOfInput | None, strawberry.argument(name="to", description="The later one; else the present.")
]


@strawberry.input(one_of=True, description="Whose story: exactly one of the three.")
class StoryOf:
    event_id: strawberry.ID | UnsetType | None = strawberry.field(
        default=UNSET, description="The whole story that this event belongs to."
    )
    correlation_id: str | UnsetType | None = strawberry.field(
        default=UNSET, description="Everything that is marked as one story."
    )
    job_id: strawberry.ID | UnsetType | None = strawberry.field(
        default=UNSET, description="An order from its submission, with all that people said later."
    )


@strawberry.type(description="What changed between two moments.")
class Diff:
    since: Position = strawberry.field(
        name="from", description="The earlier moment: what this event had done was so already."
    )
    to: Position = described("The later moment.")
    aggregates: Connection[ChangedAggregate] = described("What changed, the last changed first.")


@strawberry.type
class ExplainingQuery:
    @resolved("An object as it was, or null when there was none that you may know of.")
    async def state_at(
        self, info: Info, kind: str, id: strawberry.ID, as_of: AsOf = None
    ) -> AggregateState | None:
        scope, then = info.context.scope, info.context.look(info, as_of)
        async with info.context.reads.use(history.READS, as_of=then) as connection:
            found = await state_at(
                connection,
                scope,
                info.context.gateway.decode,
                kind=kind,
                aggregate_id=_canonical(id),
            )
        return AggregateState.of(found) if found else None

    @resolved("What changed between two moments: one object by kind and id, or all of them.")
    async def diff(
        self,
        info: Info,
        since: From,
        to: To = None,
        kind: str = "",
        id: strawberry.ID | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> Diff:
        size, cursor, scope = page_size(first), place(after), info.context.scope
        begin, end = await _interval(info, since, to)
        async with info.context.reads.use(history.READS) as connection:
            if id is None:
                page = await changed_between(
                    connection, scope, after=begin, upto=end, kind=kind, first=size, cursor=cursor
                )
            else:
                page = await _one(connection, scope, (kind, _canonical(id)), after=begin, upto=end)
        found = [(row.last, ChangedAggregate.of(row, begin=begin, end=end)) for row in page.items]
        shown = Connection.of(found, has_more=page.has_more, started=after is not None)
        return Diff(since=Position(begin), to=Position(end), aggregates=shown)

    @resolved("Why an event happened and what came of it; null when you may know of none.")
    async def explain(self, info: Info, event_id: strawberry.ID) -> ExplanationShown | None:
        scope = info.context.scope
        async with info.context.reads.use(history.READS) as connection:
            found = await explain(connection, scope, _canonical(event_id))
        return ExplanationShown.of(found, info.context.gateway.decode) if found else None

    @resolved("What led to what, from a command to the acknowledgements of the machines.")
    async def causation_tree(self, info: Info, of: StoryOf, first: int = 1000) -> CausationTree:
        limit, scope = within("first", first, 1, TREE_LIMIT), info.context.scope
        async with info.context.reads.use(history.READS) as connection:
            seeds = await _seeds(of)(connection, scope, limit + 1)
            tree = await tree_around(connection, scope, seeds, limit=limit)
        decode = info.context.gateway.decode
        nodes = [CausationNode.of(each, decode) for each in tree.places]
        return CausationTree(nodes=nodes, truncated=tree.truncated)


async def _one(
    connection: Database, scope: Scope, named: tuple[str, str], *, after: int, upto: int
) -> Page[Changed]:
    """One object, also where nothing of it changed. Raises ``NotFoundError``."""
    kind, aggregate_id = named
    state = await history.events_of(
        connection, scope, kind=kind, aggregate_id=aggregate_id, upto=upto, first=1
    )
    if not state:
        await demand_kind(connection, scope, kind, aggregate_id)
        raise NotFoundError(f"there was no {kind[:64]} {aggregate_id}", field="id")
    return await changed_between(
        connection, scope, after=after, upto=upto, kind=kind, aggregate_id=aggregate_id, first=1
    )


def _seeds(of: StoryOf) -> Callable[[Database, Scope, int], Awaitable[list[EventRow]]]:
    async def of_event(connection: Database, scope: Scope, limit: int) -> list[EventRow]:
        found = await history.events_by_ids(connection, scope, [_canonical(str(of.event_id))])
        return list(found.values())

    async def of_story(connection: Database, scope: Scope, limit: int) -> list[EventRow]:
        return await history.events_of_story(connection, scope, str(of.correlation_id), limit=limit)

    async def of_job(connection: Database, scope: Scope, limit: int) -> list[EventRow]:
        return await events_of_job(connection, scope, _canonical(str(of.job_id)), limit=limit)

    if of.event_id:
        return of_event
    return of_job if of.job_id else of_story


async def _interval(info: Info, since: AsOfInput, to: AsOfInput | None) -> tuple[int, int]:
    begin, end = await _position(info, since), await _position(info, to)
    if end == LAST:
        async with info.context.reads.use(history.READS) as connection:
            newest = await history.event_history(
                connection, info.context.scope, first=1, newest_first=True
            )
        end = max([begin, *(row.position for row in newest.items)])
    if begin > end:
        raise InvalidInputError(
            f"from (position {begin}) is later than to ({end})",
            field="from",
            remedy="exchange the two",
        )
    if end - begin > WIDEST:
        raise InvalidInputError(
            f"more than {WIDEST} positions lie between the two",
            field="from",
            remedy="choose a shorter interval",
        )
    return begin, end


async def _position(info: Info, as_of: AsOfInput | None) -> int:
    """The last position that is seen. Raises ``NotReachedError``, ``InvalidInputError``."""
    if as_of is None:
        return LAST
    reads, when = info.context.reads, as_of.when(info.context.gateway.clock)
    async with reads.use(history.READS, as_of=when):
        moment = reads.moment_of(when)
    return moment.position if moment else 0


def _canonical(text: str) -> str:
    """What is no id names nothing."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""

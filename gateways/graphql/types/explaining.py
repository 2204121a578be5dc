"""Aggregates as they were, what changed them, and why."""

import asyncio
from typing import Any, Self, cast

import strawberry
from strawberry.scalars import JSON

from domain.shared.scope import Scope
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.notes import noted
from gateways.graphql.scalars import Instant, Position
from gateways.graphql.types.history import Event
from projections.history import queries as history
from projections.history.causes import Link, Place
from projections.history.differences import How
from projections.history.intervals import Changed
from projections.history.rows import EventRow
from projections.history.states import Decode, Ends, State, Traced
from projections.history.unfolding import compared, ends
from projections.history.words import sentence_of
from projections.nodes import queries as nodes

strawberry.enum(How, description="What became of the value at a path.")
strawberry.enum(
    Link,
    description="COMMAND: somebody's own word, with which a story begins. EVENT: what was recorded."
    " ACKNOWLEDGEMENT: what a bridge reported of its machine. OUTSIDE: a cause that is no event, or"
    " none that you may know of.",
)


@strawberry.type(description="An object as it was, folded from its events alone.")
class AggregateState:
    kind: str = described("For example job.")
    id: strawberry.ID = described("Its id.")
    version: int = described("How many events it had.")
    position: Position = described("The last of them.")
    occurred_at: Instant = described("When that happened in the shop.")
    recorded_at: Instant = described("When it was recorded.")
    hash: str = described("That event's hash; it covers all of the object's events before it.")
    status: str = described("Where it stood, in a word or two; empty where it has no status.")
    state: JSON = described("Everything its events say of it. Personal fields are sealed.")

    @classmethod
    def of(cls, state: State) -> Self:
        """From a fold."""
        last = state.last
        return cls(
            kind=last.kind,
            id=strawberry.ID(last.aggregate_id),
            version=last.version,
            position=Position(last.position),
            occurred_at=Instant(last.occurred_at),
            recorded_at=Instant(last.recorded_at),
            hash=last.hash,
            status=status_of(state.values),
            state=JSON(state.values),
        )


@strawberry.type(description="One event with its sentence.")
class Told:
    event: Event = described("The event.")
    words: str = noted("What it says, as a sentence.")

    @classmethod
    def of(cls, row: EventRow, decode: Decode) -> Self:
        """From a row of the history."""
        return cls(event=Event.of(row), words=sentence_of(decode(row)))


@strawberry.type(description="One value that is not what it was.")
class Difference:
    path: str = described("Where it stands in the state: a JSON pointer (RFC 6901).")
    how: How = described("What became of it.")
    before: JSON | None = described("What it was; null where it was not there.")
    after: JSON | None = described("What it became; null where it is not there any more.")
    changes: int = described("How many events in the interval touched it.")
    event: Event = described("The last of them.")

    @classmethod
    def of(cls, traced: Traced) -> Self:
        """From a comparison."""
        change = traced.change
        return cls(
            path=change.path,
            how=change.how,
            before=None if change.before is None else JSON(change.before),
            after=None if change.after is None else JSON(change.after),
            changes=traced.count,
            event=Event.of(traced.event),
        )


@strawberry.type(description="An object that changed between two moments.")
class ChangedAggregate:
    kind: str = described("For example node.")
    id: strawberry.ID = described("Its id.")
    events: int = described("How many events it had in the interval.")
    first: Position = described("The first of them.")
    last: Position = described("The last of them.")
    begin: strawberry.Private[int]
    end: strawberry.Private[int]
    folded: strawberry.Private["asyncio.Future[Ends] | None"] = None

    @classmethod
    def of(cls, changed: Changed, *, begin: int, end: int) -> Self:
        """From a row of the interval."""
        return cls(
            kind=changed.kind,
            id=strawberry.ID(changed.aggregate_id),
            events=changed.events,
            first=Position(changed.first),
            last=Position(changed.last),
            begin=begin,
            end=end,
        )

    @resolved("What it was at the first moment; null when it was not there yet.")
    async def before(self, info: Info) -> AggregateState | None:
        found = (await self._ends(info)).before
        return AggregateState.of(found) if found else None

    @resolved("What it was at the second moment.")
    async def after(self, info: Info) -> AggregateState:
        return AggregateState.of(cast("State", (await self._ends(info)).end))

    @resolved("Every value that is different, with the event that changed it last.")
    async def differences(self, info: Info) -> list[Difference]:
        async with info.context.reads.use(history.READS) as connection:
            found = await compared(connection, *_reader(info), **self._asked)
        return [Difference.of(each) for each in found]

    async def _ends(self, info: Info) -> Ends:
        """Folded once, whichever fields ask for it."""
        if self.folded is None:
            self.folded = asyncio.ensure_future(self._fold(info))
        return await self.folded

    async def _fold(self, info: Info) -> Ends:
        async with info.context.reads.use(history.READS) as connection:
            return await ends(connection, *_reader(info), **self._asked)

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "aggregate_id": self.id,
            "after": self.begin,
            "upto": self.end,
        }


@strawberry.type(description="One place in a tree of causes.")
class CausationNode:
    id: strawberry.ID = described("The event's id, or the command's.")
    parent_id: strawberry.ID | None = described("The place above it; null where a tree begins.")
    depth: int = described("0 where a tree begins.")
    link: Link = described("What it is.")
    words: str = noted("What it says, as a sentence.")
    actor: str = described("Who: kind/id.")
    at: Instant = described("When it happened.")
    command_id: str = described("The command itself, or the one that led to the event.")
    event: Event | None = described("The event; null for what is none.")

    @classmethod
    def of(cls, place: Place, decode: Decode) -> Self:
        """From a place of a tree."""
        row = place.first
        is_event = place.link in {Link.EVENT, Link.ACKNOWLEDGEMENT}
        words = sentence_of(decode(row)) if is_event else _NO_EVENT[place.link]
        return cls(
            id=strawberry.ID(place.id),
            parent_id=strawberry.ID(place.parent_id) if place.parent_id else None,
            depth=place.depth,
            link=place.link,
            words=words,
            actor="" if place.link is Link.OUTSIDE else f"{row.actor_kind}/{row.actor_id}",
            at=Instant(row.occurred_at),
            command_id="" if place.link is Link.OUTSIDE else row.command_id,
            event=Event.of(row) if is_event else None,
        )


@strawberry.type(description="What led to what, each place before those below it.")
class CausationTree:
    nodes: list[CausationNode] = described("Depth first; several trees where people had a say.")
    truncated: bool = described("There is more than was asked for.")


def _reader(info: Info) -> tuple[Scope, Decode]:
    return info.context.scope, info.context.gateway.decode


async def names_of(info: Info, node_ids: list[str]) -> dict[str, str]:
    """Names of machines, as they are now; those that you may not know of are left out."""
    async with info.context.reads.use(nodes.READS) as connection:
        found = await nodes.nodes_by_ids(connection, info.context.scope, node_ids)
    return {node_id: view.node.name for node_id, view in found.items()}


def status_of(state: dict[str, Any]) -> str:
    """Where an object stands: its status, or what a lot holds."""
    if "accounts" in state:
        accounts = state["accounts"]
        return f"{accounts['free']} mg free, {accounts['reserved']} mg reserved"
    return str(state.get("status", ""))


_NO_EVENT = {Link.COMMAND: "A command", Link.OUTSIDE: "Not to be seen from here"}

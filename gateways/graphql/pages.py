"""Lists as Relay connections, by key set: a cursor names a row, so that pages never slip."""

from typing import Generic, Self, TypeVar

import strawberry
from strawberry.relay import PageInfo

from domain.shared.checks import within
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.past import MomentShown
from projections.querying import Cursor

N = TypeVar("N")
PAGE_LIMIT = 100


@strawberry.type(description="A place in a list.")
class Edge(Generic[N]):
    cursor: str = described("Send it as after to go on behind this one.")
    node: N = described("What stands there.")


@strawberry.type(description="A page of a list (Relay cursor connection).")
class Connection(Generic[N]):
    edges: list[Edge[N]] = described("In order.")
    page_info: PageInfo = described("Whether and where the list goes on.")

    @resolved("The moment of the past that this shows; null is the present.")
    def as_of(self, info: Info) -> MomentShown | None:
        return MomentShown.of(info.context.moment_of(info))

    @classmethod
    def of(cls, found: list[tuple[int, N]], *, has_more: bool, started: bool) -> Self:
        """From nodes with the positions that order them."""
        edges = [Edge(cursor=Cursor(position).encode(), node=node) for position, node in found]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=has_more,
                has_previous_page=started,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )


def page_size(first: int) -> int:
    """1 to 100. Raises ``InvalidInputError``."""
    return within("first", first, 1, PAGE_LIMIT)


def place(after: str | None) -> Cursor | None:
    """Where a page begins. Raises ``InvalidInputError`` for a cursor that is not one of ours."""
    return Cursor.decode(after) if after else None

"""The audit trail, as the commands service gives it: the log it lies in is closed to all else."""

from strawberry.relay import PageInfo

from gateways.graphql.context import Info
from gateways.graphql.pages import Connection, Edge, page_size
from gateways.graphql.types.audit import AuditEntry
from projections.querying import Cursor


async def trail(
    info: Info, *, first: int, before: str | None, about: str | None = None
) -> Connection[AuditEntry]:
    """Lines older than ``before``, the newest first, or only those about one account. A page may
    be short, and even empty, where many other lines lie between: its end cursor leads on."""
    caller, size = info.context.caller, page_size(first)
    caller.person()
    place = Cursor.decode(before, field="before").position if before else None
    read = info.context.gateway.trail.read
    page = await read(first=size, before=place, about=about, token=caller.token)
    found = [AuditEntry.of(told) for told in page["entries"]]
    oldest = page["oldest"]
    edges = [Edge(cursor=Cursor(int(each.sequence)).encode(), node=each) for each in found]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page["has_more"],
            has_previous_page=before is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=Cursor(oldest).encode() if oldest else None,
        ),
    )

"""What machines measured: charts of any range, a build's whole story, and the newest readings."""

from typing import Annotated

import strawberry

from domain.shared.errors import InvalidInputError, NotFoundError
from gateways.graphql.context import Info
from gateways.graphql.fields import resolved
from gateways.graphql.scalars import Instant
from gateways.graphql.types.measured import (
    BuildTelemetry,
    NodeTelemetry,
    TelemetryHistory,
)
from projections.telemetry import queries
from projections.telemetry.partitions import milliseconds
from projections.telemetry.rows import MOST_POINTS, Asked, Resolution

MOST_BUILDS = 10
"""Of one comparison."""
TEMPERATURES = ("temperature.",)

strawberry.enum(
    Resolution,
    name="TelemetryResolution",
    description="AUTO: readings where they are few enough, else roll-ups; RAW: readings; SECOND and"
    " MINUTE: roll-ups of at least that width.",
)
Channels = Annotated[
    list[str],
    strawberry.argument(
        description="Names, or beginnings of names that end in a dot: temperature. stands for all"
        " temperatures. Up to 40 channels."
    ),
]
Fineness = Annotated[
    Resolution, strawberry.argument(description="How fine the points shall be at best.")
]
MaxPoints = Annotated[
    int, strawberry.argument(description="Of one series, 2 to 2000; buckets grow to fit.")
]


@strawberry.type
class TelemetryQuery:
    """Who sees a machine sees what it measures."""

    @resolved("What a machine measured from since to before until, at most maxPoints a channel.")
    async def telemetry(
        self,
        info: Info,
        node_id: strawberry.ID,
        channels: Channels,
        since: Instant,
        until: Instant,
        resolution: Fineness = Resolution.AUTO,
        max_points: MaxPoints = MOST_POINTS,
    ) -> TelemetryHistory:
        scope = info.context.scope
        asked = Asked(
            channels=tuple(channels),
            since=milliseconds(since),
            until=milliseconds(until),
            resolution=resolution,
            most=max_points,
        )
        async with info.context.reads.use(queries.READS) as connection:
            found = await queries.history(
                connection, scope, node_id, asked, cold=info.context.gateway.cold
            )
        if found is None:
            raise NotFoundError(f"there is no machine {node_id[:64]}", field="nodeId")
        return TelemetryHistory.of(found)

    @resolved(
        "What was measured while builds ran, each from its beginning: attempts at a piece, to lay"
        " one over the other. Without channels, all temperatures."
    )
    async def build_telemetry(
        self,
        info: Info,
        build_ids: list[strawberry.ID],
        channels: Channels = list(TEMPERATURES),  # noqa: B006 - strawberry copies it
        resolution: Fineness = Resolution.AUTO,
        max_points: MaxPoints = MOST_POINTS,
    ) -> list[BuildTelemetry]:
        scope = info.context.scope
        if not 0 < len(build_ids) <= MOST_BUILDS:
            raise InvalidInputError(f"1 to {MOST_BUILDS} builds are wanted", field="buildIds")
        now = milliseconds(info.context.gateway.clock.now())
        asked = Asked(
            channels=tuple(channels),
            since=0,
            until=now,
            resolution=resolution,
            most=max_points,
            charts=len(build_ids),
        )
        shown = []
        async with info.context.reads.use(queries.READS) as connection:
            for build_id in build_ids:
                found = await queries.of_build(
                    connection, scope, build_id, asked, cold=info.context.gateway.cold
                )
                if found is None:
                    raise NotFoundError(f"there is no build {build_id[:64]}", field="buildIds")
                shown.append(BuildTelemetry.of(*found))
        return shown

    @resolved("What a machine measures: its channels with their newest readings.")
    async def telemetry_channels(self, info: Info, node_id: strawberry.ID) -> NodeTelemetry:
        scope = info.context.scope
        async with info.context.reads.use(queries.READS) as connection:
            found = await queries.channels(connection, scope, node_id)
        if found is None:
            raise NotFoundError(f"there is no machine {node_id[:64]}", field="nodeId")
        now = milliseconds(info.context.gateway.clock.now())
        return NodeTelemetry.of(node_id, *found, now=now)

"""Samples of a machine."""

from datetime import UTC, datetime
from typing import Self

import strawberry

from gateways.graphql.fields import described
from gateways.graphql.live import Readings
from gateways.graphql.scalars import Instant, Int53
from gateways.graphql.types.shared import optional_id


@strawberry.type(description="One sample.")
class Reading:
    channel: str = described("What was measured, with its unit: temperature.bed.actual_c.")
    at: Instant = described("When.")
    value: float | None = described("In the channel's unit; null when the machine gave none.")


@strawberry.type(description="What was heard of a machine in a quarter of a second.")
class Telemetry:
    node_id: strawberry.ID = described("The machine.")
    build_id: strawberry.ID | None = described("The build that ran.")
    epoch: int = described("Counts the starts of the bridge.")
    sequence: Int53 = described("Counts the messages of one bridge session; a gap is a loss.")
    dropped: Int53 = described("Readings left out, so far, because newer ones came.")
    readings: list[Reading] = described("The newest of each channel since the last message.")

    @classmethod
    def of(cls, readings: Readings, *, dropped: int) -> Self:
        """From a columnar message: times in ms since 1970, channels by index."""
        channels = readings["channels"]
        return cls(
            node_id=strawberry.ID(readings["node_id"]),
            build_id=optional_id(readings.get("build_id") or ""),
            epoch=readings.get("epoch", 0),
            sequence=Int53(readings.get("seq", 0)),
            dropped=Int53(dropped),
            readings=[
                Reading(
                    channel=channels[channel],
                    at=Instant(datetime.fromtimestamp(at / 1000, UTC)),
                    value=value,
                )
                for at, channel, value in zip(
                    readings["t"], readings["c"], readings["v"], strict=True
                )
            ],
        )

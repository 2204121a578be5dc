"""What machines measured, as it is shown. Columns, because charts are drawn from columns."""

from collections.abc import Sequence
from typing import Self

import strawberry

from domain.telemetry.channels import FlatMetrics, Quality, flat_metrics, unit_of
from gateways.graphql.fields import described
from gateways.graphql.scalars import Instant, Int53
from projections.jobs.rows import BuildRow
from projections.telemetry.partitions import moment
from projections.telemetry.rows import (
    STALE_MS,
    ChannelRow,
    Gap,
    History,
    RefusedRow,
    Series,
    heard_lately,
)

strawberry.enum(
    Quality,
    name="TelemetryQuality",
    description="GOOD; STALE: nothing newer came; BAD: the sensor is wrong. Roll-ups and figures"
    " count good ones only.",
)


@strawberry.type(
    description="One channel in columns of equal length. Where nothing was measured stands one"
    " point of nulls, so that a line breaks off there."
)
class TelemetrySeries:
    channel: str = described("Its canonical name.")
    unit: str = described("Its unit, for example °C; empty when the name says none.")
    at: list[Int53] = described("When, in ms since 1970 UTC; of a bucket, when it begins.")
    low: list[float | None] = described("The lowest value in each bucket.")
    high: list[float | None] = described("The highest.")
    average: list[float | None] = described("The mean of all readings in it.")
    last: list[float | None] = described("The last. Of a reading, all four are its value.")
    number: list[Int53] = described("How many good readings are in it; 0 where there is a gap.")
    quality: list[Quality] = described("Of readings, what each is worth; empty for roll-ups.")

    @classmethod
    def of(cls, series: Series) -> Self:
        """From what was read."""
        return cls(
            channel=series.channel,
            unit=series.unit,
            at=[Int53(at) for at in series.at],
            low=series.low,
            high=series.high,
            average=series.average,
            last=series.last,
            number=[Int53(number) for number in series.number],
            quality=series.quality,
        )


@strawberry.type(description="Readings that were taken and are not there.")
class TelemetryGap:
    since: Instant = described("From when.")
    until: Instant = described("To when.")
    cause: str = described("DROPPED by the bridge while its way was blocked, or MISSING.")
    readings: Int53 | None = described("How many, where somebody counted them.")

    @classmethod
    def of(cls, gap: Gap) -> Self:
        """From what was read."""
        return cls(
            since=Instant(moment(gap.begun)),
            until=Instant(moment(gap.ended)),
            cause=gap.cause,
            readings=None if gap.readings is None else Int53(gap.readings),
        )


@strawberry.type(description="What a machine measured in a range of time.")
class TelemetryHistory:
    node_id: strawberry.ID = described("The machine.")
    since: Instant = described("The beginning of the range.")
    until: Instant = described("Its end.")
    step_ms: Int53 = described("The width of a bucket, ms; 0 for readings as they were taken.")
    series: list[TelemetrySeries] = described("By channel, in the order of their names.")
    gaps: list[TelemetryGap] = described("Known losses in the range, the first thousand.")

    @classmethod
    def of(cls, found: History) -> Self:
        """From what was read."""
        return cls(
            node_id=strawberry.ID(found.node_id),
            since=Instant(moment(found.since)),
            until=Instant(moment(found.until)),
            step_ms=Int53(found.step_ms),
            series=[TelemetrySeries.of(each) for each in found.series],
            gaps=[TelemetryGap.of(each) for each in found.gaps],
        )


@strawberry.type(description="What was measured while a build ran.")
class BuildTelemetry:
    build_id: strawberry.ID = described("The build.")
    attempt: int = described("Which try of its piece it is, from 1.")
    status: str = described("Where it stands.")
    history: TelemetryHistory = described("From its start to its end, or to now.")

    @classmethod
    def of(cls, build: BuildRow, found: History) -> Self:
        """From what was read."""
        return cls(
            build_id=strawberry.ID(build.id),
            attempt=build.attempt,
            status=build.status,
            history=TelemetryHistory.of(found),
        )


@strawberry.type(description="A channel of a machine.")
class TelemetryChannel:
    name: str = described("Its canonical name.")
    unit: str = described("Its unit; empty when the name says none.")
    first_at: Instant = described("When it was measured first, to the second.")
    last_at: Instant = described("When its newest good reading was taken.")
    last: float | None = described("That reading; null before there was one.")
    quality: Quality = described("STALE when nothing came for half a minute.")

    @classmethod
    def of(cls, row: ChannelRow, *, now: int) -> Self:
        """From what was read."""
        return cls(
            name=row.channel,
            unit=unit_of(row.channel),
            first_at=Instant(moment(row.first_at)),
            last_at=Instant(moment(row.last_at)),
            last=row.last,
            quality=Quality.GOOD if now - row.last_at <= STALE_MS else Quality.STALE,
        )


@strawberry.type(description="The specification's six metrics. Null where nothing measures them.")
class TelemetryMetrics:
    temperature: float | None = described("°C: the first hot end, else the hottest part measured.")
    vibration: float | None = described("mm/s².")
    power_consumption: float | None = described("kW.")
    material_remaining: float | None = described("kg.")
    progress: float | None = described("%.")
    quality_score: float | None = described("0 to 1.")

    @classmethod
    def of(cls, metrics: FlatMetrics) -> Self:
        """From the view of the channels."""
        return cls(**metrics)


@strawberry.type(description="Messages that a machine's bridge sent and that could not be read.")
class TelemetryRefusal:
    fault: str = described("What is wrong with them.")
    number: Int53 = described("How many.")
    last_at: Instant = described("When the last one came.")
    detail: str = described("About that one.")

    @classmethod
    def of(cls, row: RefusedRow) -> Self:
        """From what was read."""
        last_at = Instant(moment(row.last_at))
        return cls(fault=row.fault, number=Int53(row.number), last_at=last_at, detail=row.detail)


@strawberry.type(description="What a machine measures.")
class NodeTelemetry:
    node_id: strawberry.ID = described("The machine.")
    channels: list[TelemetryChannel] = described("By name.")
    metrics: TelemetryMetrics = described("Of channels that were heard in the last half minute.")
    refused: list[TelemetryRefusal] = described("Messages that were none, by fault.")

    @classmethod
    def of(
        cls, node_id: str, known: Sequence[ChannelRow], refused: Sequence[RefusedRow], *, now: int
    ) -> Self:
        """From what was read at `now` (Unix ms)."""
        return cls(
            node_id=strawberry.ID(node_id),
            channels=[TelemetryChannel.of(row, now=now) for row in known],
            metrics=TelemetryMetrics.of(flat_metrics(heard_lately(known, now=now))),
            refused=[TelemetryRefusal.of(row) for row in refused],
        )

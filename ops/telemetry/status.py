"""How far the ingest is, and what each tier holds."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from ops.telemetry.stream import TelemetryStream

_COUNTS = """
SELECT coalesce((SELECT sequence FROM telemetry.ingests WHERE stream = %s), 0),
    (SELECT count(*) FROM telemetry.series),
    coalesce((SELECT sum(number) FROM telemetry.refused), 0)::bigint,
    (SELECT count(*) FROM pg_inherits WHERE inhparent = 'telemetry.chunks'::regclass),
    coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
        WHERE inhparent IN ('telemetry.chunks'::regclass, 'telemetry.seconds'::regclass,
            'telemetry.minutes'::regclass)), 0)::bigint,
    (SELECT count(*) FROM telemetry.cold),
    coalesce((SELECT sum(bytes) FROM telemetry.cold), 0)::bigint
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryStatus:
    """`behind` counts messages of the stream that are not in the database yet."""

    behind: int
    ingested: int
    series: int
    refused: int
    hot_days: int
    hot_bytes: int
    cold_files: int
    cold_bytes: int


def status_of(connection: psycopg.Connection[TupleRow], stream: TelemetryStream) -> TelemetryStatus:
    """Ask the stream first: what comes in between makes nobody look behind."""
    identity, last = stream.identity(), stream.last()
    row = connection.execute(_COUNTS, [identity]).fetchone()
    if row is None:
        raise LookupError(identity)
    ingested, series, refused, hot_days, hot_bytes, cold_files, cold_bytes = row
    return TelemetryStatus(
        behind=max(0, last - ingested),
        ingested=ingested,
        series=series,
        refused=refused,
        hot_days=hot_days,
        hot_bytes=hot_bytes,
        cold_files=cold_files,
        cold_bytes=cold_bytes,
    )

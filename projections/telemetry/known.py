"""What the writer of telemetry remembers of what it wrote."""

from dataclasses import dataclass, field
from typing import NamedTuple

from projections.postgres import Cursor

NodeEpoch = tuple[str, int]


class Head(NamedTuple):
    """The highest number of one start of a bridge, and the time of its last reading (Unix ms)."""

    seq: int
    ended: int


@dataclass(slots=True)
class Known:
    """Loaded once and kept up to date; thrown away when a transaction fails.

    `series` are ids by machine and channel.
    """

    stream: str
    position: int
    series: dict[str, dict[str, int]] = field(default_factory=dict)
    heads: dict[NodeEpoch, Head] = field(default_factory=dict)
    partitions: set[str] = field(default_factory=set)


def load(cursor: Cursor, stream: str) -> Known:
    """What is there of a stream."""
    cursor.execute(
        "INSERT INTO telemetry.ingests (stream, sequence) VALUES (%s, 0) ON CONFLICT DO NOTHING",
        [stream],
    )
    cursor.execute("SELECT sequence FROM telemetry.ingests WHERE stream = %s", [stream])
    known = Known(stream, position=(cursor.fetchone() or (0,))[0])
    cursor.execute("SELECT id, node_id::text, channel FROM telemetry.series")
    for number, node_id, channel in cursor.fetchall():
        known.series.setdefault(node_id, {})[channel] = number
    cursor.execute("SELECT node_id::text, epoch, seq, ended FROM telemetry.heads")
    for node_id, epoch, seq, ended in cursor.fetchall():
        known.heads[node_id, epoch] = Head(seq, ended)
    return known

"""What a build would do, measured on this machine: nothing is left behind by asking."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ops.projecting.applying import apply
from ops.projecting.places import BUILDING, BUILT, PREVIOUS, Connection, create, leftovers, places
from ops.projecting.source import EventSource, next_batch
from ops.projecting.versions import Versions
from projections.projection import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Versions in use and in the release, events to fold, what it takes, what is there already.

    ``events_per_s`` was measured by the last builds, or by folding the first events of the log
    into a schema that was never committed (``measured_by``). ``seconds`` and ``disk_bytes`` are
    estimates; ``free_bytes`` is ``None`` where the database's disk is not ours to see.
    """

    name: str
    live: str
    live_version: int
    release_version: int
    live_position: int
    events: int
    events_per_s: float
    measured_by: str
    seconds: float
    live_bytes: int
    disk_bytes: int
    free_bytes: int | None
    candidate: str
    previous: list[str]
    leftovers: list[str]
    steps: list[str]


def plan(
    connection: Connection,
    source: EventSource,
    versions: Versions,
    name: str,
    *,
    disk: Path | None = None,
) -> Plan:
    """Look and measure; takes about a second. ``disk``: a folder on the database's disk."""
    projection = versions.named(name)
    known = places(connection, name)
    shown = next((each for each in known if each.in_use), None)
    candidate = next(
        (each for each in known if each.state in (BUILDING, BUILT) and not each.in_use), None
    )
    events = source.last_position()
    live_bytes = size_of(connection, shown.schema) if shown else 0
    speed, per_event, measured_by = _speed(connection, source, projection)
    folded = shown.position if shown else 0
    disk_bytes = live_bytes * events // folded if folded else int(per_event * events)
    return Plan(
        name=name,
        live=shown.schema if shown else "",
        live_version=shown.version if shown else 0,
        release_version=projection.version,
        live_position=folded,
        events=events,
        events_per_s=round(speed, 1),
        measured_by=measured_by,
        seconds=round(events / speed, 1) if speed else 0.0,
        live_bytes=live_bytes,
        disk_bytes=disk_bytes,
        free_bytes=shutil.disk_usage(disk).free if disk and disk.exists() else None,
        candidate=candidate.schema if candidate else "",
        previous=[each.schema for each in known if each.state == PREVIOUS],
        leftovers=leftovers(connection, name),
        steps=_steps(name, candidate.schema if candidate else ""),
    )


def size_of(connection: Connection, schema: str) -> int:
    """Bytes on the disk, indexes included."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = 'r'",
        [schema],
    ).fetchone()
    return int(row[0]) if row else 0


def _speed(
    connection: Connection, source: EventSource, projection: Projection
) -> tuple[float, float, str]:
    """Events/s, bytes an event, and what measured it."""
    row = connection.execute(
        "SELECT sum(events) / nullif(sum(seconds), 0) FROM imewe.builds"
        " WHERE name = %s AND version = %s AND events > 0",
        [projection.name, projection.version],
    ).fetchone()
    speed, per_event = _trial(connection, source, projection)
    if row and row[0]:
        return float(row[0]), per_event, "the last build"
    return speed, per_event, "a trial"


def _trial(
    connection: Connection, source: EventSource, projection: Projection
) -> tuple[float, float]:
    began = time.perf_counter()
    batch = next_batch(source, 0)
    if batch is None or not batch.events:
        return 0.0, 0.0
    schema = f"{projection.name}_trial"
    with connection.transaction(force_rollback=True):
        create(connection, projection, schema)
        apply(connection, projection, schema, batch, after=0, parked=set())
        count = len(batch.events)
        return count / (time.perf_counter() - began), size_of(connection, schema) / count


def _steps(name: str, candidate: str) -> list[str]:
    """What comes next, as commands."""
    begin = [] if candidate else [f"build {name}"]
    later = [f"diff {name}", f"switch {name}", f"rollback {name}", f"drop {name}"]
    return [f"imewe projections {step}" for step in (*begin, *later)]

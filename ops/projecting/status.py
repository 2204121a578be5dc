"""How far each projection has come, what lies beside it, and what it had to leave."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ops.projecting.operations import Operation, operations
from ops.projecting.places import Connection
from projections.projection import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One schema. ``events`` and ``seconds`` say what building it took; ``error`` why it failed."""

    schema: str
    version: int
    state: str
    position: int
    unattended: bool
    started_by: str
    started_at: datetime
    changed_at: datetime
    events: int
    seconds: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionStatus:
    """``schema`` is empty before the first run. ``stale_since`` is the position of the first
    event that could not be folded; ``parked`` counts the aggregates left since then."""

    name: str
    release_version: int
    tables: list[str]
    version: int
    schema: str
    position: int
    parked: int
    stale_since: int | None
    builds: list[Build]
    operation: Operation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    """One aggregate whose events are not folded until it is retried or the projection rebuilt."""

    projection: str
    key: str
    position: int
    reason: str
    skipped: int


def statuses(connection: Connection, projections: Iterable[Projection]) -> list[ProjectionStatus]:
    """These projections, in their order, as they are at one moment."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        builds = _builds(connection)
        under_way = operations(connection)
        left: dict[str, tuple[int, int]] = {
            schema: (count, since)
            for schema, count, since in connection.execute(
                "SELECT schema, count(*), min(position) FROM imewe.parked_keys GROUP BY schema"
            ).fetchall()
        }
    found = []
    for each in projections:
        of_this = builds.get(each.name, [])
        shown = next((build for build in of_this if build.state == "LIVE"), None)
        count, since = left.get(shown.schema, (0, None)) if shown else (0, None)
        found.append(
            ProjectionStatus(
                name=each.name,
                release_version=each.version,
                tables=[table.name for table in each.tables],
                version=shown.version if shown else each.version,
                schema=shown.schema if shown else "",
                position=shown.position if shown else 0,
                parked=count,
                stale_since=since,
                builds=of_this,
                operation=under_way.get(each.name),
            )
        )
    return found


def parked(connection: Connection, name: str = "") -> list[ParkedKey]:
    """Every parked aggregate of the schemas in use, or of one projection's."""
    rows = connection.execute(
        "SELECT p.name, k.key, k.position, k.reason, k.skipped"
        " FROM imewe.projections p JOIN imewe.parked_keys k USING (schema)"
        " WHERE %s = '' OR p.name = %s ORDER BY p.name, k.position LIMIT 1000",
        [name, name],
    ).fetchall()
    return [
        ParkedKey(projection=of, key=key, position=position, reason=reason, skipped=skipped)
        for of, key, position, reason, skipped in rows
    ]


def _builds(connection: Connection) -> dict[str, list[Build]]:
    rows = connection.execute(
        "SELECT b.name, b.schema, b.version,"
        " CASE WHEN p.schema IS NOT NULL THEN 'LIVE' ELSE b.state END, s.position, b.unattended,"
        " b.started_by, b.started_at, b.changed_at, b.events, b.seconds, b.error"
        " FROM imewe.builds b JOIN imewe.positions s USING (schema)"
        " LEFT JOIN imewe.projections p ON p.schema = b.schema"
        " ORDER BY p.schema IS NULL, b.changed_at DESC, b.schema"
    ).fetchall()
    fields = tuple(Build.__dataclass_fields__)
    found: dict[str, list[Build]] = {}
    for name, *values in rows:
        found.setdefault(name, []).append(Build(**dict(zip(fields, values, strict=True))))
    return found

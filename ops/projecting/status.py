"""How far each projection has come, and what it had to leave."""

from dataclasses import dataclass

from ops.projecting.places import Connection
from projections.catalogue import CATALOGUE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionStatus:
    """``schema`` is empty before the first run. ``stale_since`` is the position of the first
    event that could not be folded; ``parked`` counts the aggregates left since then."""

    name: str
    version: int
    schema: str
    position: int
    parked: int
    stale_since: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    """One aggregate whose events are not folded until the projection is rebuilt."""

    projection: str
    key: str
    position: int
    reason: str
    skipped: int


def statuses(connection: Connection) -> list[ProjectionStatus]:
    """All projections of this program, in the order of the catalogue."""
    rows = connection.execute(
        "SELECT p.name, p.version, p.schema, s.position, count(k.key), min(k.position)"
        " FROM imewe.projections p JOIN imewe.positions s USING (schema)"
        " LEFT JOIN imewe.parked_keys k USING (schema)"
        " GROUP BY p.name, p.version, p.schema, s.position"
    ).fetchall()
    known = {
        name: ProjectionStatus(
            name=name,
            version=version,
            schema=schema,
            position=position,
            parked=parked,
            stale_since=stale_since,
        )
        for name, version, schema, position, parked, stale_since in rows
    }
    return [
        known.get(each.name)
        or ProjectionStatus(
            name=each.name,
            version=each.version,
            schema="",
            position=0,
            parked=0,
            stale_since=None,
        )
        for each in CATALOGUE
    ]


def parked(connection: Connection) -> list[ParkedKey]:
    """Every parked aggregate of the projections in use."""
    rows = connection.execute(
        "SELECT p.name, k.key, k.position, k.reason, k.skipped"
        " FROM imewe.projections p JOIN imewe.parked_keys k USING (schema)"
        " ORDER BY p.name, k.position"
    ).fetchall()
    return [
        ParkedKey(projection=name, key=key, position=position, reason=reason, skipped=skipped)
        for name, key, position, reason, skipped in rows
    ]

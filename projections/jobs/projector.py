"""Folds orders, parts, pieces, builds and dispatches, and tells each job's story."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.job.aggregate import Job
from domain.part.aggregate import Part
from domain.shared.recorded import RecordedEvent
from projections.jobs.builds import fold_build
from projections.jobs.dispatches import fold_dispatch
from projections.jobs.orders import fold_job
from projections.jobs.pieces import fold_part, part_needs
from projections.jobs.rows import TimelineRow
from projections.jobs.tables import (
    BUILDS,
    DECISIONS,
    DISPATCHES,
    JOBS,
    PARTS,
    PIECES,
    TIMELINE,
)
from projections.jobs.words import words_of
from projections.projection import Projection, topics_of
from projections.rows import Need, Rows
from projections.table import Table

_TABLE_OF: dict[str, Table[Any]] = {"job": JOBS, "build": BUILDS, "dispatch": DISPATCHES}


class _Place(NamedTuple):
    """Where in a job an event belongs."""

    job_id: str
    organisation_id: str
    part_id: str = ""
    piece: int = -1
    build_id: str = ""
    node_id: str = ""


class Jobs(Projection):
    """Announces ids of jobs."""

    name = "jobs"
    version = 3
    topics = topics_of(Job, Part, Build, Dispatch)
    tables = (JOBS, PARTS, PIECES, BUILDS, DISPATCHES, DECISIONS, TIMELINE)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """The object that the event is about; for parts also their pieces."""
        if recorded.kind == "part":
            return part_needs(recorded)
        return [Need(_TABLE_OF[recorded.kind], ("id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Fold into the object's row and add a line to the story of its job."""
        place = _folded(rows, recorded)
        actor = recorded.envelope.actor
        rows.append(
            TIMELINE,
            TimelineRow(
                position=recorded.position,
                at=recorded.envelope.occurred_at,
                what=type(recorded.event).__qualname__,
                words=words_of(recorded.event),
                event_id=recorded.event_id,
                actor=f"{actor.kind}/{actor.id}",
                job_id=place.job_id,
                organisation_id=place.organisation_id,
                part_id=place.part_id,
                piece=place.piece,
                build_id=place.build_id,
                node_id=place.node_id,
            ),
        )
        rows.touch(place.job_id)


def _folded(rows: Rows, recorded: RecordedEvent) -> _Place:
    match recorded.kind:
        case "job":
            row = rows.get(JOBS, fold_job(rows, recorded))
            part_id = vars(recorded.event).get("part_id", "")
            return _Place(row.id, row.organisation_id, part_id=part_id)
        case "part":
            part = fold_part(rows, recorded)
            told = vars(recorded.event)
            return _Place(
                part.job_id,
                part.organisation_id,
                part.id,
                told.get("piece", -1),
                told.get("build_id", ""),
                told.get("node_id", ""),
            )
        case "build":
            build = fold_build(rows, recorded)
            return _Place(
                build.job_id,
                build.organisation_id,
                build.part_id,
                build.piece,
                build.id,
                build.node_id,
            )
        case _:
            found = fold_dispatch(rows, recorded)
            return _Place(
                found.job_id,
                found.organisation_id,
                found.part_id,
                found.piece,
                found.build_id,
                found.node_id,
            )

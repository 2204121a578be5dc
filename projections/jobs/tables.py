"""Where orders and what belongs to them lie."""

from projections.jobs.rows import (
    BuildRow,
    DecisionRow,
    DispatchRow,
    JobRow,
    PartRow,
    PieceRow,
    TimelineRow,
)
from projections.table import Table

JOBS = Table(
    JobRow,
    "jobs",
    ("id",),
    history=True,
    indexes=("organisation_id, created", "organisation_id, status, created"),
)
PARTS = Table(PartRow, "parts", ("id",), history=True, indexes=("job_id, line",))
PIECES = Table(PieceRow, "pieces", ("part_id", "piece"))
BUILDS = Table(
    BuildRow,
    "builds",
    ("id",),
    history=True,
    indexes=("job_id", "part_id", "node_id, created"),
)
DISPATCHES = Table(DispatchRow, "dispatches", ("id",), indexes=("job_id",))
DECISIONS = Table(DecisionRow, "decisions", ("position",), indexes=("job_id", "event_id"))
TIMELINE = Table(TimelineRow, "timeline", ("position",), indexes=("job_id, position",))

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
from projections.table import Past, Table

JOBS = Table(
    JobRow,
    "jobs",
    ("id",),
    indexes=("organisation_id, created", "organisation_id, status, created"),
    fixed=(
        "organisation_id",
        "owner_id",
        "name",
        "deadline",
        "lines",
        "pieces",
        "submitted_at",
        "created",
    ),
)
PARTS = Table(
    PartRow,
    "parts",
    ("id",),
    indexes=("job_id, line",),
    fixed=(
        "organisation_id",
        "job_id",
        "line",
        "name",
        "artifact",
        "material",
        "quantity",
        "created",
    ),
)
PIECES = Table(PieceRow, "pieces", ("part_id", "piece"), fixed=("organisation_id", "job_id"))
BUILDS = Table(
    BuildRow,
    "builds",
    ("id",),
    indexes=("job_id", "part_id", "node_id, created"),
    fixed=(
        "organisation_id",
        "job_id",
        "dispatch_id",
        "attempt",
        "node_id",
        "part_id",
        "piece",
        "pieces",
        "program",
        "material",
        "planned_duration_ms",
        "planned_material_mm3",
        "planned_material_mg",
        "planned_at",
        "created",
    ),
)
DISPATCHES = Table(
    DispatchRow,
    "dispatches",
    ("id",),
    indexes=("job_id",),
    fixed=("organisation_id", "job_id", "part_id", "piece", "work", "created"),
)
DECISIONS = Table(
    DecisionRow, "decisions", ("position",), indexes=("job_id", "event_id"), past=Past.GROWS
)
TIMELINE = Table(
    TimelineRow, "timeline", ("position",), indexes=("job_id, position",), past=Past.GROWS
)

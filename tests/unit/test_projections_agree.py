"""What a projection folds is what the aggregate folds, whatever happened to it."""

import contextlib
from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.inventory.aggregate import ACCOUNTS, Inventory
from domain.job.aggregate import Job
from domain.job.states import JobStatus
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.part.states import PieceStatus
from domain.shared.errors import ImeweError
from domain.shared.identifiers import derived
from projections.inventory.projector import LOTS, InventoryLedger
from projections.jobs.projector import Jobs
from projections.jobs.tables import JOBS, PARTS, PIECES
from projections.nodes.projector import NODES, Nodes
from projections.projection import Projection
from projections.rows import Rows
from tests.stories import ARTIFACT, ORGANISATION, PROFILE, Story

Step = Callable[[Any, int], object]
Taken = list[tuple[Step, int]]

NODE_STEPS: list[Step] = [
    lambda n, _: n.configure(PROFILE),
    lambda n, v: n.configure({**PROFILE, "precision_mm": (v + 1) / 10}),
    lambda n, v: n.connect({"firmware": str(v)}),
    lambda n, _: n.disconnect("unplugged"),
    lambda n, v: n.observe(
        availability="AVAILABLE",
        execution="ACTIVE" if v else "READY",
        emergency_stop="ARMED",
        conditions=[],
    ),
    lambda n, v: n.reserve(f"build {v}"),
    lambda n, v: n.release(f"build {v}"),
    lambda n, v: n.begin_execution(f"build {v}"),
    lambda n, v: n.end_execution(f"build {v}", "finished"),
    lambda n, _: n.clear_bed("anna"),
    lambda n, _: n.hold("lunch"),
    lambda n, _: n.end_hold(),
    lambda n, v: n.stop(by="anna", latency_ms=v),
    lambda n, _: n.clear_stop("anna"),
    lambda n, _: n.begin_maintenance(),
    lambda n, _: n.end_maintenance(),
    lambda n, v: n.decommission() if v == 3 else None,
]
PART_STEPS: list[Step] = [
    lambda p, _: p.validate(
        process="fdm",
        program=ARTIFACT,
        size_mm=[1.0, 1.0, 1.0],
        duration_ms=1,
        material_mm3=1,
        material_mg=1,
        estimated_by="slicer",
    ),
    lambda p, v: (
        p.reject([{"code": "SIZE", "message": "too large", "remedy": ""}]) if v == 3 else None
    ),
    lambda p, _: p.schedule(),
    lambda p, v: p.miss_machine({"BUSY": v} if v else {"HELD": 1}),
    lambda p, v: p.queue_piece(v, build_id=f"build {v}", node_id="node"),
    lambda p, v: p.return_piece(v, build_id=f"build {v}"),
    lambda p, v: p.start_piece(v, build_id=f"build {v}"),
    lambda p, v: p.pause_piece(v, build_id=f"build {v}"),
    lambda p, v: p.make_piece(v, build_id=f"build {v}"),
    lambda p, v: p.pass_piece(v, by="anna"),
    lambda p, v: p.scrap_piece(v, reason="bad", by="anna"),
    lambda p, v: p.cancel_piece(v),
    lambda p, v: p.cancel() if v else None,
    lambda p, v: p.fail("lost") if v == 3 else None,
]
LOT_STEPS: list[Step] = [
    lambda i, v: i.receive(1000 * (v + 1)),
    lambda i, v: i.reserve(f"build {v}", 400),
    lambda i, v: i.release(f"build {v}"),
    lambda i, v: i.consume(f"build {v}", 300 + 500 * v),
    lambda i, v: i.waste(f"build {v}", 100 * v, reason="bad"),
    lambda i, v: i.count(700 * v),
    lambda i, v: i.correct(v - 2, reason="scale"),
    lambda i, v: i.send_transfer(f"transfer {v}", to_inventory_id="other", quantity_mg=50),
    lambda i, v: i.receive_transfer(f"arrival {v}", from_inventory_id="other", quantity_mg=70),
]


NODE_DAYS = [[0, 2, 9, 5, 7, 8, 9, 4], [0, 2, 9, 5, 8]]
PART_DAYS = [[0, 2, 3, 5, 7, 9], [0, 2, 3, 5, 7, 8], [0, 2, 3, 5, 11, 9]]
CANCELLED_WHILE_QUEUED = [(0, 0), (2, 0), (3, 0), (4, 0), (11, 1), (5, 0)]
"""The last waiting piece is cancelled, and then one that was queued waits again."""
LOT_DAYS = [[0, 1, 3], [0, 1, 4]]


def steps_of(known: list[Step], days: list[list[int]]) -> st.SearchStrategy[Taken]:
    """Ordinary days, as far as they got, with anything between and after them."""
    values = st.sampled_from([0, 0, 0, 1, 2, 3])
    anything = st.lists(st.tuples(st.sampled_from(known), values), max_size=12)
    ordinary = st.builds(
        lambda day, length, value: [(known[step], value) for step in day[:length]],
        st.sampled_from(days),
        st.integers(1, 8),
        st.integers(0, 3),
    )
    several = st.lists(st.one_of(ordinary, anything), min_size=1, max_size=4)
    return several.map(lambda found: [step for each in found for step in each])


def folded(projection: Projection, story: Story) -> Rows:
    rows = Rows()
    for event in story.events:
        projection.fold(rows, event)
        rows.keep(event.position)
    return rows


def lived(aggregate: Any, taken: Taken) -> Story:
    story = Story()
    for step, value in taken:
        with contextlib.suppress(ImeweError):
            step(aggregate, value)
        story.tell(aggregate)
        story.later(seconds=1)
    story.tell(aggregate)
    return story


@given(steps_of(NODE_STEPS, NODE_DAYS))
@settings(max_examples=300, deadline=None)
def test_a_node_is_folded_as_the_aggregate_folds_it(taken: Taken) -> None:
    node = Node.register(
        derived("node"),
        organisation_id=ORGANISATION,
        owner_id="vera",
        name="Prusa",
        bridge="local",
        virtual=True,
    )
    row = folded(Nodes(), lived(node, taken)).get(NODES, str(node.id))
    for name in (
        "status",
        "profile",
        "profile_version",
        "connected",
        "identity",
        "availability",
        "execution",
        "emergency_stop",
        "conditions",
        "bed_clear",
        "held",
        "stopped",
        "build_id",
        "epoch",
        "version",
    ):
        assert getattr(row, name) == getattr(node, name), name
    assert (row.connected_since is not None) == node.connected


@example([(PART_STEPS[step], 1) for step in PART_DAYS[-1]], 2)
@example([(PART_STEPS[step], value) for step, value in CANCELLED_WHILE_QUEUED], 2)
@given(steps_of(PART_STEPS, PART_DAYS), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_a_part_and_its_pieces_are_folded_as_the_aggregate_folds_them(
    taken: Taken, quantity: int
) -> None:
    part = Part.order(
        derived("part"),
        organisation_id=ORGANISATION,
        job_id="job",
        line=0,
        name="Box",
        artifact=ARTIFACT,
        material="PLA",
        quantity=quantity,
    )
    rows = folded(Jobs(), lived(part, taken))
    row = rows.get(PARTS, str(part.id))
    pieces = sorted(rows.having(PIECES, part_id=str(part.id)), key=lambda piece: piece.piece)
    assert row.status == part.status
    assert [piece.status for piece in pieces] == part.pieces
    assert row.counts == {each: part.pieces.count(each) for each in row.counts}
    assert sum(row.counts.values()) == len(part.pieces)
    waits = PieceStatus.ORDERED in part.pieces and part.status is not JobStatus.FAILED
    assert sorted(why["code"] for why in row.waiting_for) == (part.missing if waits else [])


@given(steps_of(LOT_STEPS, LOT_DAYS))
@settings(max_examples=300, deadline=None)
def test_a_lot_is_folded_as_the_aggregate_folds_it(taken: Taken) -> None:
    lot = Inventory.open(
        derived("lot"),
        organisation_id=ORGANISATION,
        node_id="node",
        material="PLA",
        lot="L1",
        density_ug_per_mm3=1240,
    )
    row = folded(InventoryLedger(), lived(lot, taken)).get(LOTS, str(lot.id))
    assert {name: getattr(row, f"{name}_mg") for name in ACCOUNTS} == lot.accounts


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(list(JobStatus))), max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_job_is_folded_as_the_aggregate_folds_it(moves: list[tuple[int, JobStatus]]) -> None:
    line = {"name": "Box", "artifact": ARTIFACT, "material": "PLA", "quantity": 1}
    job = Job.submit(
        derived("job"),
        organisation_id=ORGANISATION,
        owner_id="anna",
        name="Boxes",
        priority=5,
        deadline=None,
        parts=[line, line, line],
    )
    ids = list(job.parts)
    job.reprioritize(9)
    story = lived(job, [(lambda j, v, s=s: j.follow_part(ids[v], s), n) for n, s in moves])
    row = folded(Jobs(), story).get(JOBS, str(job.id))
    assert (row.status, row.priority, row.version) == (job.status, 9, job.version)
    assert row.pieces == 3

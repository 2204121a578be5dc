"""Order lines: each piece is one physical try, and the line's state follows from its pieces."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.job.states import JobStatus
from domain.part.aggregate import SCRAP_LIMIT, Part
from domain.part.states import PieceStatus, derived_status
from domain.shared.errors import IllegalTransitionError, NotFoundError
from tests.scenario import given

ARTIFACT = {"digest": "d" * 64, "size": 10, "format": "gcode", "name": "hook.gcode"}
ESTIMATE: dict[str, Any] = {
    "process": "fdm",
    "program": ARTIFACT,
    "size_mm": [10.0, 20.0, 5.0],
    "duration_ms": 60_000,
    "material_mm3": 900,
    "material_mg": 1116,
    "estimated_by": "program",
}
P = PieceStatus
J = JobStatus


def a_part(quantity: int = 1) -> Part:
    return Part.order(
        UUID(int=2),
        organisation_id="org",
        job_id="job",
        line=0,
        name="Hook",
        artifact=ARTIFACT,
        material="PLA",
        quantity=quantity,
    )


def scheduled(quantity: int = 1) -> Part:
    part = a_part(quantity)
    part.validate(**ESTIMATE)
    part.schedule()
    return part


def queued(quantity: int = 1) -> Part:
    part = scheduled(quantity)
    part.queue_piece(0, build_id="b1", node_id="n1")
    return part


def running(quantity: int = 1) -> Part:
    part = queued(quantity)
    part.start_piece(0, build_id="b1")
    return part


def made(quantity: int = 1) -> Part:
    part = running(quantity)
    part.make_piece(0, build_id="b1")
    return part


def passed() -> Part:
    part = made()
    part.pass_piece(0, by="user/otto")
    return part


def paused() -> Part:
    part = running()
    part.pause_piece(0, build_id="b1")
    return part


def rejected() -> Part:
    part = a_part()
    part.reject([{"code": "TOO_LARGE", "message": "no", "remedy": "split"}])
    return part


def failed() -> Part:
    part = made()
    part.fail("gave up")
    return part


def cancelled() -> Part:
    part = scheduled()
    part.cancel()
    return part


@pytest.mark.parametrize(
    ("part", "status"),
    [
        (a_part(), J.SUBMITTED),
        (rejected(), J.REJECTED),
        (scheduled(), J.SCHEDULED),
        (queued(), J.ASSIGNED),
        (running(), J.IN_PROGRESS),
        (paused(), J.PAUSED),
        (made(), J.IN_PROGRESS),
        (passed(), J.COMPLETED),
        (failed(), J.FAILED),
        (cancelled(), J.CANCELLED),
    ],
    ids=lambda value: value.value if isinstance(value, JobStatus) else "",
)
def test_a_parts_state_follows_from_its_pieces(part: Part, status: JobStatus) -> None:
    assert part.status is status


def test_a_part_is_validated_once() -> None:
    part = (
        given(a_part())
        .when(lambda part: part.validate(**ESTIMATE))
        .then(
            (Part.Validated, {**ESTIMATE, "reach_mm": [10.0, 20.0, 5.0], "nozzle_c": 0, "bed_c": 0})
        )
    )
    assert part.status is J.VALIDATED
    given(part).when(lambda part: part.validate(**ESTIMATE)).then_nothing()
    given(part).when(lambda part: part.reject([])).then_nothing()


def test_a_part_that_nobody_validated_cannot_be_scheduled() -> None:
    given(a_part()).when(Part.schedule).then_refused(IllegalTransitionError, match="SUBMITTED")
    given(rejected()).when(Part.schedule).then_refused(IllegalTransitionError, match="REJECTED")


def test_a_piece_goes_through_a_machine() -> None:
    piece = {"piece": 0, "build_id": "b1"}
    (
        given(scheduled())
        .when(lambda part: part.queue_piece(0, build_id="b1", node_id="n1"))
        .when(lambda part: part.start_piece(0, build_id="b1"))
        .when(lambda part: part.pause_piece(0, build_id="b1"))
        .when(lambda part: part.start_piece(0, build_id="b1"))
        .when(lambda part: part.make_piece(0, build_id="b1"))
        .when(lambda part: part.pass_piece(0, by="user/otto"))
        .then(
            (Part.PieceQueued, {**piece, "node_id": "n1"}),
            (Part.PieceStarted, piece),
            (Part.PiecePaused, piece),
            (Part.PieceStarted, piece),
            (Part.PieceMade, piece),
            (Part.PiecePassed, {**piece, "by": "user/otto"}),
        )
    )


@pytest.mark.parametrize(
    ("part", "act"),
    [
        (queued(), lambda part: part.queue_piece(0, build_id="b1", node_id="n1")),
        (running(), lambda part: part.queue_piece(0, build_id="b1", node_id="n1")),
        (running(), lambda part: part.start_piece(0, build_id="b1")),
        (paused(), lambda part: part.pause_piece(0, build_id="b1")),
        (made(), lambda part: part.make_piece(0, build_id="b1")),
        (passed(), lambda part: part.make_piece(0, build_id="b1")),
        (passed(), lambda part: part.pass_piece(0, by="user/otto")),
        (passed(), lambda part: part.cancel_piece(0)),
        (scheduled(), lambda part: part.return_piece(0, build_id="b1")),
        (queued(), lambda part: part.return_piece(0, build_id="another")),
        (scheduled(), Part.schedule),
        (cancelled(), Part.cancel),
        (cancelled(), Part.schedule),
        (rejected(), Part.cancel),
        (failed(), lambda part: part.fail("again")),
    ],
)
def test_what_is_so_already_is_no_news(part: Part, act: Callable[[Part], None]) -> None:
    given(part).when(act).then_nothing()


@pytest.mark.parametrize(
    ("part", "act"),
    [
        (running(), lambda part: part.queue_piece(0, build_id="b2", node_id="n2")),
        (scheduled(), lambda part: part.start_piece(0, build_id="b1")),
        (queued(), lambda part: part.pause_piece(0, build_id="b1")),
        (scheduled(), lambda part: part.make_piece(0, build_id="b1")),
        (running(), lambda part: part.pass_piece(0, by="user/otto")),
        (scheduled(), lambda part: part.scrap_piece(0, reason="r", by="user/otto")),
        (passed(), lambda part: part.scrap_piece(0, reason="r", by="user/otto")),
        (passed(), Part.cancel),
    ],
)
def test_a_step_out_of_order_is_refused(part: Part, act: Callable[[Part], None]) -> None:
    given(part).when(act).then_refused(IllegalTransitionError)


@pytest.mark.parametrize("piece", [-1, 1, 99])
def test_a_piece_that_was_never_ordered_is_not_found(piece: int) -> None:
    given(made()).when(lambda part: part.pass_piece(piece, by="user/otto")).then_refused(
        NotFoundError, field="piece"
    )


def test_a_returned_piece_waits_for_the_next_machine() -> None:
    part = (
        given(queued())
        .when(lambda part: part.return_piece(0, build_id="b1"))
        .then((Part.PieceReturned, {"piece": 0, "build_id": "b1"}))
    )
    given(part).when(lambda part: part.queue_piece(0, build_id="b2", node_id="n2")).then(
        (Part.PieceQueued, {"piece": 0, "build_id": "b2", "node_id": "n2"})
    )


def test_a_scrapped_piece_is_replaced_by_a_new_number() -> None:
    part = (
        given(made())
        .when(lambda p: p.scrap_piece(0, reason="warped", by="user/o"))
        .then(
            (
                Part.PieceScrapped,
                {
                    "piece": 0,
                    "build_id": "b1",
                    "reason": "warped",
                    "by": "user/o",
                    "replacement": 1,
                },
            )
        )
    )
    assert (part.pieces, part.status) == (["SCRAPPED", "ORDERED"], J.SCHEDULED)


def test_after_too_many_lost_pieces_none_is_ordered_instead() -> None:
    part = scheduled()
    for piece in range(SCRAP_LIMIT):
        part.queue_piece(piece, build_id=f"b{piece}", node_id="n1")
        part.start_piece(piece, build_id=f"b{piece}")
        part.scrap_piece(piece, reason="broken", by="service/processes")
    assert part.pieces == ["SCRAPPED"] * SCRAP_LIMIT
    lost: Any = part.pending_events[-1]
    assert lost.replacement == -1


def test_cancelling_ends_waiting_pieces_and_waits_for_machines() -> None:
    part = given(running(quantity=2)).when(Part.cancel).then((Part.CancelRequested, {}))
    assert (part.pieces, part.status) == (["RUNNING", "CANCELLED"], J.IN_PROGRESS)
    given(part).when(lambda part: part.cancel_piece(0)).then((Part.PieceCancelled, {"piece": 0}))
    assert part.status is J.CANCELLED


def test_a_returned_piece_of_a_cancelled_part_is_cancelled() -> None:
    part = queued()
    part.cancel()
    given(part).when(lambda part: part.return_piece(0, build_id="b1")).then(
        (Part.PieceCancelled, {"piece": 0})
    )


def test_a_lost_piece_of_a_cancelled_part_is_not_replaced() -> None:
    part = running()
    part.cancel()
    part.scrap_piece(0, reason="broken", by="service/processes")
    assert (part.pieces, part.status) == (["SCRAPPED"], J.CANCELLED)


def test_a_part_that_was_cancelled_before_validation_has_ended() -> None:
    part = a_part()
    part.cancel()
    given(part).when(lambda part: part.validate(**ESTIMATE)).then_nothing()
    assert part.status is J.CANCELLED


@pytest.mark.parametrize(
    ("pieces", "cancelled", "status"),
    [
        ([P.PASSED, P.PASSED], False, J.COMPLETED),
        ([P.PASSED, P.SCRAPPED, P.PASSED], True, J.COMPLETED),
        ([P.PASSED, P.CANCELLED], True, J.CANCELLED),
        ([P.SCRAPPED, P.SCRAPPED], True, J.CANCELLED),
        ([P.PAUSED, P.ORDERED], False, J.PAUSED),
        ([P.PAUSED, P.QUEUED], False, J.IN_PROGRESS),
        ([P.TO_INSPECT, P.ORDERED], False, J.IN_PROGRESS),
        ([P.PASSED, P.QUEUED], False, J.IN_PROGRESS),
        ([P.SCRAPPED, P.QUEUED, P.ORDERED], False, J.ASSIGNED),
        ([P.ORDERED, P.ORDERED], False, J.SCHEDULED),
    ],
)
def test_the_written_table_of_part_states(
    pieces: list[PieceStatus], *, cancelled: bool, status: JobStatus
) -> None:
    found = derived_status(pieces, quantity=2, scheduled=True, cancelled=cancelled)
    assert found is status

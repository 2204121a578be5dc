"""The saga of one piece: each attempt goes forward step by step, or back and to the next node."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.shared.errors import IllegalTransitionError
from tests.scenario import given

S = DispatchStatus
CHOICE: dict[str, Any] = {
    "attempt": 1,
    "build_id": "b1",
    "node_id": "n1",
    "inventory_id": "lot1",
    "decision": {"fleet_position": 7, "policy": "score/1"},
}
NEXT = {**CHOICE, "attempt": 2, "build_id": "b2", "node_id": "n2"}
STEPS: dict[DispatchStatus, Callable[[Dispatch], None]] = {
    S.NODE_CHOSEN: lambda dispatch: dispatch.choose(**CHOICE),
    S.NODE_RESERVED: lambda dispatch: dispatch.reserve_node(1, epoch=3),
    S.MATERIAL_RESERVED: lambda dispatch: dispatch.reserve_material(1, quantity_mg=11),
    S.SENT: lambda dispatch: dispatch.send(1),
    S.STARTED: lambda dispatch: dispatch.start(1),
}


def requested() -> Dispatch:
    return Dispatch.request(
        UUID(int=6), organisation_id="org", job_id="job", part_id="part", piece=0, work={}
    )


def dispatch_in(status: DispatchStatus) -> Dispatch:
    dispatch = requested()
    if status is S.CLOSED:
        dispatch.close("made")
    elif status is S.REVERTING:
        dispatch = dispatch_in(S.NODE_RESERVED)
        dispatch.revert(1, reason="refused")
    elif status is not S.REQUESTED:
        for step, act in STEPS.items():
            act(dispatch)
            if step is status:
                break
    assert dispatch.status == status
    return dispatch


def test_the_way_of_a_piece_to_a_machine() -> None:
    scenario = given(requested())
    for act in STEPS.values():
        scenario.when(act)
    scenario.when(lambda dispatch: dispatch.close("made")).then(
        (Dispatch.NodeChosen, CHOICE),
        (Dispatch.NodeReserved, {"epoch": 3}),
        (Dispatch.MaterialReserved, {"quantity_mg": 11}),
        (Dispatch.Sent, {}),
        (Dispatch.Started, {}),
        (Dispatch.Closed, {"outcome": "made"}),
    )


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [S.REQUESTED, *STEPS])
def test_a_step_is_taken_in_order_and_a_past_one_is_no_news(
    step: DispatchStatus, status: DispatchStatus
) -> None:
    order = [S.REQUESTED, *STEPS]
    dispatch = dispatch_in(status)
    if order.index(status) >= order.index(step):
        given(dispatch).when(STEPS[step]).then_nothing()
    elif order.index(status) == order.index(step) - 1:
        STEPS[step](dispatch)
        assert dispatch.status == step
    else:
        given(dispatch).when(STEPS[step]).then_refused(IllegalTransitionError)


@pytest.mark.parametrize("status", [s for s in STEPS if s is not S.STARTED])
def test_a_failed_attempt_goes_back_and_the_next_node_is_tried(status: DispatchStatus) -> None:
    dispatch = dispatch_in(status)
    (
        given(dispatch)
        .when(lambda dispatch: dispatch.revert(1, reason="bed not clear"))
        .when(lambda dispatch: dispatch.finish_revert(1))
        .when(lambda dispatch: dispatch.choose(**NEXT))
        .then(
            (Dispatch.Reverting, {"reason": "bed not clear"}),
            (Dispatch.Reverted, {}),
            (Dispatch.NodeChosen, NEXT),
        )
    )
    assert (dispatch.tried, dispatch.node_id) == (["n1"], "n2")


def test_a_begun_attempt_is_never_reverted() -> None:
    given(dispatch_in(S.STARTED)).when(
        lambda dispatch: dispatch.revert(1, reason="late")
    ).then_refused(IllegalTransitionError, match="STARTED")


@pytest.mark.parametrize(
    ("status", "act"),
    [
        (S.REVERTING, lambda dispatch: dispatch.revert(1, reason="again")),
        (S.REQUESTED, lambda dispatch: dispatch.revert(0, reason="nothing")),
        (S.NODE_RESERVED, lambda dispatch: dispatch.revert(2, reason="not this one")),
        (S.NODE_RESERVED, lambda dispatch: dispatch.finish_revert(1)),
        (S.REVERTING, lambda dispatch: dispatch.finish_revert(2)),
        (S.CLOSED, lambda dispatch: dispatch.close("failed")),
        (S.NODE_CHOSEN, lambda dispatch: dispatch.choose(**{**CHOICE, "build_id": "b9"})),
    ],
)
def test_a_late_word_about_an_attempt_is_no_news(
    status: DispatchStatus, act: Callable[[Dispatch], None]
) -> None:
    given(dispatch_in(status)).when(act).then_nothing()


def test_nothing_happens_to_a_reverting_attempt_but_its_end() -> None:
    dispatch = dispatch_in(S.REVERTING)
    given(dispatch).when(lambda dispatch: dispatch.choose(**NEXT)).then_refused(
        IllegalTransitionError
    )


@pytest.mark.parametrize("status", [s for s in S if s is not S.CLOSED])
def test_a_dispatch_can_be_closed_from_everywhere(status: DispatchStatus) -> None:
    given(dispatch_in(status)).when(lambda dispatch: dispatch.close("cancelled")).then(
        (Dispatch.Closed, {"outcome": "cancelled"})
    )


@pytest.mark.parametrize("status", STEPS)
def test_a_step_of_an_attempt_that_was_not_begun_is_refused(status: DispatchStatus) -> None:
    given(dispatch_in(status)).when(lambda dispatch: dispatch.send(2)).then_refused(
        IllegalTransitionError, match="attempt 2"
    )

"""Runs of machines: every step in order, once, and under the epoch that was reserved."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.build.aggregate import Build, RunFigures
from domain.build.states import ENDED, ON_THE_MACHINE, WITHDRAWABLE, BuildStatus
from domain.shared.errors import (
    IllegalTransitionError,
    InvalidInputError,
    NodeUnavailableError,
    StaleEpochError,
)
from tests.scenario import given

S = BuildStatus
PROGRAM = {"digest": "d" * 64, "size": 10, "format": "gcode", "name": "hook.gcode"}
FIGURES = RunFigures(
    duration_ms=60_000, energy_j=900, energy_source="virtual meter", material_mm3=9, material_mg=11
)
NONE = RunFigures(duration_ms=0, energy_j=0, energy_source="none", material_mm3=0, material_mg=0)
STEPS: dict[BuildStatus, Callable[[Build], None]] = {
    S.RESERVED: lambda build: build.reserve(epoch=7, inventory_id="lot"),
    S.SENT: Build.send,
    S.ACCEPTED: lambda build: build.accept(node_id="n1", epoch=7, bridge="local"),
    S.RUNNING: lambda build: build.start(epoch=7),
    S.PAUSED: Build.pause,
}
ENDS: dict[BuildStatus, Callable[[Build], None]] = {
    S.FINISHED: lambda build: build.finish(FIGURES),
    S.FAILED: lambda build: build.fail("jam", native_text="Error:jam", figures=FIGURES),
    S.CANCELLED: lambda build: build.confirm_cancelled(FIGURES),
    S.OUTCOME_UNKNOWN: lambda build: build.lose_outcome("unplugged", facts={"line": 7}),
}


def planned(pieces: int = 1) -> Build:
    return Build.plan(
        UUID(int=3),
        organisation_id="org",
        job_id="job",
        dispatch_id="dispatch",
        attempt=1,
        node_id="n1",
        pieces=[{"part_id": "part", "piece": 0}] * pieces,
        program=PROGRAM,
        material="PLA",
        duration_ms=60_000,
        material_mm3=9,
        material_mg=11,
    )


def build_in(status: BuildStatus) -> Build:
    build = planned()
    if status is S.INSPECTED:
        build = build_in(S.FINISHED)
        build.inspect(passed=True, by="user/otto")
    elif status in ENDS:
        build = build_in(S.RUNNING)
        ENDS[status](build)
    elif status is not S.PLANNED:
        for step, act in STEPS.items():
            act(build)
            if step is status:
                break
    assert build.status == status
    return build


def test_a_run_from_plan_to_verdict() -> None:
    scenario = given(planned())
    for act in STEPS.values():
        scenario.when(act)
    scenario.when(Build.resume).when(lambda build: build.progress(5)).when(ENDS[S.FINISHED])
    build = scenario.when(lambda build: build.inspect(passed=True, by="user/otto")).then(
        (Build.Reserved, {"epoch": 7, "inventory_id": "lot"}),
        (Build.Sent, {}),
        (Build.Accepted, {"bridge": "local"}),
        (Build.Started, {}),
        (Build.Paused, {}),
        (Build.Resumed, {}),
        (Build.Progressed, {"percent": 5}),
        (Build.Finished, FIGURES.fields()),
        (Build.Inspected, {"passed": True, "by": "user/otto"}),
    )
    assert (build.status, build.percent) == ("INSPECTED", 100)


@pytest.mark.parametrize("status", STEPS)
def test_a_step_that_was_taken_is_no_news(status: BuildStatus) -> None:
    given(build_in(status)).when(STEPS[status]).then_nothing()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", S)
def test_a_step_is_taken_in_order_or_not_at_all(step: BuildStatus, status: BuildStatus) -> None:
    order = [S.PLANNED, *STEPS]
    before = order[order.index(step) - 1]
    already = {step, S.PAUSED} if step is S.RUNNING else {step}
    if status == before:
        build = build_in(status)
        STEPS[step](build)
        assert build.status == step
    elif status is S.PLANNED and step in {S.ACCEPTED, S.RUNNING}:
        given(planned()).when(STEPS[step]).then_refused(StaleEpochError, match="epoch 0")
    elif status not in already:
        given(build_in(status)).when(STEPS[step]).then_refused(IllegalTransitionError, match=status)


def test_a_build_holds_one_piece_for_now() -> None:
    for count in (0, 2):
        with pytest.raises(InvalidInputError) as refused:
            planned(count)
        assert refused.value.field == "pieces"


def test_work_for_another_machine_is_not_accepted() -> None:
    given(build_in(S.SENT)).when(
        lambda build: build.accept(node_id="n2", epoch=7, bridge="local")
    ).then_refused(NodeUnavailableError, match="another node")


@pytest.mark.parametrize("epoch", [6, 8])
def test_work_under_another_epoch_is_neither_accepted_nor_started(epoch: int) -> None:
    given(build_in(S.SENT)).when(
        lambda build: build.accept(node_id="n1", epoch=epoch, bridge="local")
    ).then_refused(StaleEpochError, match="epoch 7")
    given(build_in(S.ACCEPTED)).when(lambda build: build.start(epoch=epoch)).then_refused(
        StaleEpochError, match="epoch 7"
    )


def test_work_that_somebody_wants_cancelled_is_not_taken_over_any_more() -> None:
    build = build_in(S.SENT)
    build.request_cancel()
    given(build).when(STEPS[S.ACCEPTED]).then_refused(IllegalTransitionError, match="cancelled")


def test_progress_only_grows_and_only_on_the_machine() -> None:
    build = build_in(S.RUNNING)
    build.progress(40)
    for percent in (40, 35, 0):
        given(build).when(lambda build, percent=percent: build.progress(percent)).then_nothing()
    given(build_in(S.SENT)).when(lambda build: build.progress(5)).then_nothing()
    given(build).when(lambda build: build.progress(101)).then_refused(
        InvalidInputError, field="percent"
    )


@pytest.mark.parametrize("status", sorted(ON_THE_MACHINE | {S.OUTCOME_UNKNOWN}))
def test_a_machine_that_reports_the_end_has_finished(status: BuildStatus) -> None:
    given(build_in(status)).when(ENDS[S.FINISHED]).then((Build.Finished, FIGURES.fields()))


@pytest.mark.parametrize("status", sorted(WITHDRAWABLE))
def test_what_no_machine_had_can_be_withdrawn_and_never_began(status: BuildStatus) -> None:
    withdrawn: dict[str, Any] = {"began": False, **NONE.fields()}
    given(build_in(status)).when(lambda build: build.confirm_cancelled(NONE)).then(
        (Build.Cancelled, withdrawn)
    )
    given(build_in(status)).when(
        lambda build: build.fail("too late", native_text="", figures=NONE)
    ).then((Build.Failed, {"reason": "too late", "native_text": "", **withdrawn}))


def test_a_build_that_was_accepted_but_not_started_never_began() -> None:
    accepted, running = build_in(S.ACCEPTED), build_in(S.RUNNING)
    assert not accepted.began
    assert running.began


@pytest.mark.parametrize("status", sorted(ENDED))
@pytest.mark.parametrize("end", [S.FAILED, S.CANCELLED, S.OUTCOME_UNKNOWN])
def test_an_end_after_the_end_is_no_news(status: BuildStatus, end: BuildStatus) -> None:
    given(build_in(status)).when(ENDS[end]).then_nothing()
    given(build_in(status)).when(Build.request_cancel).then_nothing()


def test_a_finished_build_neither_fails_nor_becomes_unknown() -> None:
    for end in (S.FAILED, S.CANCELLED, S.OUTCOME_UNKNOWN):
        given(build_in(S.FINISHED)).when(ENDS[end]).then_refused(
            IllegalTransitionError, match="FINISHED"
        )


def test_an_unknown_outcome_waits_for_a_person_and_never_resumes() -> None:
    given(build_in(S.RUNNING)).when(ENDS[S.OUTCOME_UNKNOWN]).then(
        (Build.OutcomeBecameUnknown, {"reason": "unplugged", "facts": {"line": 7}})
    )
    unknown = build_in(S.OUTCOME_UNKNOWN)
    given(unknown).when(Build.resume).then_refused(IllegalTransitionError)
    given(unknown).when(lambda build: build.start(epoch=7)).then_refused(IllegalTransitionError)
    given(unknown).when(lambda build: build.inspect(passed=False, by="user/otto")).then(
        (Build.Inspected, {"passed": False, "by": "user/otto"})
    )


def test_a_wish_to_cancel_is_recorded_once() -> None:
    build = given(build_in(S.RUNNING)).when(Build.request_cancel).then((Build.CancelRequested, {}))
    given(build).when(Build.request_cancel).then_nothing()


def test_a_running_build_is_not_inspected() -> None:
    given(build_in(S.RUNNING)).when(
        lambda build: build.inspect(passed=True, by="user/otto")
    ).then_refused(IllegalTransitionError)


@pytest.mark.parametrize("field", ["duration_ms", "energy_j", "material_mm3", "material_mg"])
def test_no_figure_of_a_run_is_negative(field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        RunFigures(**{**FIGURES.fields(), field: -1})
    assert refused.value.field == field

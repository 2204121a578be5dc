"""A job hears of its parts' states, each of them once and in order."""

from commands.builds.messages import AcceptBuild, FailBuild, ReportPaused, ReportResumed, StartBuild
from commands.jobs.messages import FollowPart
from commands.parts.messages import Reason, RejectPart
from commands.processes.outputs import Output
from tests.simulation.shop import BRIDGE
from tests.steps import Steps, commands, validation


def told(outputs: list[Output]) -> list[str]:
    """The states that the job is told."""
    return [c.part_status for c in commands(outputs) if isinstance(c, FollowPart)]


def test_an_ordered_part_is_as_its_job_knows_it_already() -> None:
    steps = Steps()
    steps.ordered()
    assert [e.topic for e in steps.log.events] == ["imewe.job:Submitted", "imewe.part:Ordered"]


def test_a_rejected_part_rejects_its_job() -> None:
    steps = Steps()
    job, part = steps.ordered()
    reason = Reason(code="TOO_LARGE", message="too large", remedy="split it")
    assert told(steps.follow(RejectPart(part_id=part, reasons=[reason]), until="FollowPart")) == [
        "REJECTED"
    ]
    follow = FollowPart(job_id=job, part_id=part, part_status="REJECTED")
    steps.when(follow)
    assert steps.processes.fleet.jobs == {}


def test_a_state_that_comes_back_before_the_job_heard_of_it_is_told_again() -> None:
    steps = Steps()
    node = steps.printer()
    _, part = steps.ordered()
    outputs = steps.follow(validation(part), until="FollowPart")
    assert told(outputs) == ["VALIDATED", "SCHEDULED", "ASSIGNED"]
    build = next(iter(steps.processes.fleet.builds))
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    failed = steps.follow(
        FailBuild(build_id=build, reason="no such file"), by=BRIDGE, until="FollowPart"
    )
    assert told(failed)[0] == "SCHEDULED"


def test_a_paused_build_pauses_its_job_and_a_resumed_one_goes_on() -> None:
    steps = Steps()
    node = steps.printer()
    _, _, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    paused = steps.follow(ReportPaused(build_id=build), by=BRIDGE, until="FollowPart")
    resumed = steps.follow(ReportResumed(build_id=build), by=BRIDGE, until="FollowPart")
    assert (told(paused), told(resumed)) == (["PAUSED"], ["IN_PROGRESS"])

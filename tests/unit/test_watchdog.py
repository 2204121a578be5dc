"""Alarms look whether the state still waits for them; a running build is never moved."""

from datetime import timedelta

from commands.builds.messages import AcceptBuild, FailBuild, RequestBuildCancel, StartBuild
from commands.processes.outputs import Ask, SetTimer
from commands.processes.watchdog import accept_timer, cancel_timer
from tests.simulation.shop import BRIDGE, START
from tests.steps import Steps, commands

NOW = START + timedelta(minutes=5)


def test_a_build_that_nobody_accepted_is_withdrawn() -> None:
    steps = Steps()
    steps.printer()
    _, _, build = steps.sent()
    outputs = steps.processes.due(accept_timer(build), now=NOW)
    assert commands(outputs) == [FailBuild(build_id=build, reason="withdrawn")]


def test_an_alarm_that_rings_again_asks_for_the_very_same() -> None:
    steps = Steps()
    steps.printer()
    _, _, build = steps.sent()
    first = steps.processes.due(accept_timer(build), now=NOW)
    assert steps.processes.due(accept_timer(build), now=NOW + timedelta(hours=1)) == first


def test_an_accepted_build_stays_where_it_is() -> None:
    steps = Steps()
    node = steps.printer()
    _, _, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    assert steps.processes.due(accept_timer(build), now=NOW) == []
    steps.follow(StartBuild(build_id=build, epoch=1), by=BRIDGE)
    assert steps.processes.due(accept_timer(build), now=NOW) == []


def test_a_machine_that_did_not_stop_is_asked_again_until_it_has() -> None:
    steps = Steps()
    node = steps.printer()
    _, _, build = steps.sent()
    steps.when(AcceptBuild(build_id=build, node_id=node, epoch=1), by=BRIDGE)
    steps.when(RequestBuildCancel(build_id=build))
    ask, alarm = steps.processes.due(cancel_timer(build), now=NOW)
    assert ask == Ask(bridge="local", verb="cancel", node_id=node, build_id=build)
    assert isinstance(alarm, SetTimer)
    assert alarm.due == NOW + timedelta(seconds=10)
    steps.follow(FailBuild(build_id=build, reason="stopped by hand"), by=BRIDGE)
    assert steps.processes.due(cancel_timer(build), now=NOW) == []


def test_an_alarm_of_a_build_that_nobody_knows_is_no_news() -> None:
    assert Steps().processes.due(accept_timer("gone"), now=NOW) == []

"""What happens when nothing happens: alarms that look whether the state still waits for them."""

from datetime import datetime, timedelta
from typing import Final

from commands.builds.messages import FailBuild
from commands.fleet.fleet import Fleet
from commands.processes.dispatching import WITHDRAWN
from commands.processes.outputs import Ask, Cause, Output, SetTimer
from domain.build.aggregate import Build
from domain.build.states import ON_THE_MACHINE, BuildStatus
from domain.node.aggregate import Node

ACCEPT_WITHIN: Final = timedelta(seconds=30)
CANCEL_AGAIN_AFTER: Final = timedelta(seconds=10)


def accept_timer(build_id: str) -> str:
    """The alarm of a build that waits to be accepted."""
    return f"accept-{build_id}"


def cancel_timer(build_id: str) -> str:
    """The alarm of a build whose machine was asked to stop."""
    return f"cancel-{build_id}"


def due(fleet: Fleet, timer_id: str, *, now: datetime) -> list[Output]:
    """An alarm went off at ``now``; a late or needless one changes nothing.

    A sent build that nobody accepted is withdrawn: its dispatch then tries the next node, and an
    acceptance that comes later is refused. A running build is never moved.
    """
    wish, _, build_id = timer_id.partition("-")
    build = fleet.builds.get(build_id)
    if build is None:
        return []
    if wish == "accept" and build.status == BuildStatus.SENT:
        return [_withdraw(build, timer_id)]
    if wish == "cancel":
        return ask_cancel(build, fleet.nodes[build.node_id], now=now)
    return []


def ask_cancel(build: Build, node: Node, *, now: datetime) -> list[Output]:
    """Ask the machine to stop the build, and look again later."""
    if not build.cancel_requested or BuildStatus(build.status) not in ON_THE_MACHINE:
        return []
    build_id = str(build.id)
    return [
        Ask(bridge=node.bridge, verb="cancel", node_id=str(node.id), build_id=build_id),
        SetTimer(timer_id=cancel_timer(build_id), due=now + CANCEL_AGAIN_AFTER, lane=build.job_id),
    ]


def _withdraw(build: Build, timer_id: str) -> Output:
    cause = Cause(id=timer_id, organisation_id=build.organisation_id, correlation_id=build.job_id)
    return cause.send(FailBuild(build_id=str(build.id), reason=WITHDRAWN), lane=build.job_id)

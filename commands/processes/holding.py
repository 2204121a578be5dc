"""Pauses the build of a node that a person holds, and lets it go on when the hold ends."""

from commands.fleet.fleet import Fleet
from commands.processes.outputs import Ask, Output
from domain.build.aggregate import Build
from domain.build.states import BuildStatus
from domain.node.aggregate import Node
from domain.shared.recorded import RecordedEvent


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """A hold also catches a build that starts after it."""
    key = str(recorded.aggregate_id)
    match recorded.event:
        case Node.Held():
            return _ask(fleet, fleet.nodes[key], "pause")
        case Node.HoldEnded():
            return _ask(fleet, fleet.nodes[key], "resume")
        case Build.Started() | Build.Resumed():
            node = fleet.nodes[fleet.builds[key].node_id]
            return _ask(fleet, node, "pause") if node.held else []
    return []


def _ask(fleet: Fleet, node: Node, verb: str) -> list[Output]:
    """The machine may not have obeyed the last request yet, so its state does not decide."""
    build = fleet.builds.get(node.build_id)
    if build is None or build.status not in {BuildStatus.RUNNING, BuildStatus.PAUSED}:
        return []
    return [Ask(bridge=node.bridge, verb=verb, node_id=str(node.id), build_id=node.build_id)]

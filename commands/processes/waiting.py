"""Says why pieces wait: no machine of the organisation could take them, for these reasons."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from commands.fleet.fleet import Fleet
from commands.parts.messages import MissMachine
from commands.processes import placing
from commands.processes.outputs import Cause, Output
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.node.states import NodeStatus
from domain.shared.recorded import RecordedEvent

NO_MACHINE: Final = "NO_MACHINE"
MOST_TOLD: Final = 5
"""Pieces that are told why they still wait when a machine has changed: those that have waited
longest. All of a long queue would be a flood, and they hear it when they are next."""


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """After placing has tried: tell whoever still waits, if the reasons are others than before."""
    key = str(recorded.aggregate_id)
    match recorded.event:
        case Dispatch.Requested() | Dispatch.Reverted():
            return _told(fleet, Cause.of(recorded), [key] if key in fleet.waiting else [])
        case Node.Event() | Inventory.Event():
            longest = list(islice(fleet.waiting, MOST_TOLD))
            return _told(fleet, Cause.of(recorded), longest)
    return []


def _told(fleet: Fleet, cause: Cause, dispatches: Iterable[str]) -> list[Output]:
    told: dict[str, Output] = {}
    for dispatch in (fleet.dispatches[each] for each in dispatches):
        part_id = dispatch.part_id
        if part_id in told or fleet.unwanted(dispatch):
            continue
        reasons = _reasons(fleet, dispatch)
        if reasons and sorted(reasons) != fleet.parts[part_id].missing:
            command = MissMachine(part_id=part_id, reasons=reasons)
            told[part_id] = cause.send(command, lane=dispatch.job_id)
    return list(told.values())


def _reasons(fleet: Fleet, dispatch: Dispatch) -> dict[str, int]:
    """How many machines could not, by reason; empty when one could. Other organisations' machines
    are nobody's business."""
    own = [
        node_id
        for node_id, node in fleet.nodes.items()
        if node.organisation_id == dispatch.organisation_id
        and node.status != NodeStatus.DECOMMISSIONED
    ]
    if not own:
        return {NO_MACHINE: 1}
    decision = placing.decide(fleet, dispatch, only=own)
    if decision.node_id:
        return {}
    return {code(name): count for name, count in decision.rejected.items()}


def code(name: str) -> str:
    """A reason of the choice as a code."""
    return name.upper().replace(" ", "_")

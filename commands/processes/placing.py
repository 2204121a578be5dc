"""Gives waiting pieces to nodes: the most urgent first, each to the best node for it."""

from collections.abc import Iterable

import numpy as np

from commands.dispatches.messages import ChooseNode
from commands.fleet.fleet import Fleet
from commands.fleet.table import OUT_OF_SERVICE, wanted
from commands.processes.dispatching import MOST_ATTEMPTS
from commands.processes.outputs import Cause, Output
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.shared.identifiers import build_id
from domain.shared.recorded import RecordedEvent
from ml.scheduling.assignment import Candidates, Decision, Flags, Wanted, capable, choose


def step(fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
    """Try again whatever this event may have made possible."""
    cause, key = Cause.of(recorded), str(recorded.aggregate_id)
    match recorded.event:
        case Dispatch.Requested() | Dispatch.Reverted():
            return place(fleet, cause, [key] if key in fleet.waiting else [])
        case Dispatch.Reverting() | Dispatch.Closed():
            dispatch = fleet.dispatches.get(key)
            return fill(fleet, cause, dispatch.node_id) if dispatch else []
        case (
            Node.MachineDisconnected()
            | Node.Held()
            | Node.EmergencyStopped()
            | Node.MaintenanceBegan()
            | Node.Decommissioned()
        ):
            return place(fleet, cause, _refused_before(fleet))
        case Node.Observed() if fleet.table.out_of_service(key):
            return place(fleet, cause, _refused_before(fleet))
        case Node.Event():
            return fill(fleet, cause, key)
        case Inventory.Event():
            return fill(fleet, cause, fleet.lots[key].node_id)
    return []


def sweep(fleet: Fleet, cause: Cause) -> list[Output]:
    """Try every waiting piece, as a runner does that has just taken over."""
    return place(fleet, cause, fleet.waiting)


def place(fleet: Fleet, cause: Cause, dispatches: Iterable[str]) -> list[Output]:
    """Choose a node for each of these dispatches, as far as there are free ones."""
    chosen: list[Output] = []
    for dispatch_id in _by_urgency(fleet, dispatches):
        if not fleet.table.any_available():
            break
        chosen += _decide(fleet, cause, dispatch_id)
    return chosen


def fill(fleet: Fleet, cause: Cause, node_id: str) -> list[Output]:
    """Find the most urgent work for a node that may have become free."""
    if not fleet.waiting or not fleet.table.available(node_id):
        return []
    hopeless: set[str] = set()
    for dispatch_id in _by_urgency(fleet, fleet.waiting):
        dispatch = fleet.dispatches[dispatch_id]
        if dispatch.part_id in hopeless:
            continue
        if not choose(*_question(fleet, dispatch, only=[node_id])).node_id:
            hopeless.add(dispatch.part_id)
        elif chosen := _decide(fleet, cause, dispatch_id):
            return chosen
    return []


def _decide(fleet: Fleet, cause: Cause, dispatch_id: str) -> list[Output]:
    dispatch = fleet.dispatches[dispatch_id]
    decision = decide(fleet, dispatch)
    work = dispatch.work
    lot = fleet.lot_for(decision.node_id, work["material"], work["material_mg"])
    if not decision.node_id or not lot:
        return []
    attempt = dispatch.attempt + 1
    command = ChooseNode(
        dispatch_id=dispatch_id,
        attempt=attempt,
        build_id=str(build_id(dispatch.id, attempt)),
        node_id=decision.node_id,
        inventory_id=lot,
        decision={"fleet_position": fleet.position, **decision.explained()},
    )
    fleet.claim(decision.node_id, dispatch_id)
    return [cause.send(command, lane=dispatch.job_id)]


def decide(fleet: Fleet, dispatch: Dispatch, *, only: list[str] | None = None) -> Decision:
    """The choice for one dispatch over the fleet or some nodes; nothing is remembered."""
    candidates, asked = _question(fleet, dispatch, only=only)
    tried = {*dispatch.tried, *dispatch.work.get("avoid", ())}
    if tried:
        mask = np.array([node in tried for node in candidates.ids], dtype=np.bool_)
        if (_worth_waiting_for(candidates, asked) & ~mask).any():
            candidates.states["already tried"] = mask
    return choose(candidates, asked)


def _question(
    fleet: Fleet, dispatch: Dispatch, *, only: list[str] | None = None
) -> tuple[Candidates, Wanted]:
    candidates = fleet.table.candidates(
        process=dispatch.work["process"],
        material=dispatch.work["material"],
        organisation_id=dispatch.organisation_id,
        now=fleet.now,
        only=only,
    )
    return candidates, wanted(dispatch.work)


def _worth_waiting_for(candidates: Candidates, asked: Wanted) -> Flags:
    """Nodes in service that could do the work, now or after what they are busy with."""
    able = capable(candidates, asked) & (candidates.free_mg >= asked.material_mg)
    for name in OUT_OF_SERVICE:
        able &= ~candidates.states[name]
    return able


def _refused_before(fleet: Fleet) -> list[str]:
    """Those who wait for a node they have not tried; perhaps there is none left."""
    return [
        dispatch_id
        for dispatch_id in fleet.waiting
        if (found := fleet.dispatches[dispatch_id]).tried or found.work.get("avoid")
    ]


def _by_urgency(fleet: Fleet, dispatches: Iterable[str]) -> list[str]:
    """By the job's priority, then in the order of submission, then by piece; those that
    are given up are left out."""

    def urgency(dispatch_id: str) -> tuple[int, int, int, str]:
        dispatch = fleet.dispatches[dispatch_id]
        job = fleet.jobs.get(dispatch.job_id)
        priority = job.priority if job else 0
        place = fleet.submitted_at.get(dispatch.job_id, 0)
        return (-priority, place, dispatch.piece, dispatch_id)

    return sorted((d for d in dispatches if _may_go_on(fleet, fleet.dispatches[d])), key=urgency)


def _may_go_on(fleet: Fleet, dispatch: Dispatch) -> bool:
    return dispatch.attempt < MOST_ATTEMPTS and not fleet.unwanted(dispatch)

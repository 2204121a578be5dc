"""What the process managers know: the open work and all nodes, folded from the log.

The aggregates themselves are folded (under two microseconds an event), so that the processes see
exactly what the write side sees; what they do not remember stands beside them. A job is forgotten
when it, its dispatches and its builds have ended.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from commands.fleet.table import NodeTable
from domain.build.aggregate import Build
from domain.build.states import ENDED as BUILD_ENDED
from domain.build.states import BuildStatus
from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.job.states import ENDED as JOB_ENDED
from domain.job.states import JobStatus
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.part.states import ENDED as PIECE_ENDED
from domain.part.states import PieceStatus
from domain.shared.aggregate import Created, Fact
from domain.shared.recorded import RecordedEvent

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
HALTED: Final = "MACHINE_HALTED"
"""The bridges' word for a machine that halted itself in the middle of a program."""


class Fleet:
    """The fold. ``position`` is that of the last event folded, ``now`` the time it was recorded.

    ``waiting`` are the dispatches that want a node, ``claims`` the nodes that a decision has given
    away and no reservation holds yet, by node. ``before`` is the state in which the last event
    found its part.
    """

    def __init__(self) -> None:
        self.position = 0
        self.now = BEGINNING
        self.jobs: dict[str, Job] = {}
        self.parts: dict[str, Part] = {}
        self.builds: dict[str, Build] = {}
        self.dispatches: dict[str, Dispatch] = {}
        self.nodes: dict[str, Node] = {}
        self.lots: dict[str, Inventory] = {}
        self.plans: dict[str, Build.Planned] = {}
        self.lot_of_build: dict[str, str] = {}
        self.estimates: dict[str, Part.Validated] = {}
        self.halts: dict[tuple[str, str], int] = {}
        """How often a part's program halted its machine, by part and digest."""
        self.submitted_at: dict[str, int] = {}
        self.stories: dict[str, str] = {}
        """The correlation id of what began each job, by job."""
        self.dispatches_of: dict[str, list[str]] = {}
        self.builds_of: dict[str, list[str]] = {}
        self.lots_of: dict[str, list[str]] = {}
        self.unassessed: dict[str, None] = {}
        self.waiting: dict[str, None] = {}
        self.claims: dict[str, str] = {}
        self.before: JobStatus | None = None
        self.table = NodeTable()
        self._shelves: dict[str, dict[str, Any]] = {
            "job": self.jobs,
            "part": self.parts,
            "build": self.builds,
            "dispatch": self.dispatches,
            "node": self.nodes,
            "inventory": self.lots,
        }
        self._notes: dict[str, Callable[[str, Fact], None]] = {
            "job": self._note_job,
            "part": self._note_part,
            "build": self._note_build,
            "dispatch": self._note_dispatch,
            "node": self._note_node,
            "inventory": self._note_lot,
        }

    def fold(self, recorded: RecordedEvent) -> bool:
        """Remember an event; false when it tells nothing about what is kept here."""
        self.position, self.now = recorded.position, recorded.recorded_at
        shelf = self._shelves.get(recorded.kind)
        if shelf is None:
            return False
        key = str(recorded.aggregate_id)
        known = shelf.get(key)
        if (known is None) != isinstance(recorded.event, Created):
            return False  # of a job that was forgotten
        self.before = known.status if isinstance(known, Part) else None
        shelf[key] = recorded.event.mutate(known)
        if isinstance(recorded.event, Job.Submitted):
            self.stories[key] = recorded.envelope.correlation_id or recorded.event_id
        self._notes[recorded.kind](key, recorded.event)
        return True

    def claim(self, node_id: str, dispatch_id: str) -> None:
        """A decision was made; until the log says more, nobody else gets the node."""
        self.waiting.pop(dispatch_id, None)
        self.claims[node_id] = dispatch_id
        self._refresh(node_id)

    def withdraw_offer(self, dispatch_id: str) -> None:
        """The decision was refused; the dispatch waits again unless it has ended."""
        dispatch = self.dispatches.get(dispatch_id)
        self._unclaim(dispatch_id)
        if dispatch is not None and dispatch.status == DispatchStatus.REQUESTED:
            self.waiting[dispatch_id] = None

    def dispatch_of(self, build_id: str) -> Dispatch | None:
        """The dispatch whose attempt planned a build."""
        plan = self.plans.get(build_id)
        return self.dispatches.get(plan.dispatch_id) if plan else None

    def build_of(self, dispatch: Dispatch) -> Build | None:
        """The build that a dispatch's present attempt has planned."""
        return self.builds.get(dispatch.build_id)

    def inventory_of(self, build_id: str) -> Inventory:
        """The lot that was chosen for a build."""
        return self.lots[self.lot_of_build[build_id]]

    def stopping(self, part_id: str) -> bool:
        """Whether no further piece of the part may begin."""
        part = self.parts.get(part_id)
        return part is None or part.cancel_requested or part.verdict == JobStatus.FAILED

    def lot_for(self, node_id: str, material: str, quantity_mg: int) -> str:
        """The lot with the least free that suffices, so that opened lots are used up."""
        fitting = [
            (lot.accounts["free"], lot_id)
            for lot_id in self.lots_of.get(node_id, ())
            if (lot := self.lots[lot_id]).material == material
            and lot.accounts["free"] >= quantity_mg
        ]
        return min(fitting)[1] if fitting else ""

    def halts_of(self, part: Part) -> int:
        """How many machines the part's program has halted."""
        return self.halts.get((str(part.id), part.program.get("digest", "")), 0)

    def unwanted(self, dispatch: Dispatch) -> bool:
        """Whether nobody wants the dispatch's piece made any more."""
        part = self.parts.get(dispatch.part_id)
        if part is None or self.stopping(dispatch.part_id):
            return True
        return PieceStatus(part.pieces[dispatch.piece]) in PIECE_ENDED

    def _note_job(self, job_id: str, event: Fact) -> None:
        if isinstance(event, Job.Submitted):
            self.submitted_at[job_id] = self.position
        self._forget_when_done(job_id)

    def _note_part(self, part_id: str, event: Fact) -> None:
        part = self.parts[part_id]
        if isinstance(event, Part.Validated):
            self.estimates[part_id] = event
        if part.status is JobStatus.SUBMITTED:
            self.unassessed[part_id] = None
        else:
            self.unassessed.pop(part_id, None)

    def _note_build(self, build_id: str, event: Fact) -> None:
        if isinstance(event, Build.Planned):
            self.plans[build_id] = event
            self.builds_of.setdefault(event.job_id, []).append(build_id)
        elif isinstance(event, Build.Finished | Build.Failed | Build.Cancelled):
            node_id = self.builds[build_id].node_id
            self.table.worked(node_id, seconds=event.duration_ms / 1000, until=self.now)
        if _halted(event):
            build = self.builds[build_id]
            ran = build.pieces[0]["part_id"], build.program["digest"]
            self.halts[ran] = self.halts.get(ran, 0) + 1
        if BuildStatus(self.builds[build_id].status) in BUILD_ENDED:
            self._forget_when_done(self.builds[build_id].job_id)

    def _note_dispatch(self, dispatch_id: str, event: Fact) -> None:
        dispatch = self.dispatches[dispatch_id]
        if isinstance(event, Dispatch.Requested):
            self.dispatches_of.setdefault(dispatch.part_id, []).append(dispatch_id)
        self.waiting.pop(dispatch_id, None)
        if isinstance(event, Dispatch.NodeChosen):
            self.lot_of_build[event.build_id] = event.inventory_id
            self._unclaim(dispatch_id)
            self.claim(dispatch.node_id, dispatch_id)
        elif dispatch.status in {DispatchStatus.REVERTING, DispatchStatus.CLOSED}:
            self._unclaim(dispatch_id)
        elif dispatch.status == DispatchStatus.REQUESTED:
            self.waiting[dispatch_id] = None
        if dispatch.status == DispatchStatus.CLOSED:
            self._forget_when_done(dispatch.job_id)

    def _note_node(self, node_id: str, event: Fact) -> None:
        if isinstance(event, Node.Reserved):
            self.claims.pop(node_id, None)
        self._refresh(node_id)

    def _note_lot(self, lot_id: str, event: Fact) -> None:
        lot = self.lots[lot_id]
        lots = self.lots_of.setdefault(lot.node_id, [])
        if isinstance(event, Inventory.Opened):
            lots.append(lot_id)
        free = [self.lots[each].accounts["free"] for each in lots if self._same(each, lot)]
        self.table.put_stock(lot.node_id, lot.material, max(free))

    def _same(self, lot_id: str, lot: Inventory) -> bool:
        return self.lots[lot_id].material == lot.material

    def _unclaim(self, dispatch_id: str) -> None:
        for node_id in [n for n, claimant in self.claims.items() if claimant == dispatch_id]:
            del self.claims[node_id]
            self._refresh(node_id)

    def _refresh(self, node_id: str) -> None:
        if node := self.nodes.get(node_id):
            self.table.put(node, claimed=node_id in self.claims)

    def _forget_when_done(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if job is None or JobStatus(job.status) not in JOB_ENDED:
            return
        builds = self.builds_of.get(job_id, [])
        dispatches = [d for part in job.parts for d in self.dispatches_of.get(part, ())]
        if any(self.dispatches[d].status != DispatchStatus.CLOSED for d in dispatches):
            return
        if any(BuildStatus(self.builds[b].status) not in BUILD_ENDED for b in builds):
            return
        for build_id in self.builds_of.pop(job_id, ()):
            del self.builds[build_id], self.plans[build_id]
            self.lot_of_build.pop(build_id, None)
        for dispatch_id in dispatches:
            del self.dispatches[dispatch_id]
        for part_id in job.parts:
            self.dispatches_of.pop(part_id, None)
            self.estimates.pop(part_id, None)
            if part := self.parts.pop(part_id, None):
                self.halts.pop((part_id, part.program.get("digest", "")), None)
            self.unassessed.pop(part_id, None)
        del self.jobs[job_id], self.submitted_at[job_id], self.stories[job_id]


def _halted(event: Fact) -> bool:
    match event:
        case Build.Failed(began=True, reason=reason):
            return reason == HALTED
        case Build.OutcomeBecameUnknown(facts=facts):
            return facts.get("reason") == HALTED
    return False

"""Follows a build on its machine and books what came of it: piece, node, material, dispatch."""

from datetime import timedelta
from typing import Any

from commands.builds.messages import ConfirmCancelled, InspectBuild, RequestBuildCancel
from commands.dispatches.messages import RecordSent, RecordStarted
from commands.fleet.fleet import Fleet
from commands.inventories.messages import ConsumeMaterial, ReleaseMaterial, WasteMaterial
from commands.nodes.messages import BeginExecution, EndExecution, ReleaseNode
from commands.parts.messages import (
    CancelPiece,
    MakePiece,
    PassPiece,
    PausePiece,
    ScrapPiece,
    StartPiece,
)
from commands.processes.dispatching import close, revert
from commands.processes.outputs import Cause, ClearTimer, Output, Relay, SetTimer
from commands.processes.watchdog import accept_timer, ask_cancel
from domain.build.aggregate import Build
from domain.build.states import ON_THE_MACHINE, WITHDRAWABLE, BuildStatus
from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.part.aggregate import Part
from domain.part.states import ENDED as PIECE_ENDED
from domain.part.states import PieceStatus
from domain.shared.recorded import RecordedEvent

CANCELLED_AT_MACHINE = "cancelled at the machine"
UNKNOWN_OUTCOME = "its outcome is unknown"
OURSELVES = "service/processes"
PRINTING = "fdm"
CHECKED = frozenset({
    "process", "max_size", "origin", "max_nozzle_c", "max_bed_c", "forbidden_codes", "tools",
    "max_spindle_rpm", "max_power_s",
})  # fmt: skip
"""What of a machine's profile its bridge checks a program against."""


class Executing:
    """``accept_within``: how long a machine's bridge may take to accept a sent build."""

    def __init__(self, *, accept_within: timedelta) -> None:
        self._accept_within = accept_within

    def step(self, fleet: Fleet, recorded: RecordedEvent) -> list[Output]:
        """What follows from a build's event, or from the verdict on its piece."""
        cause, key = Cause.of(recorded), str(recorded.aggregate_id)
        match recorded.event:
            case Build.Event():
                dispatch = fleet.dispatch_of(key)
                if dispatch is None or key not in fleet.builds:
                    return []
                run = _Run(fleet, cause, fleet.builds[key], dispatch)
                if isinstance(recorded.event, Build.Sent):
                    due = recorded.recorded_at + self._accept_within
                    alarm = SetTimer(timer_id=accept_timer(key), due=due, lane=dispatch.job_id)
                    return [*run.sent(), alarm]
                return run.follow(recorded.event)
            case Part.PiecePassed(build_id=build_id, by=by):
                return _judge(fleet, cause, build_id, passed=True, by=by)
            case Part.PieceScrapped(build_id=build_id, by=by):
                return _judge(fleet, cause, build_id, passed=False, by=by)
        return []


class _Run:
    """One build with its piece, and the commands that its events lead to."""

    def __init__(self, fleet: Fleet, cause: Cause, build: Build, dispatch: Dispatch) -> None:
        self._fleet = fleet
        self._cause = cause
        self._build = build
        self._id = str(build.id)
        self._dispatch = dispatch
        self._node = fleet.nodes[build.node_id]
        self._lot = fleet.inventory_of(self._id)
        self._piece: dict[str, Any] = build.pieces[0]
        self._part = fleet.parts[self._piece["part_id"]]

    def follow(self, event: Build.Event) -> list[Output]:
        match event:
            case Build.Accepted():
                return [ClearTimer(timer_id=accept_timer(self._id), lane=self._dispatch.job_id)]
            case Build.Started():
                return self._commands(
                    RecordStarted(dispatch_id=str(self._dispatch.id), attempt=self._attempt),
                    BeginExecution(node_id=str(self._node.id), build_id=self._id),
                    StartPiece(**self._piece, build_id=self._id),
                )
            case Build.Paused():
                return self._commands(PausePiece(**self._piece, build_id=self._id))
            case Build.Resumed():
                return self._commands(StartPiece(**self._piece, build_id=self._id))
            case Build.Finished(material_mg=used):
                return self._finished(used)
            case Build.Failed(began=False, reason=reason):
                return self._not_begun(reason)
            case Build.Failed(reason=reason, material_mg=used):
                scrap = ScrapPiece(**self._piece, reason=reason)
                return self._lost("failed", reason, used, scrap)
            case Build.CancelRequested():
                return self._stop()
            case Build.Cancelled(began=began, material_mg=used):
                return self._cancelled(began, used)
            case Build.OutcomeBecameUnknown():
                return self._unknown()
        return []

    def sent(self) -> list[Output]:
        """Put it on the machine's queue."""
        density = self._lot.density_ug_per_mm3 / 1000
        message = {
            "command": "start",
            "build_id": self._id,
            "node_id": str(self._node.id),
            "epoch": self._build.epoch,
            "organisation_id": self._build.organisation_id,
            "job_id": self._build.job_id,
            "part_id": self._piece["part_id"],
            "artifact": {k: self._build.program[k] for k in ("digest", "size", "format")},
            "material": self._dispatch.work["material"],
            "density_mg_per_mm3": density,
            "estimated_duration_ms": self._dispatch.work["duration_ms"],
            "limits": {k: v for k, v in self._node.profile.items() if k in CHECKED},
            "causation_id": self._cause.id,
            "correlation_id": self._cause.correlation_id,
        }
        record = RecordSent(dispatch_id=str(self._dispatch.id), attempt=self._attempt)
        relay = Relay(node_id=str(self._node.id), build_id=self._id, message=message)
        return [*self._commands(record), relay]

    def _finished(self, used: int) -> list[Output]:
        automatic = self._node.profile.get("inspection") == "automatic"
        follow: list[Any] = [MakePiece(**self._piece, build_id=self._id)]
        if self._judged:
            passed = self._status is PieceStatus.PASSED
            follow = [InspectBuild(build_id=self._id, passed=passed, by=OURSELVES)]
        elif automatic:
            follow.append(PassPiece(**self._piece))
        return [
            *self._commands(self._consume(self._used(used)), self._end("finished"), *follow),
            close(self._cause, self._dispatch, "made"),
        ]

    def _lost(self, outcome: str, reason: str, used: int, piece: Any) -> list[Output]:
        waste = WasteMaterial(
            inventory_id=str(self._lot.id),
            build_id=self._id,
            quantity_mg=self._used(used),
            reason=reason,
        )
        return [
            *self._commands(waste, self._end(outcome), piece),
            close(self._cause, self._dispatch, outcome),
        ]

    def _not_begun(self, reason: str) -> list[Output]:
        """The machine, or we ourselves, gave it up before anything moved: try another node."""
        if self._dispatch.status in {DispatchStatus.REVERTING, DispatchStatus.CLOSED}:
            return []  # who withdrew it gives the rest back
        if self._dispatch.build_id != self._id:
            return []
        return [revert(self._cause, self._dispatch, reason)]

    def _stop(self) -> list[Output]:
        """Withdraw it, or ask the machine; an unknown outcome waits for a person's verdict."""
        status = BuildStatus(self._build.status)
        if status in WITHDRAWABLE:
            return self._commands(ConfirmCancelled(build_id=self._id))
        if status is BuildStatus.OUTCOME_UNKNOWN:
            return []
        return ask_cancel(self._build, self._node, now=self._fleet.now)

    def _cancelled(self, began: bool, used: int) -> list[Output]:
        stopping = self._fleet.stopping(str(self._part.id))
        ended = self._status is PieceStatus.SCRAPPED
        if began:
            piece = (
                CancelPiece(**self._piece)
                if stopping
                else ScrapPiece(**self._piece, reason=CANCELLED_AT_MACHINE)
            )
            return self._lost("cancelled", CANCELLED_AT_MACHINE, used, piece)
        if not stopping and not ended:
            return self._not_begun(CANCELLED_AT_MACHINE)
        return [
            *self._commands(
                *self._released(), ReleaseNode(node_id=str(self._node.id), build_id=self._id)
            ),
            *self._commands(CancelPiece(**self._piece)),
            close(self._cause, self._dispatch, "cancelled"),
        ]

    def _unknown(self) -> list[Output]:
        """A question to a person. The bed counts as taken; the verdict books the material."""
        follow: list[Any] = [MakePiece(**self._piece, build_id=self._id)]
        if self._judged:
            passed = self._status is PieceStatus.PASSED
            follow = [
                InspectBuild(build_id=self._id, passed=passed, by=OURSELVES),
                _used_unseen(self._fleet, self._id, passed=passed),
            ]
        return [
            *self._commands(*follow, self._end("unknown")),
            close(self._cause, self._dispatch, "unknown"),
        ]

    @property
    def _judged(self) -> bool:
        """Whether the verdict on the piece was given before its build ended."""
        return self._status in PIECE_ENDED

    @property
    def _attempt(self) -> int:
        return self._fleet.plans[self._id].attempt

    @property
    def _status(self) -> PieceStatus:
        return PieceStatus(self._part.pieces[self._piece["piece"]])

    def _commands(self, *commands: Any) -> list[Output]:
        lane = self._dispatch.job_id
        return [self._cause.send(command, lane=lane) for command in commands]

    def _end(self, outcome: str) -> EndExecution:
        return EndExecution(node_id=str(self._node.id), build_id=self._id, outcome=outcome)

    def _consume(self, quantity_mg: int) -> ConsumeMaterial:
        return ConsumeMaterial(
            inventory_id=str(self._lot.id), build_id=self._id, quantity_mg=quantity_mg
        )

    def _released(self) -> list[Any]:
        return [ReleaseMaterial(inventory_id=str(self._lot.id), build_id=self._id)]

    def _used(self, reported_mg: int) -> int:
        """A printer knows what it extruded; a mill or a laser uses up the stock it was given."""
        if self._dispatch.work["process"] == PRINTING:
            return reported_mg
        return self._fleet.plans[self._id].material_mg


def _judge(fleet: Fleet, cause: Cause, build_id: str, *, passed: bool, by: str) -> list[Output]:
    """Carry a verdict to the build. A piece given up while it is made stops its machine; one whose
    outcome nobody knew has used what was planned."""
    build = fleet.builds.get(build_id)
    if build is None:
        return []
    status = BuildStatus(build.status)
    commands: list[Any] = []
    if status in {BuildStatus.FINISHED, BuildStatus.OUTCOME_UNKNOWN}:
        commands.append(InspectBuild(build_id=build_id, passed=passed, by=by))
    elif status in WITHDRAWABLE | ON_THE_MACHINE:
        commands.append(RequestBuildCancel(build_id=build_id))
    if status is BuildStatus.OUTCOME_UNKNOWN:
        commands.append(_used_unseen(fleet, build_id, passed=passed))
    return [cause.send(command, lane=build.job_id) for command in commands]


def _used_unseen(fleet: Fleet, build_id: str, *, passed: bool) -> ConsumeMaterial | WasteMaterial:
    lot = str(fleet.inventory_of(build_id).id)
    planned = fleet.plans[build_id].material_mg
    if passed:
        return ConsumeMaterial(inventory_id=lot, build_id=build_id, quantity_mg=planned)
    return WasteMaterial(
        inventory_id=lot, build_id=build_id, quantity_mg=planned, reason=UNKNOWN_OUTCOME
    )

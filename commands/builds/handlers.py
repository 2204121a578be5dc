"""Decisions about runs of machines."""

from dataclasses import asdict
from typing import Any, Protocol

from commands.builds.messages import (
    AcceptBuild,
    ConfirmCancelled,
    CorrectFigures,
    FailBuild,
    FinishBuild,
    InspectBuild,
    PlanBuild,
    ReportOutcomeUnknown,
    ReportPaused,
    ReportProgress,
    ReportResumed,
    RequestBuildCancel,
    ReserveBuild,
    SendBuild,
    StartBuild,
)
from commands.handling import handles
from commands.principal import BRIDGE
from commands.world import World
from domain.build.aggregate import Build, RunFigures
from domain.build.states import ENDED, WITHDRAWABLE, BuildStatus
from domain.inventory.aggregate import Inventory
from domain.inventory.correcting import correct_consumption, holder_of
from domain.inventory.ledger import entries_of, use_of
from domain.node.aggregate import Node
from domain.shared.checks import named
from domain.shared.errors import IllegalTransitionError, NodeUnavailableError, StaleEpochError
from domain.shared.identifiers import build_id


class _Figures(Protocol):
    @property
    def duration_ms(self) -> int: ...
    @property
    def energy_j(self) -> int: ...
    @property
    def energy_source(self) -> str: ...
    @property
    def material_mm3(self) -> int: ...
    @property
    def material_mg(self) -> int: ...


@handles(PlanBuild)
def plan_build(command: PlanBuild, world: World) -> Build:
    return Build.plan(
        world.fresh(Build, build_id(command.dispatch_id, command.attempt)),
        organisation_id=world.home(),
        job_id=command.job_id,
        dispatch_id=command.dispatch_id,
        attempt=command.attempt,
        node_id=command.node_id,
        pieces=[asdict(piece) for piece in command.pieces],
        program=asdict(command.program),
        material=command.material,
        duration_ms=command.duration_ms,
        material_mm3=command.material_mm3,
        material_mg=command.material_mg,
    )


@handles(ReserveBuild)
def reserve_build(command: ReserveBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.reserve(epoch=command.epoch, inventory_id=command.inventory_id)
    return build


@handles(SendBuild)
def send_build(command: SendBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.send()
    return build


def _order(build: Build) -> dict[str, Any]:
    """What the log says that the machine is to do; a work message that differs is refused."""
    digest = build.program["digest"]
    return {"node_id": build.node_id, "epoch": build.epoch, "digest": digest}


@handles(AcceptBuild, tell=_order)
def accept_build(command: AcceptBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    node = world.get(Node, build.node_id)
    if command.epoch < node.epoch:
        raise StaleEpochError(f"Node {node.name} is at epoch {node.epoch}, not {command.epoch}")
    if node.stopped:
        raise NodeUnavailableError(f"Node {node.name} is stopped by an emergency stop")
    build.accept(node_id=command.node_id, epoch=command.epoch, bridge=world.principal.id)
    return build


@handles(StartBuild)
def start_build(command: StartBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.start(epoch=command.epoch)
    return build


@handles(ReportProgress)
def report_progress(command: ReportProgress, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.progress(command.percent)
    return build


@handles(ReportPaused)
def report_paused(command: ReportPaused, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.pause()
    return build


@handles(ReportResumed)
def report_resumed(command: ReportResumed, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.resume()
    return build


@handles(FinishBuild)
def finish_build(command: FinishBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.finish(_figures(command))
    return build


@handles(FailBuild)
def fail_build(command: FailBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    _only_its_bridge_knows(build, world)
    build.fail(command.reason, native_text=command.native_text, figures=_figures(command))
    return build


@handles(RequestBuildCancel)
def request_build_cancel(command: RequestBuildCancel, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.request_cancel()
    return build


@handles(ConfirmCancelled)
def confirm_cancelled(command: ConfirmCancelled, world: World) -> Build:
    build = world.get(Build, command.build_id)
    _only_its_bridge_knows(build, world)
    build.confirm_cancelled(_figures(command))
    return build


@handles(ReportOutcomeUnknown)
def report_outcome_unknown(command: ReportOutcomeUnknown, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.lose_outcome(command.reason, facts=command.facts)
    return build


@handles(InspectBuild)
def inspect_build(command: InspectBuild, world: World) -> Build:
    build = world.get(Build, command.build_id)
    build.inspect(passed=command.passed, by=command.by)
    return build


def _only_its_bridge_knows(build: Build, world: World) -> None:
    """Nobody but the bridge may say how a build ended that the bridge has taken over."""
    withdrawable = BuildStatus(build.status) in WITHDRAWABLE | ENDED
    if world.principal.kind != BRIDGE and not withdrawable:
        raise IllegalTransitionError(
            f"Build {build.id} is {build.status}: only its machine's bridge can end it"
        )


def _figures(command: _Figures) -> RunFigures:
    return RunFigures(
        duration_ms=command.duration_ms,
        energy_j=command.energy_j,
        energy_source=command.energy_source,
        material_mm3=command.material_mm3,
        material_mg=command.material_mg,
    )


@handles(CorrectFigures)
def correct_figures(command: CorrectFigures, world: World) -> Build:
    build = world.get(Build, command.build_id)
    past = world.past(build)
    reason = world.in_own_words(named("reason", command.reason))
    build.correct_figures(
        past, energy_j=command.energy_j, material_mg=command.material_mg, reason=reason
    )
    lot = _lot_used(past, str(build.id), world)
    if build.pending_events and lot is not None and command.material_mg is not None:
        correct_consumption(
            lot,
            world.past(lot),
            str(build.id),
            quantity_mg=command.material_mg,
            reason=reason,
        )
        world.beside.append(lot)
    return build


def _lot_used(past: list[Any], build_id: str, world: World) -> Inventory | None:
    """The lot in whose books the build's material stands now, wherever a person has moved it."""
    held = [fact.inventory_id for fact in past if isinstance(fact, Build.Reserved)]
    place: str | None = held[-1] if held else None
    lot = None
    while place:
        lot = world.get(Inventory, place)
        place = holder_of(world.past(lot), build_id)
    return lot if lot and use_of(entries_of(world.past(lot)), build_id) else None

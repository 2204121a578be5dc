"""One run of one machine over one or more pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.build.states import ENDED, ON_THE_MACHINE, WITHDRAWABLE, BuildStatus
from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import legible, stated, within
from domain.shared.errors import (
    IllegalTransitionError,
    InvalidInputError,
    NodeUnavailableError,
    StaleEpochError,
)
from domain.shared.moments import told

FIGURE_LIMIT = 10**12
"""Thirty years, 277 MWh, a thousand tonnes: a run that says more is misread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What a run took, as its machine and meter reported. ms, J, mm³, mg.

    ``energy_source`` says who measured: ``meter``, ``virtual meter`` or ``none``.
    """

    duration_ms: int
    energy_j: int
    energy_source: str
    material_mm3: int
    material_mg: int

    def __post_init__(self) -> None:
        for field in ("duration_ms", "energy_j", "material_mm3", "material_mg"):
            within(field, self.fields()[field], 0, FIGURE_LIMIT)

    def fields(self) -> dict[str, Any]:
        """As event fields."""
        return {
            "duration_ms": self.duration_ms,
            "energy_j": self.energy_j,
            "energy_source": self.energy_source,
            "material_mm3": self.material_mm3,
            "material_mg": self.material_mg,
        }


class Build(ImeweAggregate):
    """A run of a machine. A retry is a new Build; this one never runs twice."""

    TOPIC = "imewe.build:Build"

    class Planned(Created):
        """A machine was chosen. ``pieces``: [{part_id, piece}]; ``program``: G-code artifact
        {digest, size, format, name}; estimates in ms, mm³ and mg."""

        TOPIC = "imewe.build:Planned"
        organisation_id: str
        job_id: str
        dispatch_id: str
        attempt: int
        node_id: str
        pieces: list[dict[str, Any]]
        program: dict[str, Any]
        material: str
        duration_ms: int
        material_mm3: int
        material_mg: int

    class Reserved(ImeweAggregate.Event):
        """Machine and material are held for it."""

        TOPIC = "imewe.build:Reserved"
        epoch: int
        inventory_id: str

    class Sent(ImeweAggregate.Event):
        """It may be put on the machine's work queue."""

        TOPIC = "imewe.build:Sent"

    class Accepted(ImeweAggregate.Event):
        """The machine's bridge has taken it over; not a byte was written."""

        TOPIC = "imewe.build:Accepted"
        bridge: str

    class Started(ImeweAggregate.Event):
        """The machine acknowledged the first line."""

        TOPIC = "imewe.build:Started"

    class Progressed(ImeweAggregate.Event):
        """Another 5 % of the program was acknowledged by the machine."""

        TOPIC = "imewe.build:Progressed"
        percent: int

    class Paused(ImeweAggregate.Event):
        """The machine says that it holds."""

        TOPIC = "imewe.build:Paused"

    class Resumed(ImeweAggregate.Event):
        """The machine goes on."""

        TOPIC = "imewe.build:Resumed"

    class Finished(ImeweAggregate.Event):
        """The machine reports the end of the program. See ``RunFigures``."""

        TOPIC = "imewe.build:Finished"
        duration_ms: int
        energy_j: int
        energy_source: str
        material_mm3: int
        material_mg: int

    class Failed(ImeweAggregate.Event):
        """The machine reports a fault, or the build was withdrawn before it began."""

        TOPIC = "imewe.build:Failed"
        reason: str
        native_text: str
        began: bool
        duration_ms: int
        energy_j: int
        energy_source: str
        material_mm3: int
        material_mg: int

    class CancelRequested(ImeweAggregate.Event):
        """Somebody wants the machine to stop this build."""

        TOPIC = "imewe.build:CancelRequested"

    class Cancelled(ImeweAggregate.Event):
        """The machine confirmed the stop, or it never began."""

        TOPIC = "imewe.build:Cancelled"
        began: bool
        duration_ms: int
        energy_j: int
        energy_source: str
        material_mm3: int
        material_mg: int

    class OutcomeBecameUnknown(ImeweAggregate.Event):
        """Nobody can tell what the machine did: a question to a person, with the facts."""

        TOPIC = "imewe.build:OutcomeBecameUnknown"
        reason: str
        facts: dict[str, Any]

    class FiguresCorrected(ImeweAggregate.Event):
        """The meter or the machine had reported wrong figures. J and mg; the differences are to
        what counted before. ``effective_from``: when the run ended."""

        TOPIC = "imewe.build:FiguresCorrected"
        energy_j: int
        energy_difference_j: int
        material_mg: int
        material_difference_mg: int
        effective_from: str
        reason: str

    class Inspected(ImeweAggregate.Event):
        """A person, or the node's setting, judged what came out."""

        TOPIC = "imewe.build:Inspected"
        passed: bool
        by: str

    @classmethod
    def plan(
        cls,
        build_id: UUID,
        *,
        organisation_id: str,
        job_id: str,
        dispatch_id: str,
        attempt: int,
        node_id: str,
        pieces: list[dict[str, Any]],
        program: dict[str, Any],
        material: str,
        duration_ms: int,
        material_mm3: int,
        material_mg: int,
    ) -> Self:
        """Plan a run. A build holds one piece for now."""
        if len(pieces) != 1:
            raise InvalidInputError("a build holds exactly one piece for now", field="pieces")
        return cls._create(
            cls.Planned,
            id=build_id,
            organisation_id=organisation_id,
            job_id=job_id,
            dispatch_id=dispatch_id,
            attempt=attempt,
            node_id=node_id,
            pieces=pieces,
            program=program,
            material=material,
            duration_ms=duration_ms,
            material_mm3=material_mm3,
            material_mg=material_mg,
        )

    @event(Planned)
    def __init__(
        self,
        organisation_id: str,
        job_id: str,
        node_id: str,
        pieces: list[dict[str, Any]],
        program: dict[str, Any],
        material_mg: int,
    ) -> None:
        self.organisation_id = organisation_id
        self.job_id = job_id
        self.node_id = node_id
        self.pieces = pieces
        self.program = program
        self.material_mg = material_mg
        self.epoch = 0
        self.status: str = BuildStatus.PLANNED.value
        self.percent = 0
        self.cancel_requested = False

    def reserve(self, *, epoch: int, inventory_id: str) -> None:
        """Machine and material are held under this fencing epoch."""
        if self.status == BuildStatus.RESERVED and self.epoch == epoch:
            return
        self._expect("reserved", BuildStatus.PLANNED)
        self._reserved(epoch=epoch, inventory_id=inventory_id)

    def send(self) -> None:
        """Let the relay put it on the machine's queue."""
        if self.status == BuildStatus.SENT:
            return
        self._expect("sent", BuildStatus.RESERVED)
        self._sent()

    def accept(self, *, node_id: str, epoch: int, bridge: str) -> None:
        """The bridge takes it over. The epoch must be the one reserved.

        A build that somebody wants cancelled is not taken over any more, so that it can be
        withdrawn without asking a machine.
        """
        if node_id != self.node_id:
            raise NodeUnavailableError(f"Build {self.id} was sent to another node")
        if epoch != self.epoch:
            raise StaleEpochError(f"Build {self.id} runs under epoch {self.epoch}, not {epoch}")
        if self.status == BuildStatus.ACCEPTED:
            return
        if self.cancel_requested:
            raise IllegalTransitionError(f"Build {self.id} is being cancelled")
        self._expect("accepted", BuildStatus.SENT)
        self._accepted(bridge=bridge)

    def start(self, *, epoch: int) -> None:
        """The machine acknowledged the first line."""
        if epoch != self.epoch:
            raise StaleEpochError(f"Build {self.id} runs under epoch {self.epoch}, not {epoch}")
        if self.status in {BuildStatus.RUNNING, BuildStatus.PAUSED}:
            return
        self._expect("started", BuildStatus.ACCEPTED)
        self._started()

    def progress(self, percent: int) -> None:
        """A late or repeated figure is no news."""
        within("percent", percent, 0, 100)
        if percent <= self.percent or BuildStatus(self.status) not in ON_THE_MACHINE:
            return
        self._progressed(percent=percent)

    def pause(self) -> None:
        """The machine says that it holds."""
        if self.status == BuildStatus.PAUSED:
            return
        self._expect("paused", BuildStatus.RUNNING)
        self._paused()

    def resume(self) -> None:
        """The machine goes on."""
        if self.status == BuildStatus.RUNNING:
            return
        self._expect("resumed", BuildStatus.PAUSED)
        self._resumed()

    def finish(self, figures: RunFigures) -> None:
        """The machine reports the end of the program."""
        if self.status in {BuildStatus.FINISHED, BuildStatus.INSPECTED}:
            return
        self._expect("finished", *ON_THE_MACHINE, BuildStatus.OUTCOME_UNKNOWN)
        self.trigger_event(Build.Finished, **figures.fields())

    def fail(self, reason: str, *, native_text: str, figures: RunFigures) -> None:
        """The machine reports a fault, or the build is withdrawn before the machine had it."""
        if BuildStatus(self.status) in ENDED:
            return
        self._expect("failed", *WITHDRAWABLE, *ON_THE_MACHINE, BuildStatus.OUTCOME_UNKNOWN)
        self.trigger_event(
            Build.Failed,
            reason=legible(reason),
            native_text=legible(native_text),
            began=self.began,
            **figures.fields(),
        )

    def request_cancel(self) -> None:
        """Ask the machine to stop."""
        if self.cancel_requested or BuildStatus(self.status) in ENDED:
            return
        self._expect("cancelled", *WITHDRAWABLE, *ON_THE_MACHINE, BuildStatus.OUTCOME_UNKNOWN)
        self._cancel_requested()

    def confirm_cancelled(self, figures: RunFigures) -> None:
        """The machine confirmed the stop, or it never had the build."""
        if BuildStatus(self.status) in ENDED:
            return
        self._expect("cancelled", *WITHDRAWABLE, *ON_THE_MACHINE, BuildStatus.OUTCOME_UNKNOWN)
        self.trigger_event(Build.Cancelled, began=self.began, **figures.fields())

    def lose_outcome(self, reason: str, *, facts: dict[str, Any]) -> None:
        """Nobody can tell what the machine did."""
        if self.status == BuildStatus.OUTCOME_UNKNOWN or BuildStatus(self.status) in ENDED:
            return
        self._expect("left unknown", *ON_THE_MACHINE)
        self._outcome_became_unknown(reason=legible(reason), facts=facts)

    def inspect(self, *, passed: bool, by: str) -> None:
        """Record the verdict on what came out."""
        if self.status == BuildStatus.INSPECTED:
            return
        self._expect("inspected", BuildStatus.FINISHED, BuildStatus.OUTCOME_UNKNOWN)
        self._inspected(passed=passed, by=by)

    def correct_figures(
        self,
        past: Sequence[Any],
        *,
        energy_j: int | None,
        material_mg: int | None,
        reason: str,
    ) -> None:
        """The run had used something else than was reported; ``None`` leaves a figure as it is.

        ``past``: all events of this build. Raises ``IllegalTransitionError`` before its end.
        """
        end = next((fact for fact in past if isinstance(fact, _MEASURED)), None)
        if end is None:
            raise IllegalTransitionError(f"Build {self.id} has not ended: it has no figures")
        last = [end, *(fact for fact in past if isinstance(fact, Build.FiguresCorrected))][-1]
        energy = last.energy_j if energy_j is None else energy_j
        material = last.material_mg if material_mg is None else material_mg
        within("energy_j", energy, 0, FIGURE_LIMIT)
        within("material_mg", material, 0, FIGURE_LIMIT)
        words = stated("reason", reason)
        if (energy, material) == (last.energy_j, last.material_mg):
            return
        self.trigger_event(
            Build.FiguresCorrected,
            energy_j=energy,
            energy_difference_j=energy - last.energy_j,
            material_mg=material,
            material_difference_mg=material - last.material_mg,
            effective_from=told(end.timestamp),
            reason=words,
        )

    @property
    def began(self) -> bool:
        """Whether the machine may have moved."""
        return BuildStatus(self.status) not in WITHDRAWABLE | {BuildStatus.ACCEPTED}

    def _expect(self, wish: str, *wanted: BuildStatus) -> None:
        if self.status not in wanted:
            raise IllegalTransitionError(f"Build {self.id} is {self.status} and cannot be {wish}")

    @event(Reserved)
    def _reserved(self, epoch: int, inventory_id: str) -> None:
        self.status = BuildStatus.RESERVED.value
        self.epoch = epoch

    @event(Sent)
    def _sent(self) -> None:
        self.status = BuildStatus.SENT.value

    @event(Accepted)
    def _accepted(self, bridge: str) -> None:
        self.status = BuildStatus.ACCEPTED.value

    @event(Started)
    def _started(self) -> None:
        self.status = BuildStatus.RUNNING.value

    @event(Progressed)
    def _progressed(self, percent: int) -> None:
        self.percent = percent

    @event(Paused)
    def _paused(self) -> None:
        self.status = BuildStatus.PAUSED.value

    @event(Resumed)
    def _resumed(self) -> None:
        self.status = BuildStatus.RUNNING.value

    @event(Finished)
    def _finished(self) -> None:
        self.status = BuildStatus.FINISHED.value
        self.percent = 100

    @event(Failed)
    def _failed(self) -> None:
        self.status = BuildStatus.FAILED.value

    @event(CancelRequested)
    def _cancel_requested(self) -> None:
        self.cancel_requested = True

    @event(Cancelled)
    def _cancelled(self) -> None:
        self.status = BuildStatus.CANCELLED.value

    @event(OutcomeBecameUnknown)
    def _outcome_became_unknown(self, reason: str, facts: dict[str, Any]) -> None:
        self.status = BuildStatus.OUTCOME_UNKNOWN.value

    @event(FiguresCorrected)
    def _figures_corrected(self) -> None:
        """Nothing is decided on figures."""

    @event(Inspected)
    def _inspected(self, passed: bool, by: str) -> None:
        self.status = BuildStatus.INSPECTED.value


_MEASURED = (Build.Finished, Build.Failed, Build.Cancelled)
"""The ends of a run: they carry its figures."""

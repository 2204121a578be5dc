"""An order line: n pieces of one model."""

from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.job.states import ENDED as PART_ENDED
from domain.job.states import JobStatus
from domain.part.states import ENDED, ON_A_MACHINE, PieceStatus, derived_status
from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import remark
from domain.shared.errors import IllegalTransitionError, NotFoundError

SCRAP_LIMIT = 3
"""Pieces that may be lost for each one ordered before the part is given up."""


class Part(ImeweAggregate):
    """One line of a job. A piece is one physical try: a scrapped one is replaced by a new number.

    ``status`` follows from the pieces by the table in ``states``; before validation it is
    SUBMITTED, and REJECTED or FAILED are final.
    """

    TOPIC = "imewe.part:Part"

    class Ordered(Created):
        """The line began to exist."""

        TOPIC = "imewe.part:Ordered"
        organisation_id: str
        job_id: str
        line: int
        name: str
        artifact: dict[str, Any]
        material: str
        quantity: int

    class Validated(ImeweAggregate.Event):
        """It can be made. ``program``: the G-code artifact; estimates are for one piece:
        ms, mm³, mg, and the size in mm. ``reach_mm``: how far along each axis the machine must
        reach; ``nozzle_c``, ``bed_c``: how hot the program heats, in °C."""

        TOPIC = "imewe.part:Validated"
        process: str
        program: dict[str, Any]
        size_mm: list[float]
        reach_mm: list[float]
        nozzle_c: int
        bed_c: int
        duration_ms: int
        material_mm3: int
        material_mg: int
        estimated_by: str

    class Rejected(ImeweAggregate.Event):
        """It cannot be made; each reason has code, message and remedy."""

        TOPIC = "imewe.part:Rejected"
        reasons: list[dict[str, str]]

    class Scheduled(ImeweAggregate.Event):
        """Its pieces wait for machines."""

        TOPIC = "imewe.part:Scheduled"

    class MachineMissing(ImeweAggregate.Event):
        """No machine could take a waiting piece. ``reasons``: how many of the organisation's
        machines could not for each reason; ``NO_MACHINE`` when it has none."""

        TOPIC = "imewe.part:MachineMissing"
        reasons: dict[str, int]

    class PieceQueued(ImeweAggregate.Event):
        """A machine was reserved for the piece."""

        TOPIC = "imewe.part:PieceQueued"
        piece: int
        build_id: str
        node_id: str

    class PieceReturned(ImeweAggregate.Event):
        """The reservation was given up before anything was made."""

        TOPIC = "imewe.part:PieceReturned"
        piece: int
        build_id: str

    class PieceStarted(ImeweAggregate.Event):
        """The machine began it, or goes on after a pause."""

        TOPIC = "imewe.part:PieceStarted"
        piece: int
        build_id: str

    class PiecePaused(ImeweAggregate.Event):
        """The machine holds it."""

        TOPIC = "imewe.part:PiecePaused"
        piece: int
        build_id: str

    class PieceMade(ImeweAggregate.Event):
        """The machine ended, or its outcome is unknown: somebody has to look."""

        TOPIC = "imewe.part:PieceMade"
        piece: int
        build_id: str

    class PiecePassed(ImeweAggregate.Event):
        """It is as ordered."""

        TOPIC = "imewe.part:PiecePassed"
        piece: int
        build_id: str
        by: str

    class PieceScrapped(ImeweAggregate.Event):
        """It is lost. ``replacement`` is the number of the piece made instead, or -1."""

        TOPIC = "imewe.part:PieceScrapped"
        piece: int
        build_id: str
        reason: str
        by: str
        replacement: int

    class PieceCancelled(ImeweAggregate.Event):
        """It will not be made."""

        TOPIC = "imewe.part:PieceCancelled"
        piece: int

    class CancelRequested(ImeweAggregate.Event):
        """No further piece begins; those that no machine has are cancelled by this."""

        TOPIC = "imewe.part:CancelRequested"

    class Failed(ImeweAggregate.Event):
        """Given up after too many lost pieces."""

        TOPIC = "imewe.part:Failed"
        reason: str

    @classmethod
    def order(
        cls,
        part_id: UUID,
        *,
        organisation_id: str,
        job_id: str,
        line: int,
        name: str,
        artifact: dict[str, Any],
        material: str,
        quantity: int,
    ) -> Self:
        """Begin an order line; the job has checked its values."""
        return cls._create(
            cls.Ordered,
            id=part_id,
            organisation_id=organisation_id,
            job_id=job_id,
            line=line,
            name=name,
            artifact=artifact,
            material=material,
            quantity=quantity,
        )

    @event(Ordered)
    def __init__(
        self,
        organisation_id: str,
        job_id: str,
        line: int,
        name: str,
        artifact: dict[str, Any],
        material: str,
        quantity: int,
    ) -> None:
        self.organisation_id = organisation_id
        self.job_id = job_id
        self.line = line
        self.name = name
        self.artifact = artifact
        self.material = material
        self.quantity = quantity
        self.pieces: list[str] = [PieceStatus.ORDERED.value] * quantity
        self.builds: dict[str, int] = {}
        self.program: dict[str, Any] = {}
        self.verdict = ""
        self.scheduled = False
        self.cancel_requested = False
        self.missing: list[str] = []

    @property
    def status(self) -> JobStatus:
        """Derived: the table is in ``states.derived_status``."""
        if self.verdict in {JobStatus.REJECTED, JobStatus.FAILED}:
            return JobStatus(self.verdict)
        if not self.verdict and not self.cancel_requested:
            return JobStatus.SUBMITTED
        return derived_status(
            [PieceStatus(piece) for piece in self.pieces],
            quantity=self.quantity,
            scheduled=self.scheduled,
            cancelled=self.cancel_requested,
        )

    def validate(
        self,
        *,
        process: str,
        program: dict[str, Any],
        size_mm: list[float],
        duration_ms: int,
        material_mm3: int,
        material_mg: int,
        estimated_by: str,
        reach_mm: list[float] | None = None,
        nozzle_c: int = 0,
        bed_c: int = 0,
    ) -> None:
        """Record that it can be made, by which program and at what estimate. A part whose
        ``reach_mm`` is not said needs a machine of its own size."""
        if self.verdict or self.cancel_requested:
            return
        self.trigger_event(
            Part.Validated,
            process=process,
            program=program,
            size_mm=size_mm,
            reach_mm=reach_mm or size_mm,
            nozzle_c=nozzle_c,
            bed_c=bed_c,
            duration_ms=duration_ms,
            material_mm3=material_mm3,
            material_mg=material_mg,
            estimated_by=estimated_by,
        )

    def reject(self, reasons: list[dict[str, str]]) -> None:
        """Record why it cannot be made."""
        if self.verdict or self.cancel_requested:
            return
        self._rejected(reasons=reasons)

    def schedule(self) -> None:
        """Let its pieces wait for machines."""
        if self.scheduled or self.cancel_requested:
            return
        if self.verdict != JobStatus.VALIDATED:
            raise IllegalTransitionError(f"Part {self.id} is {self.status}, not VALIDATED")
        self._scheduled()

    def miss_machine(self, reasons: dict[str, int]) -> None:
        """No machine could take a waiting piece; the same reasons again are no news."""
        if PieceStatus.ORDERED not in self.pieces or self.status in PART_ENDED:
            return
        if sorted(reasons) != self.missing:
            self._machine_missing(reasons=reasons)

    def queue_piece(self, piece: int, *, build_id: str, node_id: str) -> None:
        """A machine was reserved for a piece."""
        if self.builds.get(build_id) == piece and self._piece(piece) in ON_A_MACHINE:
            return
        self._expect(piece, PieceStatus.ORDERED)
        self._piece_queued(piece=piece, build_id=build_id, node_id=node_id)

    def return_piece(self, piece: int, *, build_id: str) -> None:
        """The reservation ended before anything was made."""
        if self._piece(piece) is not PieceStatus.QUEUED or self.builds.get(build_id) != piece:
            return
        if self.cancel_requested:
            self._piece_cancelled(piece=piece)
        else:
            self._piece_returned(piece=piece, build_id=build_id)

    def start_piece(self, piece: int, *, build_id: str) -> None:
        """The machine began or goes on."""
        if self._piece(piece) is PieceStatus.RUNNING:
            return
        self._expect(piece, PieceStatus.QUEUED, PieceStatus.PAUSED)
        self._piece_started(piece=piece, build_id=build_id)

    def pause_piece(self, piece: int, *, build_id: str) -> None:
        """The machine holds it."""
        if self._piece(piece) is PieceStatus.PAUSED:
            return
        self._expect(piece, PieceStatus.RUNNING)
        self._piece_paused(piece=piece, build_id=build_id)

    def make_piece(self, piece: int, *, build_id: str) -> None:
        """The machine ended; the piece waits for inspection."""
        if self._piece(piece) in ENDED | {PieceStatus.TO_INSPECT}:
            return
        self._expect(piece, *ON_A_MACHINE)
        self._piece_made(piece=piece, build_id=build_id)

    def pass_piece(self, piece: int, *, by: str) -> None:
        """It is as ordered."""
        if self._piece(piece) is PieceStatus.PASSED:
            return
        self._expect(piece, PieceStatus.TO_INSPECT)
        self._piece_passed(piece=piece, build_id=self._build_of(piece), by=by)

    def scrap_piece(self, piece: int, *, reason: str, by: str) -> None:
        """It is lost; another is ordered instead unless the part was cancelled or given up."""
        if self._piece(piece) is PieceStatus.SCRAPPED:
            return
        self._expect(piece, PieceStatus.TO_INSPECT, *ON_A_MACHINE)
        lost = self.pieces.count(PieceStatus.SCRAPPED.value) + 1
        replaced = not self.cancel_requested and lost < SCRAP_LIMIT * self.quantity
        self.trigger_event(
            Part.PieceScrapped,
            piece=piece,
            build_id=self._build_of(piece),
            reason=remark("reason", reason),
            by=by,
            replacement=len(self.pieces) if replaced else -1,
        )

    def cancel_piece(self, piece: int) -> None:
        """The machine confirmed that it stopped this piece."""
        if self._piece(piece) in ENDED:
            return
        self._piece_cancelled(piece=piece)

    def cancel(self) -> None:
        """Make no further piece."""
        if self.cancel_requested or self.status in {JobStatus.REJECTED, JobStatus.FAILED}:
            return
        if self.status is JobStatus.COMPLETED:
            raise IllegalTransitionError(f"Part {self.id} is COMPLETED and cannot be cancelled")
        self._cancel_requested()

    def fail(self, reason: str) -> None:
        """Give it up; one that has ended is left as it is."""
        if self.status in PART_ENDED:
            return
        self._failed(reason=reason)

    def _piece(self, piece: int) -> PieceStatus:
        if not 0 <= piece < len(self.pieces):
            raise NotFoundError(f"Part {self.id} has no piece {piece}", field="piece")
        return PieceStatus(self.pieces[piece])

    def _expect(self, piece: int, *wanted: PieceStatus) -> None:
        status = self._piece(piece)
        if status not in wanted:
            raise IllegalTransitionError(
                f"Piece {piece} of part {self.id} is {status}, not {' or '.join(sorted(wanted))}"
            )

    def _build_of(self, piece: int) -> str:
        return next((b for b, made in reversed(self.builds.items()) if made == piece), "")

    @event(Validated)
    def _validated(self, program: dict[str, Any]) -> None:
        self.verdict = JobStatus.VALIDATED.value
        self.program = program

    @event(Rejected)
    def _rejected(self, reasons: list[dict[str, str]]) -> None:
        self.verdict = JobStatus.REJECTED.value

    @event(Scheduled)
    def _scheduled(self) -> None:
        self.scheduled = True

    @event(MachineMissing)
    def _machine_missing(self, reasons: dict[str, int]) -> None:
        self.missing = sorted(reasons)

    @event(PieceQueued)
    def _piece_queued(self, piece: int, build_id: str, node_id: str) -> None:
        self.pieces[piece] = PieceStatus.QUEUED.value
        self.builds[build_id] = piece
        self._forget_what_nobody_misses()

    @event(PieceReturned)
    def _piece_returned(self, piece: int, build_id: str) -> None:
        self.pieces[piece] = PieceStatus.ORDERED.value

    @event(PieceStarted)
    def _piece_started(self, piece: int, build_id: str) -> None:
        self.pieces[piece] = PieceStatus.RUNNING.value

    @event(PiecePaused)
    def _piece_paused(self, piece: int, build_id: str) -> None:
        self.pieces[piece] = PieceStatus.PAUSED.value

    @event(PieceMade)
    def _piece_made(self, piece: int, build_id: str) -> None:
        self.pieces[piece] = PieceStatus.TO_INSPECT.value

    @event(PiecePassed)
    def _piece_passed(self, piece: int, build_id: str, by: str) -> None:
        self.pieces[piece] = PieceStatus.PASSED.value

    @event(PieceScrapped)
    def _piece_scrapped(self, piece: int, replacement: int) -> None:
        self.pieces[piece] = PieceStatus.SCRAPPED.value
        if replacement >= 0:
            self.pieces.append(PieceStatus.ORDERED.value)

    @event(PieceCancelled)
    def _piece_cancelled(self, piece: int) -> None:
        self.pieces[piece] = PieceStatus.CANCELLED.value
        self._forget_what_nobody_misses()

    @event(CancelRequested)
    def _cancel_requested(self) -> None:
        self.cancel_requested = True
        self.pieces = [
            PieceStatus.CANCELLED.value if piece == PieceStatus.ORDERED else piece
            for piece in self.pieces
        ]
        self._forget_what_nobody_misses()

    @event(Failed)
    def _failed(self, reason: str) -> None:
        self.verdict = JobStatus.FAILED.value

    def _forget_what_nobody_misses(self) -> None:
        """Without a waiting piece no machine is missing; one that waits later says so anew."""
        if PieceStatus.ORDERED not in self.pieces:
            self.missing = []

"""Any order of reports about pieces leaves a part that can be explained by its pieces."""

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.job.states import JobStatus
from domain.part.aggregate import SCRAP_LIMIT, Part
from domain.part.states import ENDED, PieceStatus
from tests.machine import AggregateMachine

ARTIFACT = {"digest": "d" * 64, "size": 1, "format": "gcode", "name": "a.gcode"}
PIECES = st.integers(0, 6)
BUILDS = st.sampled_from(["b1", "b2", "b3"])


class PartMachine(AggregateMachine):
    aggregate: Part

    @initialize(quantity=st.integers(1, 3))
    def order(self, quantity: int) -> None:
        self.aggregate = Part.order(
            UUID(int=2),
            organisation_id="org",
            job_id="job",
            line=0,
            name="a",
            artifact=ARTIFACT,
            material="PLA",
            quantity=quantity,
        )
        self.ended: dict[int, str] = {}

    @rule()
    def validate(self) -> None:
        self.attempt(
            lambda part: part.validate(
                process="fdm",
                program=ARTIFACT,
                size_mm=[1.0, 1.0, 1.0],
                duration_ms=1,
                material_mm3=1,
                material_mg=1,
                estimated_by="program",
            )
        )

    @rule()
    def schedule(self) -> None:
        self.attempt(Part.schedule)

    @rule(piece=PIECES, build=BUILDS)
    def queue(self, piece: int, build: str) -> None:
        self.attempt(lambda part: part.queue_piece(piece, build_id=build, node_id="n1"))

    @rule(piece=PIECES, build=BUILDS)
    def give_back(self, piece: int, build: str) -> None:
        self.attempt(lambda part: part.return_piece(piece, build_id=build))

    @rule(piece=PIECES, build=BUILDS)
    def start(self, piece: int, build: str) -> None:
        self.attempt(lambda part: part.start_piece(piece, build_id=build))

    @rule(piece=PIECES, build=BUILDS)
    def pause(self, piece: int, build: str) -> None:
        self.attempt(lambda part: part.pause_piece(piece, build_id=build))

    @rule(piece=PIECES, build=BUILDS)
    def make(self, piece: int, build: str) -> None:
        self.attempt(lambda part: part.make_piece(piece, build_id=build))

    @rule(piece=PIECES, good=st.booleans())
    def judge(self, piece: int, *, good: bool) -> None:
        if good:
            self.attempt(lambda part: part.pass_piece(piece, by="user/otto"))
        else:
            self.attempt(lambda part: part.scrap_piece(piece, reason="bad", by="user/otto"))

    @rule(piece=PIECES)
    def cancel_piece(self, piece: int) -> None:
        self.attempt(lambda part: part.cancel_piece(piece))

    @rule()
    def cancel(self) -> None:
        self.attempt(Part.cancel)

    @invariant()
    def an_ended_piece_stays_as_it_ended(self) -> None:
        for piece, status in self.ended.items():
            assert self.aggregate.pieces[piece] == status
        self.ended = {
            number: status
            for number, status in enumerate(self.aggregate.pieces)
            if PieceStatus(status) in ENDED
        }

    @invariant()
    def there_are_never_more_live_pieces_than_were_ordered(self) -> None:
        pieces = [PieceStatus(status) for status in self.aggregate.pieces]
        live = [piece for piece in pieces if piece is not PieceStatus.SCRAPPED]
        assert len(live) <= self.aggregate.quantity
        assert len(pieces) <= self.aggregate.quantity * (SCRAP_LIMIT + 1)

    @invariant()
    def a_completed_part_has_what_was_ordered(self) -> None:
        completed = self.aggregate.status is JobStatus.COMPLETED
        passed = self.aggregate.pieces.count(PieceStatus.PASSED.value)
        assert not completed or passed == self.aggregate.quantity

    @invariant()
    def a_cancelled_part_leaves_nothing_waiting_for_a_machine(self) -> None:
        waiting = PieceStatus.ORDERED.value in self.aggregate.pieces
        assert not (self.aggregate.cancel_requested and waiting)


TestPart = PartMachine.TestCase

"""The states of pieces, and the table by which a part's state follows from them."""

from collections.abc import Collection
from enum import StrEnum

from domain.job.states import JobStatus


class PieceStatus(StrEnum):
    """Where one physical piece stands."""

    ORDERED = "ORDERED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    TO_INSPECT = "TO_INSPECT"
    PASSED = "PASSED"
    SCRAPPED = "SCRAPPED"
    CANCELLED = "CANCELLED"


ENDED = frozenset({PieceStatus.PASSED, PieceStatus.SCRAPPED, PieceStatus.CANCELLED})
BEGUN = frozenset(
    {PieceStatus.RUNNING, PieceStatus.PAUSED, PieceStatus.TO_INSPECT, PieceStatus.PASSED}
)
ON_A_MACHINE = frozenset({PieceStatus.QUEUED, PieceStatus.RUNNING, PieceStatus.PAUSED})


def derived_status(
    pieces: Collection[PieceStatus], *, quantity: int, scheduled: bool, cancelled: bool
) -> JobStatus:
    """A validated part's state from its pieces. Scrapped pieces count as never made.

    =============================================  ===========
    pieces that were not scrapped                  part
    =============================================  ===========
    ``quantity`` have passed                       COMPLETED
    none is left to make, the part was cancelled   CANCELLED
    those on machines are all paused               PAUSED
    one runs, waits for inspection or has passed   IN_PROGRESS
    one is queued at a machine                     ASSIGNED
    all wait for a machine                         SCHEDULED once scheduled, else VALIDATED
    =============================================  ===========
    """
    live = [piece for piece in pieces if piece is not PieceStatus.SCRAPPED]
    if live.count(PieceStatus.PASSED) >= quantity:
        return JobStatus.COMPLETED
    if cancelled and all(piece in ENDED for piece in live):
        return JobStatus.CANCELLED
    on_machines = [piece for piece in live if piece in ON_A_MACHINE]
    if on_machines and all(piece is PieceStatus.PAUSED for piece in on_machines):
        return JobStatus.PAUSED
    if any(
        piece
        in {PieceStatus.RUNNING, PieceStatus.PAUSED, PieceStatus.TO_INSPECT, PieceStatus.PASSED}
        for piece in live
    ):
        return JobStatus.IN_PROGRESS
    if on_machines:
        return JobStatus.ASSIGNED
    return JobStatus.SCHEDULED if scheduled else JobStatus.VALIDATED

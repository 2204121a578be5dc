"""The saga that brings one piece to a machine, and back when that fails."""

from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.errors import IllegalTransitionError


class DispatchStatus(StrEnum):
    """Where the saga stands."""

    REQUESTED = "REQUESTED"
    NODE_CHOSEN = "NODE_CHOSEN"
    NODE_RESERVED = "NODE_RESERVED"
    MATERIAL_RESERVED = "MATERIAL_RESERVED"
    SENT = "SENT"
    STARTED = "STARTED"
    REVERTING = "REVERTING"
    CLOSED = "CLOSED"


class Dispatch(ImeweAggregate):
    """The way of one piece to a machine. Each attempt plans one Build (id from dispatch and
    attempt); a failed attempt is reverted and the next node is tried."""

    TOPIC = "imewe.dispatch:Dispatch"

    class Requested(Created):
        """A piece wants a machine. ``work``: what the choice needs to know: process, material,
        size_mm, material_mg, duration_ms, nozzle_c, bed_c, program, location."""

        TOPIC = "imewe.dispatch:Requested"
        organisation_id: str
        job_id: str
        part_id: str
        piece: int
        work: dict[str, Any]

    class NodeChosen(ImeweAggregate.Event):
        """The decision with all that explains it: ``fleet_position``, rejected nodes with reasons,
        score terms, runner-up, policy and its version."""

        TOPIC = "imewe.dispatch:NodeChosen"
        attempt: int
        build_id: str
        node_id: str
        inventory_id: str
        decision: dict[str, Any]

    class NodeReserved(ImeweAggregate.Event):
        """The node is held."""

        TOPIC = "imewe.dispatch:NodeReserved"
        epoch: int

    class MaterialReserved(ImeweAggregate.Event):
        """The material is held."""

        TOPIC = "imewe.dispatch:MaterialReserved"
        quantity_mg: int

    class Sent(ImeweAggregate.Event):
        """The build is on the machine's queue."""

        TOPIC = "imewe.dispatch:Sent"

    class Started(ImeweAggregate.Event):
        """The machine began."""

        TOPIC = "imewe.dispatch:Started"

    class Reverting(ImeweAggregate.Event):
        """The attempt failed; what it took is being given back."""

        TOPIC = "imewe.dispatch:Reverting"
        reason: str

    class Reverted(ImeweAggregate.Event):
        """Everything was given back; the piece waits for the next node."""

        TOPIC = "imewe.dispatch:Reverted"

    class Closed(ImeweAggregate.Event):
        """Nothing is left to do. ``outcome``: made, failed, cancelled or unknown."""

        TOPIC = "imewe.dispatch:Closed"
        outcome: str

    @classmethod
    def request(
        cls,
        dispatch_id: UUID,
        *,
        organisation_id: str,
        job_id: str,
        part_id: str,
        piece: int,
        work: dict[str, Any],
    ) -> Self:
        """Ask for a machine for one piece."""
        return cls._create(
            cls.Requested,
            id=dispatch_id,
            organisation_id=organisation_id,
            job_id=job_id,
            part_id=part_id,
            piece=piece,
            work=work,
        )

    @event(Requested)
    def __init__(
        self, organisation_id: str, job_id: str, part_id: str, piece: int, work: dict[str, Any]
    ) -> None:
        self.organisation_id = organisation_id
        self.job_id = job_id
        self.part_id = part_id
        self.piece = piece
        self.work = work
        self.status: str = DispatchStatus.REQUESTED.value
        self.attempt = 0
        self.build_id = ""
        self.node_id = ""
        self.inventory_id = ""
        self.tried: list[str] = []

    def choose(
        self,
        *,
        attempt: int,
        build_id: str,
        node_id: str,
        inventory_id: str,
        decision: dict[str, Any],
    ) -> None:
        """Record the decision for an attempt (counted from 1); a past one is never made again."""
        if attempt <= self.attempt:
            return
        self._expect("given a node", DispatchStatus.REQUESTED)
        self.trigger_event(
            Dispatch.NodeChosen,
            attempt=attempt,
            build_id=build_id,
            node_id=node_id,
            inventory_id=inventory_id,
            decision=decision,
        )

    def reserve_node(self, attempt: int, *, epoch: int) -> None:
        """The node is held for this attempt."""
        if self._passed(attempt, DispatchStatus.NODE_RESERVED):
            return
        self._expect("given its node", DispatchStatus.NODE_CHOSEN)
        self._node_reserved(epoch=epoch)

    def reserve_material(self, attempt: int, *, quantity_mg: int) -> None:
        """The material is held for this attempt."""
        if self._passed(attempt, DispatchStatus.MATERIAL_RESERVED):
            return
        self._expect("given its material", DispatchStatus.NODE_RESERVED)
        self._material_reserved(quantity_mg=quantity_mg)

    def send(self, attempt: int) -> None:
        """The build is on the queue."""
        if self._passed(attempt, DispatchStatus.SENT):
            return
        self._expect("sent", DispatchStatus.MATERIAL_RESERVED)
        self._sent()

    def start(self, attempt: int) -> None:
        """The machine began."""
        if self._passed(attempt, DispatchStatus.STARTED):
            return
        self._expect("started", DispatchStatus.SENT)
        self._started()

    def revert(self, attempt: int, *, reason: str) -> None:
        """Give back what the attempt took. A begun attempt is closed, never reverted."""
        if self.status in {DispatchStatus.REVERTING, DispatchStatus.CLOSED}:
            return
        if attempt != self.attempt or self.status == DispatchStatus.REQUESTED:
            return
        self._expect(
            "reverted",
            DispatchStatus.NODE_CHOSEN,
            DispatchStatus.NODE_RESERVED,
            DispatchStatus.MATERIAL_RESERVED,
            DispatchStatus.SENT,
        )
        self._reverting(reason=reason)

    def finish_revert(self, attempt: int) -> None:
        """Everything was given back."""
        if attempt == self.attempt and self.status == DispatchStatus.REVERTING:
            self._reverted()

    def close(self, outcome: str) -> None:
        """Nothing is left to do."""
        if self.status != DispatchStatus.CLOSED:
            self._closed(outcome=outcome)

    def _passed(self, attempt: int, status: DispatchStatus) -> bool:
        """Whether this step of this attempt, or a later one, is behind us."""
        if attempt > self.attempt:
            raise IllegalTransitionError(f"Dispatch {self.id} has not begun attempt {attempt}")
        if attempt < self.attempt:
            return True
        order = list(DispatchStatus)
        return order.index(DispatchStatus(self.status)) >= order.index(status)

    def _expect(self, wish: str, *wanted: DispatchStatus) -> None:
        if self.status not in wanted:
            raise IllegalTransitionError(
                f"Dispatch {self.id} is {self.status} and cannot be {wish}"
            )

    @event(NodeChosen)
    def _node_chosen(self, attempt: int, build_id: str, node_id: str, inventory_id: str) -> None:
        self.status = DispatchStatus.NODE_CHOSEN.value
        self.attempt = attempt
        self.build_id = build_id
        self.node_id = node_id
        self.inventory_id = inventory_id

    @event(NodeReserved)
    def _node_reserved(self, epoch: int) -> None:
        self.status = DispatchStatus.NODE_RESERVED.value

    @event(MaterialReserved)
    def _material_reserved(self, quantity_mg: int) -> None:
        self.status = DispatchStatus.MATERIAL_RESERVED.value

    @event(Sent)
    def _sent(self) -> None:
        self.status = DispatchStatus.SENT.value

    @event(Started)
    def _started(self) -> None:
        self.status = DispatchStatus.STARTED.value

    @event(Reverting)
    def _reverting(self, reason: str) -> None:
        self.status = DispatchStatus.REVERTING.value

    @event(Reverted)
    def _reverted(self) -> None:
        self.status = DispatchStatus.REQUESTED.value
        self.tried.append(self.node_id)
        self.build_id = ""
        self.node_id = ""
        self.inventory_id = ""

    @event(Closed)
    def _closed(self, outcome: str) -> None:
        self.status = DispatchStatus.CLOSED.value

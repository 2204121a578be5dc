"""The material ledger of one lot at one node."""

from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import named, positive, stated, within
from domain.shared.errors import (
    IllegalTransitionError,
    InsufficientMaterialError,
    InvalidInputError,
)

LIGHTEST, HEAVIEST = 10, 25_000
"""μg/mm³: lighter than any foam, heavier than osmium. What is outside was given in another unit."""
LOT_LIMIT_MG = 10**12
"""A thousand tonnes; sums of it stay exact in every reader's numbers."""
REMEMBERED = 1000
ACCOUNTS = (
    "supplier",
    "free",
    "reserved",
    "consumed",
    "wasted",
    "in_transit",
    "adjusted",
)


class Inventory(ImeweAggregate):
    """Double entries in milligrams: each event moves an amount from one account to another, so
    the accounts always sum to zero. ``free`` and ``reserved`` are never negative."""

    TOPIC = "imewe.inventory:Inventory"

    class Opened(Created):
        """A lot was begun. ``density_ug_per_mm3``: μg per mm³, which is 1000 x g/cm³."""

        TOPIC = "imewe.inventory:Opened"
        organisation_id: str
        node_id: str
        material: str
        lot: str
        density_ug_per_mm3: int

    class Received(ImeweAggregate.Event):
        """supplier → free."""

        TOPIC = "imewe.inventory:Received"
        quantity_mg: int

    class Reserved(ImeweAggregate.Event):
        """free → reserved."""

        TOPIC = "imewe.inventory:Reserved"
        build_id: str
        quantity_mg: int

    class Released(ImeweAggregate.Event):
        """reserved → free."""

        TOPIC = "imewe.inventory:Released"
        build_id: str
        quantity_mg: int

    class Consumed(ImeweAggregate.Event):
        """reserved → consumed, once a build; what was reserved beyond it goes back to free, and
        what was used beyond it comes out of free, the rest out of ``adjusted``."""

        TOPIC = "imewe.inventory:Consumed"
        build_id: str
        quantity_mg: int
        reserved_mg: int
        adjusted_mg: int

    class Wasted(ImeweAggregate.Event):
        """As ``Consumed``, for a build from which nothing came."""

        TOPIC = "imewe.inventory:Wasted"
        build_id: str
        quantity_mg: int
        reserved_mg: int
        adjusted_mg: int
        reason: str

    class Counted(ImeweAggregate.Event):
        """adjusted → free, by what a stock-take found."""

        TOPIC = "imewe.inventory:Counted"
        counted_mg: int
        difference_mg: int

    class Corrected(ImeweAggregate.Event):
        """adjusted → free, by what a person found wrong."""

        TOPIC = "imewe.inventory:Corrected"
        difference_mg: int
        reason: str

    class TransferSent(ImeweAggregate.Event):
        """free → in transit."""

        TOPIC = "imewe.inventory:TransferSent"
        transfer_id: str
        to_inventory_id: str
        quantity_mg: int

    class TransferArrived(ImeweAggregate.Event):
        """in transit → free, at the other lot."""

        TOPIC = "imewe.inventory:TransferArrived"
        transfer_id: str
        from_inventory_id: str
        quantity_mg: int

    class CountCorrected(ImeweAggregate.Event):
        """A stock-take told a wrong number. ``corrects``: the number of the Counted event in this
        ledger; ``bookings``: see ``rebook``."""

        TOPIC = "imewe.inventory:CountCorrected"
        corrects: int
        counted_mg: int
        effective_from: str
        reason: str
        bookings: list[dict[str, Any]]

    class ConsumptionCorrected(ImeweAggregate.Event):
        """A build used another quantity of this lot than was booked."""

        TOPIC = "imewe.inventory:ConsumptionCorrected"
        build_id: str
        quantity_mg: int
        effective_from: str
        reason: str
        bookings: list[dict[str, Any]]

    class ConsumptionHandedOver(ImeweAggregate.Event):
        """What was booked for a build had come from another lot."""

        TOPIC = "imewe.inventory:ConsumptionHandedOver"
        build_id: str
        quantity_mg: int
        to_inventory_id: str
        effective_from: str
        reason: str
        bookings: list[dict[str, Any]]

    class ConsumptionTakenOver(ImeweAggregate.Event):
        """What a build used had come from this lot. ``account``: consumed or wasted."""

        TOPIC = "imewe.inventory:ConsumptionTakenOver"
        build_id: str
        quantity_mg: int
        account: str
        from_inventory_id: str
        effective_from: str
        reason: str
        bookings: list[dict[str, Any]]

    @classmethod
    def open(
        cls,
        inventory_id: UUID,
        *,
        organisation_id: str,
        node_id: str,
        material: str,
        lot: str,
        density_ug_per_mm3: int,
    ) -> Self:
        """Begin the ledger of a lot."""
        return cls._create(
            cls.Opened,
            id=inventory_id,
            organisation_id=organisation_id,
            node_id=node_id,
            material=named("material", material).upper(),
            lot=named("lot", lot),
            density_ug_per_mm3=within("density_ug_per_mm3", density_ug_per_mm3, LIGHTEST, HEAVIEST),
        )

    @event(Opened)
    def __init__(
        self,
        organisation_id: str,
        node_id: str,
        material: str,
        lot: str,
        density_ug_per_mm3: int,
    ) -> None:
        self.organisation_id = organisation_id
        self.node_id = node_id
        self.material = material
        self.lot = lot
        self.density_ug_per_mm3 = density_ug_per_mm3
        self.accounts: dict[str, int] = dict.fromkeys(ACCOUNTS, 0)
        self.reservations: dict[str, int] = {}
        self.settled: list[str] = []
        self.sent: dict[str, list[Any]] = {}
        self.arrived: list[str] = []

    def receive(self, quantity_mg: int) -> None:
        """Material came in."""
        self._received(quantity_mg=self._fitting("quantity_mg", quantity_mg))

    def reserve(self, build_id: str, quantity_mg: int) -> None:
        """Hold material for a build. Raises ``InsufficientMaterialError``."""
        if build_id in self.reservations or build_id in self.settled:
            return
        positive("quantity_mg", quantity_mg)
        self._demand(quantity_mg)
        self._reserved(build_id=build_id, quantity_mg=quantity_mg)

    def release(self, build_id: str) -> None:
        """Give a reservation back."""
        if build_id in self.reservations:
            self._released(build_id=build_id, quantity_mg=self.reservations[build_id])

    def consume(self, build_id: str, quantity_mg: int) -> None:
        """Book what a build used, once."""
        if build_id not in self.settled:
            self.trigger_event(Inventory.Consumed, **self._use(build_id, quantity_mg))

    def waste(self, build_id: str, quantity_mg: int, *, reason: str) -> None:
        """Book what a build used without a result, once."""
        if build_id not in self.settled:
            self.trigger_event(Inventory.Wasted, **self._use(build_id, quantity_mg), reason=reason)

    def count(self, counted_mg: int) -> None:
        """Book a stock-take: what lies there, reserved amounts included."""
        if counted_mg < self.accounts["reserved"]:
            raise InvalidInputError(
                f"{self.accounts['reserved']} mg are reserved; release them first",
                field="counted_mg",
            )
        difference = counted_mg - self.accounts["free"] - self.accounts["reserved"]
        within("counted_mg", counted_mg, 0, LOT_LIMIT_MG)
        if difference:
            self._counted(counted_mg=counted_mg, difference_mg=difference)

    def correct(self, difference_mg: int, *, reason: str) -> None:
        """Book a correction; the stock may not become negative."""
        if difference_mg < 0:
            self._demand(-difference_mg)
        if difference_mg > 0:
            self._fitting("difference_mg", difference_mg)
        if difference_mg:
            self._corrected(difference_mg=difference_mg, reason=stated("reason", reason))

    def send_transfer(self, transfer_id: str, *, to_inventory_id: str, quantity_mg: int) -> None:
        """First step of a transfer: out of this lot."""
        if transfer_id in self.sent:
            return
        if to_inventory_id == str(self.id):
            raise InvalidInputError("a lot cannot be transferred to itself", field="to")
        self._demand(positive("quantity_mg", quantity_mg))
        self._transfer_sent(
            transfer_id=transfer_id, to_inventory_id=to_inventory_id, quantity_mg=quantity_mg
        )

    def receive_transfer(
        self, transfer_id: str, *, from_inventory_id: str, quantity_mg: int
    ) -> None:
        """Second step of a transfer: into this lot. The sender's ``confirm_sent`` comes before."""
        if _passage(transfer_id, from_inventory_id) not in self.arrived:
            self._transfer_arrived(
                transfer_id=transfer_id,
                from_inventory_id=from_inventory_id,
                quantity_mg=self._fitting("quantity_mg", quantity_mg),
            )

    def confirm_sent(self, transfer_id: str, *, to_inventory_id: str, quantity_mg: int) -> None:
        """Only what left this lot arrives at another. Raises ``InvalidInputError``."""
        if transfer_id not in self.sent:
            raise InvalidInputError("no such transfer was sent", field="transfer_id")
        target, quantity = self.sent[transfer_id]
        if target != to_inventory_id:
            raise InvalidInputError("the transfer was sent to another lot", field="inventory_id")
        if quantity != quantity_mg:
            raise InvalidInputError(
                f"{quantity} mg were sent; correct the books for what was lost on the way",
                field="quantity_mg",
            )

    def rebook(self, fact: type[ImeweAggregate.Event], **told: Any) -> None:
        """Record a correction that ``domain.inventory.correcting`` has decided.

        Its ``bookings`` are what it moves, and at which moments of the past: each is
        {at, account: mg ...} and sums to zero.
        """
        self.trigger_event(fact, **told)

    def _fitting(self, field: str, quantity_mg: int) -> int:
        """A positive quantity that the lot takes."""
        positive(field, quantity_mg)
        room = LOT_LIMIT_MG - self.accounts["free"] - self.accounts["reserved"]
        if quantity_mg > room:
            raise InvalidInputError(
                f"a lot holds at most {LOT_LIMIT_MG} mg; {max(0, room)} mg still fit", field=field
            )
        return quantity_mg

    def _demand(self, quantity_mg: int) -> None:
        free = self.accounts["free"]
        if quantity_mg > free:
            raise InsufficientMaterialError(
                f"{quantity_mg} mg of {self.material} asked for, {free} mg are free in lot"
                f" {self.lot}",
                remedy="receive material or choose another lot",
            )

    def _use(self, build_id: str, quantity_mg: int) -> dict[str, Any]:
        if quantity_mg < 0:
            raise InvalidInputError("a quantity cannot be negative", field="quantity_mg")
        if build_id not in self.reservations:
            raise IllegalTransitionError(f"Build {build_id} holds nothing of lot {self.lot}")
        reserved = self.reservations[build_id]
        beyond = max(0, quantity_mg - reserved - self.accounts["free"])
        return {
            "build_id": build_id,
            "quantity_mg": quantity_mg,
            "reserved_mg": reserved,
            "adjusted_mg": beyond,
        }

    def _move(self, source: str, target: str, quantity_mg: int) -> None:
        self.accounts[source] -= quantity_mg
        self.accounts[target] += quantity_mg

    def _settle(
        self, account: str, build_id: str, quantity_mg: int, reserved_mg: int, adjusted_mg: int
    ) -> None:
        self._move("reserved", "free", reserved_mg)
        self._move("adjusted", "free", adjusted_mg)
        self._move("free", account, quantity_mg)
        self.reservations.pop(build_id, None)
        self.settled = [*self.settled[1 - REMEMBERED :], build_id]

    def _book(self, bookings: list[dict[str, Any]]) -> None:
        for booking in bookings:
            for account in ACCOUNTS:
                self.accounts[account] += booking.get(account, 0)

    @event(CountCorrected)
    def _count_corrected(self, bookings: list[dict[str, Any]]) -> None:
        self._book(bookings)

    @event(ConsumptionCorrected)
    def _consumption_corrected(self, bookings: list[dict[str, Any]]) -> None:
        self._book(bookings)

    @event(ConsumptionHandedOver)
    def _consumption_handed_over(self, bookings: list[dict[str, Any]]) -> None:
        self._book(bookings)

    @event(ConsumptionTakenOver)
    def _consumption_taken_over(self, build_id: str, bookings: list[dict[str, Any]]) -> None:
        self._book(bookings)
        if build_id not in self.settled:
            self.settled = [*self.settled[1 - REMEMBERED :], build_id]

    @event(Received)
    def _received(self, quantity_mg: int) -> None:
        self._move("supplier", "free", quantity_mg)

    @event(Reserved)
    def _reserved(self, build_id: str, quantity_mg: int) -> None:
        self._move("free", "reserved", quantity_mg)
        self.reservations[build_id] = quantity_mg

    @event(Released)
    def _released(self, build_id: str, quantity_mg: int) -> None:
        self._move("reserved", "free", quantity_mg)
        self.reservations.pop(build_id, None)

    @event(Consumed)
    def _consumed(
        self, build_id: str, quantity_mg: int, reserved_mg: int, adjusted_mg: int
    ) -> None:
        self._settle("consumed", build_id, quantity_mg, reserved_mg, adjusted_mg)

    @event(Wasted)
    def _wasted(self, build_id: str, quantity_mg: int, reserved_mg: int, adjusted_mg: int) -> None:
        self._settle("wasted", build_id, quantity_mg, reserved_mg, adjusted_mg)

    @event(Counted)
    def _counted(self, counted_mg: int, difference_mg: int) -> None:
        self._move("adjusted", "free", difference_mg)

    @event(Corrected)
    def _corrected(self, difference_mg: int, reason: str) -> None:
        self._move("adjusted", "free", difference_mg)

    @event(TransferSent)
    def _transfer_sent(self, transfer_id: str, to_inventory_id: str, quantity_mg: int) -> None:
        self._move("free", "in_transit", quantity_mg)
        self.sent[transfer_id] = [to_inventory_id, quantity_mg]
        if len(self.sent) > REMEMBERED:
            del self.sent[next(iter(self.sent))]

    @event(TransferArrived)
    def _transfer_arrived(self, transfer_id: str, from_inventory_id: str, quantity_mg: int) -> None:
        self._move("in_transit", "free", quantity_mg)
        passage = _passage(transfer_id, from_inventory_id)
        self.arrived = [*self.arrived[1 - REMEMBERED :], passage]


def _passage(transfer_id: str, from_inventory_id: str) -> str:
    """Each sender names its own transfers."""
    return f"{from_inventory_id} {transfer_id}"

"""Folds the material ledgers: balances of each lot, and every booking."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.inventory.aggregate import Inventory
from domain.shared.moments import heard
from domain.shared.recorded import RecordedEvent
from projections.inventory.rows import ACCOUNTS, BookingRow, EntryRow, LotRow
from projections.projection import Projection, topics_of
from projections.replacing import replace
from projections.rows import Need, Rows
from projections.table import Past, Table

LOTS = Table(
    LotRow,
    "lots",
    ("id",),
    indexes=("organisation_id, created", "node_id"),
    fixed=("organisation_id", "node_id", "material", "lot", "density_ug_per_mm3", "created"),
)
ENTRIES = Table(
    EntryRow,
    "entries",
    ("position",),
    indexes=("lot_id, position", "build_id"),
    past=Past.GROWS,
)
BOOKINGS = Table(
    BookingRow,
    "bookings",
    ("position", "number"),
    indexes=("lot_id, effective_from", "organisation_id, effective_from"),
    past=Past.GROWS,
)


class InventoryLedger(Projection):
    """Announces ids of lots and of the nodes they lie at."""

    name = "inventory"
    version = 2
    topics = topics_of(Inventory)
    tables = (LOTS, ENTRIES, BOOKINGS)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """The lot."""
        return [Need(LOTS, ("id",), (str(recorded.aggregate_id),))]

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Move the amounts and note the booking."""
        event = recorded.event
        if isinstance(event, Inventory.Opened):
            lot = _opened(event, recorded)
        else:
            before = rows.get(LOTS, str(recorded.aggregate_id))
            lot = replace(
                before,
                position=recorded.position,
                version=recorded.version,
                **_moved(before, event),
            )
            for booking in _bookings(before, lot, recorded):
                rows.append(BOOKINGS, booking)
        rows.put(LOTS, lot)
        rows.append(ENTRIES, _entry(lot, recorded))
        rows.touch(lot.id)
        rows.touch(lot.node_id)


def _moved(lot: LotRow, event: Any) -> dict[str, Any]:
    """The balances after an event, as ``Inventory`` moves them."""
    match event:
        case Inventory.Received():
            return _move(lot, "supplier", "free", event.quantity_mg)
        case Inventory.Reserved():
            return _move(lot, "free", "reserved", event.quantity_mg)
        case Inventory.Released():
            return _move(lot, "reserved", "free", event.quantity_mg)
        case Inventory.Consumed():
            return _settled(lot, "consumed_mg", event)
        case Inventory.Wasted():
            return _settled(lot, "wasted_mg", event)
        case Inventory.Counted() | Inventory.Corrected():
            return _move(lot, "adjusted", "free", event.difference_mg)
        case Inventory.TransferSent():
            return _move(lot, "free", "in_transit", event.quantity_mg)
        case Inventory.TransferArrived():
            return _move(lot, "in_transit", "free", event.quantity_mg)
        case _:
            return _rebooked(lot, vars(event).get("bookings", []))


def _rebooked(lot: LotRow, bookings: list[dict[str, Any]]) -> dict[str, Any]:
    """The balances after a correction, whenever its bookings count."""
    return {
        name: getattr(lot, name) + sum(each.get(name.removesuffix("_mg"), 0) for each in bookings)
        for name in ACCOUNTS
    }


def _bookings(before: LotRow, lot: LotRow, recorded: RecordedEvent) -> Iterable[BookingRow]:
    """An ordinary event's difference at its moment; a correction's at theirs."""
    at = recorded.envelope.occurred_at
    found = vars(recorded.event).get("bookings")
    if found is None:
        moved = {name: getattr(lot, name) - getattr(before, name) for name in ACCOUNTS}
        yield _booking(0, at, moved, recorded, lot)
        return
    for number, each in enumerate(found):
        moved = {name: each.get(name.removesuffix("_mg"), 0) for name in ACCOUNTS}
        yield _booking(number, heard(each["at"], field="at"), moved, recorded, lot)


def _booking(
    number: int,
    effective_from: datetime,
    moved: dict[str, int],
    recorded: RecordedEvent,
    lot: LotRow,
) -> BookingRow:
    return BookingRow(
        position=recorded.position,
        number=number,
        organisation_id=lot.organisation_id,
        lot_id=lot.id,
        event_id=recorded.event_id,
        what=type(recorded.event).__qualname__,
        build_id=vars(recorded.event).get("build_id", ""),
        at=recorded.envelope.occurred_at,
        effective_from=effective_from,
        **moved,
    )


def _move(lot: LotRow, source: str, target: str, quantity_mg: int) -> dict[str, Any]:
    balances = {name: getattr(lot, name) for name in (f"{source}_mg", f"{target}_mg")}
    balances[f"{source}_mg"] -= quantity_mg
    balances[f"{target}_mg"] += quantity_mg
    return balances


def _settled(lot: LotRow, account: str, event: Any) -> dict[str, Any]:
    """Reserved and adjusted amounts go to free, what was used goes from there."""
    back = event.reserved_mg + event.adjusted_mg
    return {
        "reserved_mg": lot.reserved_mg - event.reserved_mg,
        "adjusted_mg": lot.adjusted_mg - event.adjusted_mg,
        "free_mg": lot.free_mg + back - event.quantity_mg,
        account: getattr(lot, account) + event.quantity_mg,
    }


def _entry(lot: LotRow, recorded: RecordedEvent) -> EntryRow:
    told = vars(recorded.event)
    actor = recorded.envelope.actor
    at = recorded.envelope.occurred_at
    effective_from = told.get("effective_from")
    return EntryRow(
        lot_id=lot.id,
        position=recorded.position,
        at=at,
        effective_from=heard(effective_from, field="effective_from") if effective_from else at,
        what=type(recorded.event).__qualname__,
        organisation_id=lot.organisation_id,
        quantity_mg=_quantity(told),
        build_id=told.get("build_id", ""),
        reason=told.get("reason", ""),
        free_mg=lot.free_mg,
        reserved_mg=lot.reserved_mg,
        actor=f"{actor.kind}/{actor.id}",
    )


def _quantity(told: dict[str, Any]) -> int:
    """What was booked, found missing or found too much."""
    for name in ("quantity_mg", "difference_mg"):
        if name in told:
            return int(told[name])
    return sum(-each.get("adjusted", 0) for each in told.get("bookings", []))


def _opened(event: Inventory.Opened, recorded: RecordedEvent) -> LotRow:
    return LotRow(
        id=str(recorded.aggregate_id),
        organisation_id=event.organisation_id,
        node_id=event.node_id,
        material=event.material,
        lot=event.lot,
        density_ug_per_mm3=event.density_ug_per_mm3,
        supplier_mg=0,
        free_mg=0,
        reserved_mg=0,
        consumed_mg=0,
        wasted_mg=0,
        in_transit_mg=0,
        adjusted_mg=0,
        created=recorded.position,
        position=recorded.position,
        version=recorded.version,
    )

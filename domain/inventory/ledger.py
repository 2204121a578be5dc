"""A lot's books as they count now: every fact at the moment from which it counts.

Corrections change facts, and balances follow from facts alone. A stock-take is absolute: whatever
is corrected before it, it still found what it found, and only the difference that it books follows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.inventory.aggregate import ACCOUNTS, Inventory
from domain.shared.errors import HistoryNegativeError
from domain.shared.moments import heard, told


class What(StrEnum):
    """Kinds of facts."""

    RECEIVED = "received"
    RESERVED = "reserved"
    RELEASED = "released"
    USED = "used"
    COUNTED = "counted"
    ADJUSTED = "adjusted"
    SENT = "sent"
    ARRIVED = "arrived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A fact. ``at``: from when it counts; ``version``: the event that first told it.

    ``account`` says where a use goes. A ``covered`` use was assigned by a person and must have been
    there; what a machine reported beyond the stock is booked as adjusted instead.
    """

    at: datetime
    version: int
    what: What
    quantity_mg: int
    build_id: str = ""
    account: str = ""
    covered: bool = False
    elsewhere: bool = False
    """A use that was handed over to another lot; what was reserved for it came back here."""


@dataclass(slots=True)
class Books:
    """Balances while the facts are walked through, and what each fact moved."""

    accounts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    held: dict[str, int] = field(default_factory=dict)
    moved: dict[int, dict[str, int]] = field(default_factory=dict)
    """By the entry's version: account → mg, without zeros."""

    def take(self, entry: Entry) -> None:
        """Let one fact count. Raises ``HistoryNegativeError``."""
        before = dict(self.accounts)
        self._apply(entry)
        if self.accounts["free"] < 0:
            raise HistoryNegativeError(
                f"at {told(entry.at)} the lot would lack {-self.accounts['free']} mg",
                remedy="correct what was booked around that moment first",
            )
        moved = {name: self.accounts[name] - before[name] for name in ACCOUNTS}
        self.moved[entry.version] = {name: mg for name, mg in moved.items() if mg}

    def _apply(self, entry: Entry) -> None:
        quantity = entry.quantity_mg
        match entry.what:
            case What.RECEIVED:
                self._move("supplier", "free", quantity)
            case What.RESERVED:
                self._move("free", "reserved", quantity)
                self.held[entry.build_id] = quantity
            case What.RELEASED:
                self._move("reserved", "free", self.held.pop(entry.build_id, 0))
            case What.USED:
                self._use(entry)
            case What.COUNTED:
                found = quantity - self.accounts["free"] - self.accounts["reserved"]
                self._move("adjusted", "free", found)
            case What.ADJUSTED:
                self._move("adjusted", "free", quantity)
            case What.SENT:
                self._move("free", "in_transit", quantity)
            case What.ARRIVED:
                self._move("in_transit", "free", quantity)

    def _use(self, entry: Entry) -> None:
        self._move("reserved", "free", self.held.pop(entry.build_id, 0))
        if not entry.covered:
            beyond = max(0, entry.quantity_mg - self.accounts["free"])
            self._move("adjusted", "free", beyond)
        self._move("free", entry.account, entry.quantity_mg)

    def _move(self, source: str, target: str, quantity_mg: int) -> None:
        self.accounts[source] -= quantity_mg
        self.accounts[target] += quantity_mg


def balanced(entries: Iterable[Entry]) -> Books:
    """The books that follow from facts. Raises ``HistoryNegativeError``, naming the moment."""
    books = Books()
    for entry in entries:
        books.take(entry)
    return books


def bookings(before: Sequence[Entry], after: Sequence[Entry]) -> list[dict[str, Any]]:
    """What a correction moves, by the moments at which it counts.

    Raises ``HistoryNegativeError`` for facts that cannot have been.
    """
    was, now = balanced(before).moved, balanced(after).moved
    found = []
    for entry in after:
        old, new = was.get(entry.version, {}), now[entry.version]
        shift = {name: new.get(name, 0) - old.get(name, 0) for name in ACCOUNTS}
        if any(shift.values()):
            changed = {name: mg for name, mg in shift.items() if mg}
            found.append({"at": told(entry.at), **changed})
    return found


def entries_of(past: Iterable[Any]) -> list[Entry]:
    """The facts as they count now, in the order in which they count, from all events of a lot."""
    entries: list[Entry] = []
    for fact in past:
        entries = _told(entries, fact)
    return entries


def use_of(entries: Iterable[Entry], build_id: str) -> Entry | None:
    """What a build used of the lot, as it counts now."""
    for entry in entries:
        if entry.what is What.USED and entry.build_id == build_id and not entry.elsewhere:
            return entry
    return None


def changed(
    entries: Sequence[Entry], version: int, quantity_mg: int, *, elsewhere: bool = False
) -> list[Entry]:
    """The facts with another quantity in one of them."""
    return [
        replace(entry, quantity_mg=quantity_mg, elsewhere=elsewhere)
        if entry.version == version
        else entry
        for entry in entries
    ]


def with_use(entries: Sequence[Entry], use: Entry) -> list[Entry]:
    """The facts with a use more: in its old place if the lot had it once, else by its time."""
    for known in entries:
        if known.what is What.USED and known.build_id == use.build_id:
            return changed(entries, known.version, use.quantity_mg)
    place = next((i for i, each in enumerate(entries) if each.at > use.at), len(entries))
    return [*entries[:place], use, *entries[place:]]


def without_use(entries: Sequence[Entry], build_id: str) -> list[Entry]:
    """The facts when what a build used came from another lot."""
    use = use_of(entries, build_id)
    return changed(entries, use.version, 0, elsewhere=True) if use else list(entries)


def with_quantity(entries: Sequence[Entry], build_id: str, quantity_mg: int) -> list[Entry]:
    """The facts when a build used another quantity."""
    use = use_of(entries, build_id)
    return changed(entries, use.version, quantity_mg) if use else list(entries)


def _told(entries: list[Entry], fact: Any) -> list[Entry]:
    match fact:
        case Inventory.CountCorrected():
            return changed(entries, fact.corrects, fact.counted_mg)
        case Inventory.ConsumptionCorrected():
            return with_quantity(entries, fact.build_id, fact.quantity_mg)
        case Inventory.ConsumptionHandedOver():
            return without_use(entries, fact.build_id)
        case Inventory.ConsumptionTakenOver():
            return with_use(entries, taken_over(fact.originator_version, vars(fact)))
    entry = _entry(fact)
    return [*entries, entry] if entry else entries


def taken_over(version: int, fields: dict[str, Any]) -> Entry:
    """The use that a person assigned to a lot, from the fields of ``ConsumptionTakenOver``."""
    return Entry(
        at=heard(fields["effective_from"], field="effective_from"),
        version=version,
        what=What.USED,
        quantity_mg=fields["quantity_mg"],
        build_id=fields["build_id"],
        account=fields["account"],
        covered=True,
    )


_KINDS: dict[type[Any], tuple[What, str, str]] = {
    Inventory.Received: (What.RECEIVED, "quantity_mg", ""),
    Inventory.Reserved: (What.RESERVED, "quantity_mg", ""),
    Inventory.Released: (What.RELEASED, "quantity_mg", ""),
    Inventory.Consumed: (What.USED, "quantity_mg", "consumed"),
    Inventory.Wasted: (What.USED, "quantity_mg", "wasted"),
    Inventory.Counted: (What.COUNTED, "counted_mg", ""),
    Inventory.Corrected: (What.ADJUSTED, "difference_mg", ""),
    Inventory.TransferSent: (What.SENT, "quantity_mg", ""),
    Inventory.TransferArrived: (What.ARRIVED, "quantity_mg", ""),
}
"""What an event tells: the kind of fact, the field of its quantity, the account of a use."""


def _entry(fact: Any) -> Entry | None:
    if type(fact) not in _KINDS:
        return None
    what, name, account = _KINDS[type(fact)]
    told_of = vars(fact)
    return Entry(
        at=fact.timestamp,
        version=fact.originator_version,
        what=what,
        quantity_mg=told_of[name],
        build_id=told_of.get("build_id", ""),
        account=account,
    )

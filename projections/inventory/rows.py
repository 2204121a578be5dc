"""Rows of the material ledgers. All quantities are mg."""

from dataclasses import dataclass, fields
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LotRow:
    """The accounts of one lot at one node; the seven sum to zero.

    ``density_ug_per_mm3`` is 1000 x g/cm³.
    """

    id: str
    organisation_id: str
    node_id: str
    material: str
    lot: str
    density_ug_per_mm3: int
    supplier_mg: int
    free_mg: int
    reserved_mg: int
    consumed_mg: int
    wasted_mg: int
    in_transit_mg: int
    adjusted_mg: int
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One event of a ledger. ``free_mg`` and ``reserved_mg`` are the balances after it.

    ``at``: when it happened; ``effective_from``: from when it counts, earlier for corrections.
    """

    lot_id: str
    position: int
    at: datetime
    effective_from: datetime
    what: str
    organisation_id: str
    quantity_mg: int
    build_id: str
    reason: str
    free_mg: int
    reserved_mg: int
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRow:
    """What an event moves in a lot from a moment on: differences of the seven accounts, mg.

    The sum of those up to a moment is what the lot held then, as it is known now. An ordinary event
    has one, at the moment when it happened (``at``); a correction one for each moment of the past
    at which it changes something (``effective_from``).
    """

    position: int
    number: int
    organisation_id: str
    lot_id: str
    event_id: str
    what: str
    build_id: str
    at: datetime
    effective_from: datetime
    supplier_mg: int = 0
    free_mg: int = 0
    reserved_mg: int = 0
    consumed_mg: int = 0
    wasted_mg: int = 0
    in_transit_mg: int = 0
    adjusted_mg: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRow:
    """The accounts of a lot at a moment, mg."""

    supplier_mg: int
    free_mg: int
    reserved_mg: int
    consumed_mg: int
    wasted_mg: int
    in_transit_mg: int
    adjusted_mg: int


ACCOUNTS = tuple(field.name for field in fields(BalanceRow))
"""Columns of the accounts."""

"""Rows of the material ledgers. All quantities are mg."""

from dataclasses import dataclass
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
    """One event of a ledger. ``free_mg`` and ``reserved_mg`` are the balances after it."""

    lot_id: str
    position: int
    at: datetime
    what: str
    organisation_id: str
    quantity_mg: int
    build_id: str
    reason: str
    free_mg: int
    reserved_mg: int
    actor: str

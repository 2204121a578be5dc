"""What moved in figures and lots, by the month and the event: the sums that reports are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from projections.inventory.rows import ACCOUNTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What an event moved of a figure (``key`` is empty), or of an account of the lot ``key``."""

    month: str
    key: str
    position: int
    event_id: str
    what: str
    at: datetime
    name: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LotChange:
    """What moved in a lot: account → mg, without zeros."""

    lot_id: str
    amounts: dict[str, int]


_IN_MONTH = "b.effective_from >= %(since)s AND b.effective_from < %(until)s"
_LOT_SUMS = ", ".join(
    f"coalesce(sum(b.{name}) FILTER (WHERE {_IN_MONTH}), 0)::bigint AS {name}" for name in ACCOUNTS
)
LOTS = f"""
SELECT l.id AS lot_id, l.node_id, l.material, l.lot, {_LOT_SUMS},
    coalesce(sum(b.free_mg + b.reserved_mg), 0)::bigint AS stock_mg
FROM lots l JOIN bookings b ON b.lot_id = l.id
WHERE l.organisation_id = %(of)s AND b.effective_from < %(until)s AND b.position <= %(cut)s
GROUP BY l.id, l.node_id, l.material, l.lot ORDER BY l.id COLLATE "C"
"""
_MONTH = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM')"
_ONE_EACH = ", ".join(f"('{name.removesuffix('_mg')}', b.{name})" for name in ACCOUNTS)
_CONTRIBUTED = f"""
SELECT {_MONTH.format("c.hour")} AS month, '' AS key, c.position, c.event_id, c.what, c.at,
    a.key AS name, sum(a.value::bigint)::bigint AS amount
FROM contributions c, jsonb_each_text(c.amounts) a
WHERE c.organisation_id = %(of)s AND {{0}}
GROUP BY month, c.position, c.event_id, c.what, c.at, a.key HAVING sum(a.value::bigint) <> 0
ORDER BY c.position, month, name
"""
_BOOKED = f"""
SELECT {_MONTH.format("b.effective_from")} AS month, b.lot_id AS key, b.position, b.event_id,
    b.what, b.at, a.name, sum(a.amount)::bigint AS amount
FROM bookings b, LATERAL (VALUES {_ONE_EACH}) AS a (name, amount)
WHERE b.organisation_id = %(of)s AND {{0}}
GROUP BY month, b.lot_id, b.position, b.event_id, b.what, b.at, a.name HAVING sum(a.amount) <> 0
ORDER BY b.position, month, key, name
"""
FIGURES_AFTER = _CONTRIBUTED.format(
    "c.hour >= %(since)s AND c.hour < %(until)s AND c.position = ANY(%(positions)s)"
)
LOTS_AFTER = _BOOKED.format(f"{_IN_MONTH} AND b.position = ANY(%(positions)s)")
POSITIONS_AFTER = f"""
SELECT c.position FROM contributions c WHERE c.organisation_id = %(of)s
    AND c.hour >= %(since)s AND c.hour < %(until)s AND c.position > %(after)s
UNION SELECT b.position FROM bookings b WHERE b.organisation_id = %(of)s
    AND {_IN_MONTH} AND b.position > %(after)s
ORDER BY position LIMIT %(n)s
"""
FIGURES_LATE = _CONTRIBUTED.format(
    "c.hour < %(since)s AND c.position > %(before)s AND c.position <= %(cut)s"
)
LOTS_LATE = _BOOKED.format(
    "b.effective_from < %(since)s AND b.position > %(before)s AND b.position <= %(cut)s"
)


def changes(moved: Sequence[Moved]) -> list[LotChange]:
    """By lot, without what came to nothing."""
    found = []
    for lot_id in sorted({each.key for each in moved}):
        amounts = summed(each for each in moved if each.key == lot_id)
        if amounts:
            found.append(LotChange(lot_id=lot_id, amounts=amounts))
    return found


def summed(moved: Iterable[Moved]) -> dict[str, int]:
    """By name, without zeros."""
    sums: dict[str, int] = {}
    for each in moved:
        sums[each.name] = sums.get(each.name, 0) + each.amount
    return {name: amount for name, amount in sorted(sums.items()) if amount}

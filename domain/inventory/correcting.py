"""Decisions that correct what a ledger has told before.

They need a lot's whole past, which the aggregate itself does not carry: ``past`` are all its events
up to its present version. Each refuses what cannot have been, with the moment at which it fails.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.inventory.aggregate import LOT_LIMIT_MG, Inventory
from domain.inventory.ledger import (
    Entry,
    What,
    bookings,
    changed,
    entries_of,
    taken_over,
    use_of,
    with_quantity,
    with_use,
    without_use,
)
from domain.shared.checks import stated, within
from domain.shared.errors import InvalidInputError, NotFoundError, OverlapError
from domain.shared.moments import effective, told

Past = Sequence[Any]


def correct_count(
    lot: Inventory, past: Past, *, version: int, counted_mg: int, reason: str
) -> None:
    """An earlier stock-take, the ``version``-th event of the lot, had found another quantity."""
    entries = entries_of(past)
    count = next((each for each in entries if each.version == version), None)
    if count is None or count.what is not What.COUNTED:
        raise NotFoundError("the lot has no such stock-take", field="position")
    within("counted_mg", counted_mg, 0, LOT_LIMIT_MG)
    words = stated("reason", reason)
    if count.quantity_mg == counted_mg:
        return
    lot.rebook(
        Inventory.CountCorrected,
        corrects=version,
        counted_mg=counted_mg,
        effective_from=told(count.at),
        reason=words,
        bookings=bookings(entries, changed(entries, version, counted_mg)),
    )


def correct_consumption(
    lot: Inventory, past: Past, build_id: str, *, quantity_mg: int, reason: str
) -> None:
    """A build used another quantity of this lot than was booked."""
    entries = entries_of(past)
    use = _use(lot, entries, build_id)
    within("quantity_mg", quantity_mg, 0, LOT_LIMIT_MG)
    words = stated("reason", reason)
    if use.quantity_mg == quantity_mg:
        return
    lot.rebook(
        Inventory.ConsumptionCorrected,
        build_id=build_id,
        quantity_mg=quantity_mg,
        effective_from=told(use.at),
        reason=words,
        bookings=bookings(entries, with_quantity(entries, build_id, quantity_mg)),
    )


def reassign_consumption(
    source: Inventory,
    source_past: Past,
    target: Inventory,
    target_past: Past,
    *,
    build_id: str,
    reason: str,
    now: datetime,
) -> None:
    """What a build used came from ``target`` and not from ``source``: both are to be recorded
    together. The moment is that of the use; ``target`` must truly have had it then."""
    if source.id == target.id:
        raise InvalidInputError("both are the same lot", field="to_inventory_id")
    if source.material != target.material:
        raise InvalidInputError(
            f"a lot of {target.material} holds no {source.material}", field="to_inventory_id"
        )
    words = stated("reason", reason)
    given, taken = entries_of(source_past), entries_of(target_past)
    if use_of(given, build_id) is None and _went(source_past, build_id) == str(target.id):
        return
    use = _use(source, given, build_id)
    if use_of(taken, build_id) is not None:
        raise OverlapError(
            f"build {build_id} has used something of lot {target.lot} too",
            field="to_inventory_id",
            remedy="correct the quantities of both",
        )
    moment = told(use.at)
    effective(moment, field="to_inventory_id", since=target.created_on, now=now)
    fields = {
        "build_id": build_id,
        "quantity_mg": use.quantity_mg,
        "effective_from": moment,
        "reason": words,
    }
    new = taken_over(target.version + 1, {**fields, "account": use.account})
    back = bookings(given, without_use(given, build_id))
    used = bookings(taken, with_use(taken, new))
    source.rebook(
        Inventory.ConsumptionHandedOver,
        to_inventory_id=str(target.id),
        bookings=back,
        **fields,
    )
    target.rebook(
        Inventory.ConsumptionTakenOver,
        account=use.account,
        from_inventory_id=str(source.id),
        bookings=used,
        **fields,
    )


def holder_of(past: Past, build_id: str) -> str | None:
    """The lot to which the use of a build was handed over last; ``None`` when it is here."""
    return None if use_of(entries_of(past), build_id) else _went(past, build_id)


def _went(past: Past, build_id: str) -> str | None:
    gone = [
        fact.to_inventory_id
        for fact in past
        if isinstance(fact, Inventory.ConsumptionHandedOver) and fact.build_id == build_id
    ]
    return gone[-1] if gone else None


def _use(lot: Inventory, entries: Sequence[Entry], build_id: str) -> Entry:
    use = use_of(entries, build_id)
    if use is None:
        raise NotFoundError(
            f"build {build_id[:60]} has used nothing of lot {lot.lot}", field="build_id"
        )
    return use

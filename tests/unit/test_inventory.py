"""Material: double entries that always sum to zero, and stock that is never negative."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.inventory.aggregate import ACCOUNTS, LOT_LIMIT_MG, Inventory
from domain.shared.errors import (
    IllegalTransitionError,
    InsufficientMaterialError,
    InvalidInputError,
)
from tests.scenario import given

LOT_ID = UUID(int=5)


def a_lot(free_mg: int = 0) -> Inventory:
    lot = Inventory.open(
        LOT_ID,
        organisation_id="org",
        node_id="n1",
        material="pla",
        lot="2026-11",
        density_ug_per_mm3=1240,
    )
    if free_mg:
        lot.receive(free_mg)
    return lot


def reserved(free_mg: int = 1000, held_mg: int = 400) -> Inventory:
    lot = a_lot(free_mg)
    lot.reserve("b1", held_mg)
    return lot


def consumed() -> Inventory:
    lot = reserved()
    lot.consume("b1", 300)
    return lot


def sent() -> Inventory:
    lot = a_lot(1000)
    lot.send_transfer("t1", to_inventory_id="other", quantity_mg=400)
    return lot


def books(lot: Inventory) -> dict[str, int]:
    assert sum(lot.accounts.values()) == 0
    return {account: lot.accounts[account] for account in ACCOUNTS if lot.accounts[account]}


def test_a_lot_is_opened_empty_under_its_material_in_capitals() -> None:
    lot = a_lot()
    assert (lot.material, books(lot)) == ("PLA", {})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"material": ""}, "material"),
        ({"lot": " "}, "lot"),
        ({"density_ug_per_mm3": 0}, "density_ug_per_mm3"),
    ],
)
def test_a_lot_without_a_name_or_a_density_is_refused(changes: dict[str, Any], field: str) -> None:
    whole = {"material": "pla", "lot": "a", "density_ug_per_mm3": 1, "node_id": "n1"}
    with pytest.raises(InvalidInputError) as refused:
        Inventory.open(LOT_ID, organisation_id="org", **{**whole, **changes})
    assert refused.value.field == field


def test_received_material_is_free() -> None:
    lot = (
        given(a_lot())
        .when(lambda lot: lot.receive(1000))
        .then((Inventory.Received, {"quantity_mg": 1000}))
    )
    assert books(lot) == {"supplier": -1000, "free": 1000}


@pytest.mark.parametrize("quantity", [0, -1])
def test_nobody_receives_nothing_or_less(quantity: int) -> None:
    given(a_lot()).when(lambda lot: lot.receive(quantity)).then_refused(
        InvalidInputError, field="quantity_mg"
    )


def test_reserved_material_is_not_free() -> None:
    lot = (
        given(a_lot(1000))
        .when(lambda lot: lot.reserve("b1", 400))
        .then((Inventory.Reserved, {"build_id": "b1", "quantity_mg": 400}))
    )
    assert books(lot) == {"supplier": -1000, "free": 600, "reserved": 400}


def test_more_than_is_free_is_not_reserved() -> None:
    given(reserved()).when(lambda lot: lot.reserve("b2", 601)).then_refused(
        InsufficientMaterialError, match="601 mg of PLA asked for, 600 mg are free"
    )


def test_a_reservation_can_be_given_back() -> None:
    lot = (
        given(reserved())
        .when(lambda lot: lot.release("b1"))
        .then((Inventory.Released, {"build_id": "b1", "quantity_mg": 400}))
    )
    assert books(lot) == {"supplier": -1000, "free": 1000}


@pytest.mark.parametrize(
    ("used", "adjusted", "after"),
    [
        (300, 0, {"supplier": -1000, "free": 700, "consumed": 300}),
        (400, 0, {"supplier": -1000, "free": 600, "consumed": 400}),
        (700, 0, {"supplier": -1000, "free": 300, "consumed": 700}),
        (1200, 200, {"supplier": -1000, "consumed": 1200, "adjusted": -200}),
        (0, 0, {"supplier": -1000, "free": 1000}),
    ],
)
def test_what_a_build_used_is_booked_and_the_rest_goes_back(
    used: int, adjusted: int, after: dict[str, int]
) -> None:
    booking = {"build_id": "b1", "quantity_mg": used, "reserved_mg": 400, "adjusted_mg": adjusted}
    lot = (
        given(reserved())
        .when(lambda lot: lot.consume("b1", used))
        .then((Inventory.Consumed, booking))
    )
    assert books(lot) == after
    wasted = (
        given(reserved())
        .when(lambda lot: lot.waste("b1", used, reason="jam"))
        .then((Inventory.Wasted, {**booking, "reason": "jam"}))
    )
    assert wasted.accounts["wasted"] == used


@pytest.mark.parametrize(
    ("lot", "act"),
    [
        (reserved(), lambda lot: lot.reserve("b1", 999)),
        (consumed(), lambda lot: lot.reserve("b1", 1)),
        (consumed(), lambda lot: lot.consume("b1", 300)),
        (consumed(), lambda lot: lot.waste("b1", 300, reason="jam")),
        (consumed(), lambda lot: lot.release("b1")),
        (a_lot(10), lambda lot: lot.release("b1")),
        (a_lot(10), lambda lot: lot.count(10)),
        (a_lot(10), lambda lot: lot.correct(0, reason="")),
        (sent(), lambda lot: lot.send_transfer("t1", to_inventory_id="x", quantity_mg=400)),
    ],
)
def test_what_was_booked_is_not_booked_again(
    lot: Inventory, act: Callable[[Inventory], None]
) -> None:
    given(lot).when(act).then_nothing()


def test_a_build_that_holds_nothing_uses_nothing() -> None:
    given(a_lot(10)).when(lambda lot: lot.consume("b9", 1)).then_refused(
        IllegalTransitionError, match="b9"
    )


def test_a_negative_use_is_refused() -> None:
    given(reserved()).when(lambda lot: lot.consume("b1", -1)).then_refused(
        InvalidInputError, field="quantity_mg"
    )


def test_a_stock_take_books_the_difference() -> None:
    lot = (
        given(reserved())
        .when(lambda lot: lot.count(900))
        .then((Inventory.Counted, {"counted_mg": 900, "difference_mg": -100}))
    )
    assert books(lot) == {"supplier": -1000, "free": 500, "reserved": 400, "adjusted": 100}


def test_a_stock_take_cannot_find_less_than_is_reserved() -> None:
    given(reserved()).when(lambda lot: lot.count(399)).then_refused(
        InvalidInputError, match="400 mg are reserved", field="counted_mg"
    )


def test_a_correction_needs_a_reason_and_cannot_make_stock_negative() -> None:
    lot = (
        given(a_lot(100))
        .when(lambda lot: lot.correct(-40, reason="spilled"))
        .then((Inventory.Corrected, {"difference_mg": -40, "reason": "spilled"}))
    )
    assert lot.accounts["free"] == 60
    given(lot).when(lambda lot: lot.correct(-61, reason="more")).then_refused(
        InsufficientMaterialError
    )
    given(lot).when(lambda lot: lot.correct(5, reason=" ")).then_refused(
        InvalidInputError, field="reason"
    )


def test_a_transfer_goes_by_way_of_transit_in_two_steps() -> None:
    source = (
        given(a_lot(1000))
        .when(lambda lot: lot.send_transfer("t1", to_inventory_id="other", quantity_mg=400))
        .then(
            (
                Inventory.TransferSent,
                {"transfer_id": "t1", "to_inventory_id": "other", "quantity_mg": 400},
            )
        )
    )
    assert books(source) == {"supplier": -1000, "free": 600, "in_transit": 400}
    arrived = {"transfer_id": "t1", "from_inventory_id": str(LOT_ID), "quantity_mg": 400}
    target = (
        given(a_lot())
        .when(
            lambda lot: lot.receive_transfer("t1", from_inventory_id=str(LOT_ID), quantity_mg=400)
        )
        .then((Inventory.TransferArrived, arrived))
    )
    assert books(target) == {"free": 400, "in_transit": -400}
    given(target).when(
        lambda lot: lot.receive_transfer("t1", from_inventory_id=str(LOT_ID), quantity_mg=400)
    ).then_nothing()


def test_a_lot_is_not_transferred_to_itself_nor_beyond_what_is_free() -> None:
    given(a_lot(10)).when(
        lambda lot: lot.send_transfer("t", to_inventory_id=str(LOT_ID), quantity_mg=1)
    ).then_refused(InvalidInputError, field="to")
    given(a_lot(10)).when(
        lambda lot: lot.send_transfer("t", to_inventory_id="other", quantity_mg=11)
    ).then_refused(InsufficientMaterialError)


@pytest.mark.parametrize("density", [0, 9, 25_001, 9 * 10**18])
def test_a_density_that_no_material_has_was_given_in_another_unit(density: int) -> None:
    with pytest.raises(InvalidInputError, match="from 10 to 25000"):
        Inventory.open(
            LOT_ID,
            organisation_id="o",
            node_id="n1",
            material="PLA",
            lot="a",
            density_ug_per_mm3=density,
        )


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda lot: lot.receive(LOT_LIMIT_MG), "quantity_mg"),
        (lambda lot: lot.correct(LOT_LIMIT_MG, reason="found"), "difference_mg"),
        (lambda lot: lot.count(LOT_LIMIT_MG + 1), "counted_mg"),
        (
            lambda lot: lot.receive_transfer("t", from_inventory_id="x", quantity_mg=LOT_LIMIT_MG),
            "quantity_mg",
        ),
    ],
)
def test_a_lot_does_not_grow_beyond_what_numbers_carry(
    act: Callable[[Inventory], None], field: str
) -> None:
    given(a_lot(1)).when(act).then_refused(InvalidInputError, field=field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transfer_id": "t2"}, "transfer_id"),
        ({"to_inventory_id": "third"}, "inventory_id"),
        ({"quantity_mg": 401}, "quantity_mg"),
        ({"quantity_mg": 399}, "quantity_mg"),
    ],
)
def test_nothing_arrives_that_was_not_sent_there(changes: dict[str, Any], field: str) -> None:
    source = a_lot(1000)
    source.send_transfer("t1", to_inventory_id="other", quantity_mg=400)
    claimed = {"transfer_id": "t1", "to_inventory_id": "other", "quantity_mg": 400, **changes}
    with pytest.raises(InvalidInputError) as refused:
        source.confirm_sent(**claimed)
    assert refused.value.field == field


def test_two_senders_may_give_their_transfers_the_same_name() -> None:
    lot = a_lot()
    lot.receive_transfer("t1", from_inventory_id="x", quantity_mg=10)
    lot.receive_transfer("t1", from_inventory_id="y", quantity_mg=20)
    assert lot.accounts["free"] == 30

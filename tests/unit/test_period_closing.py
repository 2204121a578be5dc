"""Corrections and months as commands: who is asked what, in one batch or not at all."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from domain.build.aggregate import Build
from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.period.aggregate import Period, period_id, span_of
from domain.shared.errors import (
    HistoryNegativeError,
    IllegalTransitionError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
)
from domain.shared.identifiers import derived
from tests.stocked_shop import ADMIN, BRIDGE, OPERATOR, PROCESSES, SUPERVISOR, StockedShop
from tests.write_side import ORG, OTHER_ORG

WHY = {"reason": "looked again"}
DIGEST = "sha256:" + "a" * 64
FIGURES = {
    "duration_ms": 1,
    "energy_j": 900,
    "energy_source": "meter",
    "material_mm3": 1,
    "material_mg": 40,
}


class FinishedShop(StockedShop):
    """The build took 40 mg of lot a and 900 J; lot b of the same material lies beside it."""

    def __init__(self) -> None:
        super().__init__()
        stock = {"node_id": self.node_id, "material": "PLA", "lot": "b", "quantity_mg": 1000}
        self.other_id = self.send("ReceiveMaterial", stock, by=OPERATOR)["id"]
        held = {"inventory_id": self.lot_id, "build_id": self.build_id}
        self.send("ReserveMaterial", {**held, "quantity_mg": 50}, by=PROCESSES)
        epoch = self.accepted()
        self.clock.advance(seconds=60)
        self.send("StartBuild", {"build_id": self.build_id, "epoch": epoch}, by=BRIDGE)
        self.send("FinishBuild", {"build_id": self.build_id, **FIGURES}, by=BRIDGE)
        self.send("ConsumeMaterial", {**held, "quantity_mg": 40}, by=PROCESSES)
        self.clock.advance(seconds=60)

    def move(self, one: str, other: str, **more: str) -> dict[str, Any]:
        payload = {
            "build_id": self.build_id,
            "from_inventory_id": one,
            "to_inventory_id": other,
            **WHY,
        }
        return self.send("ReassignConsumption", payload, by=OPERATOR, **more)

    def lot(self, lot_id: str) -> Inventory:
        found: Inventory = self.load({"id": lot_id})
        return found

    def close(self) -> None:
        for aggregate in (self.lot_id, self.other_id, self.build_id, self.node_id):
            lived = self.load({"id": aggregate})
            assert vars(self.refolded(lived)) == vars(lived)
        super().close()


@pytest.fixture
def shop() -> Iterator[FinishedShop]:
    shop = FinishedShop()
    yield shop
    shop.close()


def test_a_use_moves_between_two_ledgers_in_one_batch(shop: FinishedShop) -> None:
    answer = shop.move(shop.lot_id, shop.other_id)
    assert shop.topics[-2:] == [
        "inventory:ConsumptionHandedOver",
        "inventory:ConsumptionTakenOver",
    ]
    assert (answer["id"], answer["free_mg"]) == (shop.other_id, 960)
    assert shop.lot(shop.lot_id).accounts["free"] == 1000
    commands = {record.headers["Imewe-Command"] for record in shop.log.records[-2:]}
    assert len(commands) == 1


def test_the_same_command_again_does_it_once(shop: FinishedShop) -> None:
    first = shop.move(shop.lot_id, shop.other_id, command_id="mine")
    shop.restart()
    shop.answers.values.clear()
    assert shop.move(shop.lot_id, shop.other_id, command_id="mine") == first
    assert shop.topics.count("inventory:ConsumptionTakenOver") == 1


def test_of_two_who_reassign_at_once_the_second_decides_again(shop: FinishedShop) -> None:
    stock = {"inventory_id": shop.other_id, "difference_mg": -980, **WHY}
    shop.log.before.append(lambda: shop.send("CorrectMaterial", stock, by=OPERATOR))
    with pytest.raises(HistoryNegativeError):
        shop.move(shop.lot_id, shop.other_id)
    assert shop.lot(shop.lot_id).accounts["consumed"] == 40


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("CorrectCount", {"inventory_id": str(derived("nothing"))}),
        ("ReassignConsumption", {"from_inventory_id": str(derived("nothing"))}),
        ("ReassignConsumption", {"to_inventory_id": "no uuid"}),
        ("ReassignConsumption", {"build_id": "another"}),
        ("CorrectFigures", {"build_id": str(derived("nothing"))}),
        ("CorrectDowntime", {"node_id": str(derived("nothing"))}),
        ("WithdrawDowntime", {}),
    ],
)
def test_what_is_not_there_cannot_be_corrected(
    shop: FinishedShop, name: str, changes: dict[str, Any]
) -> None:
    payload = {**shop.payloads()[name], "to_inventory_id": shop.other_id}
    payload = {k: v for k, v in payload.items() if k in shop.payloads()[name]} | changes
    with pytest.raises(NotFoundError):
        shop.send(name, payload, by=OPERATOR)


@pytest.mark.parametrize("name", ["CorrectCount", "CorrectFigures", "CorrectDowntime"])
def test_what_belongs_to_others_is_not_there(shop: FinishedShop, name: str) -> None:
    with pytest.raises(NotFoundError):
        shop.send(name, shop.payloads()[name], by=OPERATOR, organisation_id=OTHER_ORG)


def test_a_count_is_named_by_its_position(shop: FinishedShop) -> None:
    counted = shop.send("CountMaterial", {"inventory_id": shop.lot_id, "counted_mg": 900}, by=ADMIN)
    payload = {"inventory_id": shop.lot_id, "counted_mg": 950, **WHY}
    shop.send("CorrectCount", {**payload, "position": counted["position"]}, by=OPERATOR)
    assert shop.lot(shop.lot_id).accounts["free"] == 950
    with pytest.raises(NotFoundError) as refused:
        shop.send("CorrectCount", {**payload, "position": 1}, by=OPERATOR)
    assert refused.value.field == "position"


def test_what_a_build_used_is_corrected_where_it_was_moved_to(shop: FinishedShop) -> None:
    shop.move(shop.lot_id, shop.other_id)
    payload = {"build_id": shop.build_id, "material_mg": 70, "energy_j": 800, **WHY}
    shop.send("CorrectFigures", payload, by=OPERATOR)
    assert shop.topics[-2:] == ["inventory:ConsumptionCorrected", "build:FiguresCorrected"]
    assert shop.lot(shop.other_id).accounts["consumed"] == 70
    assert shop.lot(shop.lot_id).accounts["consumed"] == 0
    events = len(shop.log.records)
    shop.send("CorrectFigures", payload, by=OPERATOR)
    assert len(shop.log.records) == events


def test_a_corrected_meter_leaves_the_material_alone(shop: FinishedShop) -> None:
    shop.send("CorrectFigures", {"build_id": shop.build_id, "energy_j": 1, **WHY}, by=OPERATOR)
    assert isinstance(shop.load({"id": shop.build_id}), Build)
    assert shop.topics[-1] == "build:FiguresCorrected"
    assert "inventory:ConsumptionCorrected" not in shop.topics


def test_a_downtime_without_an_end_lasts_until_now(shop: FinishedShop) -> None:
    since = "2026-11-21T11:01:00+01:00"
    shop.send("CorrectDowntime", {"node_id": shop.node_id, "since": since, **WHY}, by=OPERATOR)
    node: Node = shop.load({"id": shop.node_id})
    assert node.downtimes == [
        {
            "since": "2026-11-21T10:01:00.000Z",
            "until": "2026-11-21T10:02:00.000Z",
            "connected_ms": 60_000,
            "executing_ms": 0,
        }
    ]
    payload = {"node_id": shop.node_id, "since": "2026-11-21T10:01:00Z", **WHY}
    shop.send("WithdrawDowntime", payload, by=OPERATOR)
    assert shop.load({"id": shop.node_id}).downtimes == []


def closing(shop: StockedShop, month: str, place: str, **changes: Any) -> dict[str, Any]:
    cut = shop.send("CutOffPeriod", {"month": month}, by=ADMIN, organisation_id=place)
    payload = {
        "month": month,
        "position": cut["position"],
        "figures": {"jobs_submitted": 1},
        "digest": DIGEST,
        **changes,
    }
    return shop.send("ClosePeriod", payload, by=ADMIN, organisation_id=place)


def test_a_month_is_cut_off_and_closed_with_its_report(shop: FinishedShop) -> None:
    answer = closing(shop, "2026-10", ORG)
    assert answer["id"] == str(period_id(ORG, "2026-10"))
    assert answer["status"] == "CLOSED"
    told = json.loads(shop.last().body)
    assert told == {
        "position": answer["position"] - 1,
        "figures": {"jobs_submitted": 1},
        "digest": DIGEST,
    }
    period: Period = shop.load(answer)
    assert (period.status, period.digest) == ("CLOSED", DIGEST)


def test_cutting_off_and_closing_again_says_the_same_and_another_report_is_refused(
    shop: FinishedShop,
) -> None:
    closing(shop, "2026-10", ORG)
    events = len(shop.log.records)
    payload = {"month": "2026-10", "position": events - 1, "figures": {}, "digest": DIGEST}
    shop.send("CutOffPeriod", {"month": "2026-10"}, by=ADMIN)
    shop.send("ClosePeriod", payload, by=ADMIN)
    assert len(shop.log.records) == events
    other = "sha256:" + "b" * 64
    with pytest.raises(IllegalTransitionError, match="another report"):
        shop.send("ClosePeriod", {**payload, "digest": other}, by=ADMIN)


@pytest.mark.parametrize(
    ("changes", "field"), [({"position": 3}, "position"), ({"digest": "abc"}, "digest")]
)
def test_a_report_of_another_position_or_without_a_digest_is_refused(
    shop: FinishedShop, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        closing(shop, "2026-10", ORG, **changes)
    assert refused.value.field == field


@pytest.mark.parametrize("month", ["2026-11", "2027-01", "2026-13", "october", "2026-1", ""])
def test_only_a_past_month_can_be_closed(shop: FinishedShop, month: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        shop.send("CutOffPeriod", {"month": month}, by=ADMIN)
    assert refused.value.field == "month"


def test_a_month_that_was_not_cut_off_cannot_be_closed(shop: FinishedShop) -> None:
    payload = {"month": "2026-10", "position": 1, "figures": {}, "digest": DIGEST}
    with pytest.raises(NotFoundError, match="not cut off"):
        shop.send("ClosePeriod", payload, by=ADMIN)


def test_months_are_closed_in_their_order_from_the_organisations_first(shop: FinishedShop) -> None:
    place = str(shop.send("FoundOrganisation", {"name": "New"}, by=SUPERVISOR)["id"])
    shop.clock.advance(days=80)
    with pytest.raises(InvalidInputError, match="began in 2026-11"):
        closing(shop, "2026-10", place)
    with pytest.raises(IllegalTransitionError, match="2026-11 is not closed") as refused:
        closing(shop, "2026-12", place)
    assert refused.value.remedy == "close 2026-11 first"
    for month in ("2026-11", "2026-12", "2027-01"):
        assert closing(shop, month, place)["status"] == "CLOSED"


@pytest.mark.parametrize(
    ("month", "end"), [("2026-01", "2026-02"), ("2026-12", "2027-01"), ("2028-02", "2028-03")]
)
def test_a_month_ends_where_the_next_one_begins(month: str, end: str) -> None:
    assert span_of(month)[1] == span_of(end)[0]


def test_a_refusal_leaves_nothing_in_any_ledger(shop: FinishedShop) -> None:
    payload = {"inventory_id": shop.other_id, "difference_mg": -990, **WHY}
    shop.send("CorrectMaterial", payload, by=OPERATOR)
    events = len(shop.log.records)
    with pytest.raises(ImeweError):
        shop.move(shop.lot_id, shop.other_id)
    assert len(shop.log.records) == events

"""What the handlers add to the aggregates: looking things up, who did it, what crosses objects."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.inventory.aggregate import Inventory
from domain.job.aggregate import LINES_LIMIT
from domain.shared.errors import (
    BedNotClearError,
    IllegalTransitionError,
    ImeweError,
    InvalidInputError,
    NodeUnavailableError,
    NotFoundError,
    StaleEpochError,
    StorageFullError,
)
from tests.fake_ports import START
from tests.stocked_shop import ADMIN, BRIDGE, DESIGNER, OPERATOR, PROCESSES, StockedShop
from tests.write_side import JOB, ORG, OTHER_ORG, PART, account_id


@pytest.fixture
def shop() -> Iterator[StockedShop]:
    shop = StockedShop()
    yield shop
    shop.close()


def last(shop: StockedShop) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(shop.last().body)
    return body


def test_an_order_holds_what_the_file_store_says_of_its_files(shop: StockedShop) -> None:
    deadline = "2026-12-01T12:00:00+02:00"
    answer = shop.send("SubmitJob", {**JOB, "deadline": deadline, "priority": 8}, by=DESIGNER)
    told = last(shop)
    assert told["parts"][0]["artifact"] == {
        "digest": "d" * 64,
        "size": 10,
        "format": "gcode",
        "name": "hook.gcode",
    }
    assert (told["owner_id"], told["deadline"]) == (account_id("anna"), "2026-12-01T10:00:00+00:00")
    assert answer["part_ids"] == [told["parts"][0]["part_id"]]


def test_every_event_tells_who_when_where_and_why(shop: StockedShop) -> None:
    shop.clock.advance(seconds=1.5)
    more = {"causation": "e1", "correlation": "s1", "traceparent": "00-ab-cd-01"}
    shop.send("CancelJob", {"job_id": shop.job_id}, by=DESIGNER, **more)
    envelope = shop.last_envelope()
    assert (envelope.actor.kind, envelope.actor.id) == ("user", account_id("anna"))
    assert envelope.occurred_at == datetime(2026, 11, 21, 10, 0, 1, 500_000, tzinfo=UTC)
    assert (envelope.causation_id, envelope.correlation_id) == ("e1", "s1")
    assert (envelope.organisation_id, envelope.traceparent) == (ORG, "00-ab-cd-01")
    assert shop.application.load(UUID(shop.job_id)).modified_on == envelope.occurred_at > START


def test_a_story_begins_with_the_command_when_nobody_says_otherwise(shop: StockedShop) -> None:
    shop.send("CancelJob", {"job_id": shop.job_id}, by=DESIGNER)
    envelope = shop.last_envelope()
    assert envelope.causation_id == envelope.correlation_id == envelope.command_id


def test_the_organisation_of_an_event_is_that_of_the_object(shop: StockedShop) -> None:
    request = shop.request("ObserveNode", shop.payloads()["ObserveNode"], by=BRIDGE)
    shop.bus.obey(replace(request, organisation_id=""))
    assert shop.last_envelope().organisation_id == ORG


def test_what_belongs_to_nobody_is_not_begun(shop: StockedShop) -> None:
    request = shop.request("OrderPart", shop.order(line=1), by=PROCESSES)
    with pytest.raises(InvalidInputError) as refused:
        shop.bus.obey(replace(request, organisation_id=""))
    assert refused.value.field == "organisation_id"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"parts": []}, InvalidInputError, "parts"),
        ({"priority": 0}, InvalidInputError, "priority"),
        ({"priority": 11}, InvalidInputError, "priority"),
        ({"priority": "high"}, InvalidInputError, "priority"),
        ({"parts": [{**PART, "quantity": 0}]}, InvalidInputError, "parts.0.quantity"),
        ({"parts": [PART, {**PART, "quantity": -1}]}, InvalidInputError, "parts.1.quantity"),
        ({"parts": [{**PART, "colour": "red"}]}, InvalidInputError, "parts.0.colour"),
        ({"parts": [PART] * (LINES_LIMIT + 1)}, InvalidInputError, "parts"),
        ({"colour": "red"}, InvalidInputError, "colour"),
        ({"name": None}, InvalidInputError, "name"),
        ({"deadline": "2026-12-01T12:00:00"}, InvalidInputError, "deadline"),
        (
            {"parts": [PART, {**PART, "artifact_digest": "e" * 64}]},
            NotFoundError,
            "parts.1.artifact_digest",
        ),
    ],
)
def test_a_bad_order_is_refused_by_the_field_and_leaves_nothing(
    shop: StockedShop, changes: dict[str, Any], error: type[ImeweError], field: str
) -> None:
    events = len(shop.log.records)
    with pytest.raises(error) as refused:
        shop.send("SubmitJob", {**JOB, **changes}, by=DESIGNER)
    assert refused.value.field == field
    assert len(shop.log.records) == events


def test_another_organisations_file_is_no_file(shop: StockedShop) -> None:
    with pytest.raises(NotFoundError):
        shop.send("SubmitJob", JOB, by=DESIGNER, organisation_id=OTHER_ORG)


@pytest.mark.parametrize("job_id", ["", "no uuid", str(UUID(int=9))])
def test_an_object_that_is_not_there_is_not_found(shop: StockedShop, job_id: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        shop.send("CancelJob", {"job_id": job_id}, by=ADMIN)
    assert refused.value.field == "job_id"


def test_an_object_of_another_kind_is_not_found(shop: StockedShop) -> None:
    with pytest.raises(NotFoundError, match="there is no job"):
        shop.send("CancelJob", {"job_id": shop.node_id}, by=ADMIN)


def test_a_service_that_names_another_organisation_finds_nothing(shop: StockedShop) -> None:
    with pytest.raises(NotFoundError):
        shop.send("CancelPart", {"part_id": shop.part_id}, by=PROCESSES, organisation_id=OTHER_ORG)


def test_who_cleared_the_bed_is_who_is_logged_in_not_who_is_named(shop: StockedShop) -> None:
    shop.send("ClearBed", {"node_id": shop.node_id, "by": "somebody else"}, by=OPERATOR)
    assert last(shop) == {"by": f"user/{account_id('otto')}"}


def test_a_vendor_owns_the_node_registered(shop: StockedShop) -> None:
    assert shop.application.load(UUID(shop.node_id)).owner_id == account_id("vera")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("ObserveNode", {"execution": "DANCING"}, "execution"),
        ("ObserveNode", {"availability": ""}, "availability"),
        ("ObserveNode", {"emergency_stop": "OFF"}, "emergency_stop"),
        (
            "ObserveNode",
            {"conditions": [{"level": "BAD", "type": "t", "code": "c", "text": "x"}]},
            "conditions.level",
        ),
        ("FollowPart", {"part_status": "HALF"}, "part_status"),
    ],
)
def test_a_word_outside_the_vocabulary_is_refused(
    shop: StockedShop, name: str, changes: dict[str, Any], field: str
) -> None:
    sender = BRIDGE if name == "ObserveNode" else PROCESSES
    with pytest.raises(InvalidInputError) as refused:
        shop.send(name, {**shop.payloads()[name], **changes}, by=sender)
    assert refused.value.field == field


def test_nothing_is_reserved_on_an_uncleared_bed(shop: StockedShop) -> None:
    shop.send("ConnectMachine", {"node_id": shop.node_id, "identity": {"f": 1}}, by=BRIDGE)
    with pytest.raises(BedNotClearError):
        shop.send("ReserveNode", shop.payloads()["ReserveNode"], by=PROCESSES)


def test_an_accepted_build_repeats_what_the_log_says(shop: StockedShop) -> None:
    epoch = shop.sent()
    taken = {"build_id": shop.build_id, "node_id": shop.node_id, "epoch": epoch}
    answer = shop.send("AcceptBuild", taken, by=BRIDGE)
    assert (answer["node_id"], answer["epoch"], answer["digest"]) == (
        shop.node_id,
        epoch,
        "d" * 64,
    )
    assert last(shop) == {"bridge": "local"}


def test_a_build_is_not_accepted_once_its_machine_was_promised_anew(shop: StockedShop) -> None:
    epoch = shop.sent()
    node = {"node_id": shop.node_id}
    shop.send("ReleaseNode", {**node, "build_id": shop.build_id}, by=PROCESSES)
    shop.send("ReserveNode", {**node, "build_id": "b2"}, by=PROCESSES)
    with pytest.raises(StaleEpochError):
        taken = {"build_id": shop.build_id, **node, "epoch": epoch}
        shop.send("AcceptBuild", taken, by=BRIDGE)


def test_a_build_is_not_accepted_by_a_machine_in_emergency_stop(shop: StockedShop) -> None:
    epoch = shop.sent()
    shop.send("RecordEmergencyStop", shop.payloads()["RecordEmergencyStop"], by=BRIDGE)
    with pytest.raises(NodeUnavailableError, match="emergency"):
        taken = {"build_id": shop.build_id, "node_id": shop.node_id, "epoch": epoch}
        shop.send("AcceptBuild", taken, by=BRIDGE)


@pytest.mark.parametrize("name", ["FailBuild", "ConfirmCancelled"])
def test_only_the_bridge_ends_a_build_that_it_has_taken_over(shop: StockedShop, name: str) -> None:
    shop.accepted()
    with pytest.raises(IllegalTransitionError, match="only its machine's bridge"):
        shop.send(name, shop.payloads()[name], by=PROCESSES)
    assert shop.send(name, shop.payloads()[name], by=BRIDGE)
    assert shop.send(name, shop.payloads()[name], by=PROCESSES), "ended already: no news"


@pytest.mark.parametrize("name", ["FailBuild", "ConfirmCancelled"])
def test_the_processes_withdraw_a_build_that_no_machine_had(shop: StockedShop, name: str) -> None:
    shop.sent()
    assert shop.send(name, shop.payloads()[name], by=PROCESSES)
    assert last(shop)["began"] is False


def test_material_of_a_new_lot_is_opened_and_received_at_once(shop: StockedShop) -> None:
    stock = {"node_id": shop.node_id, "material": " petg ", "lot": "b", "quantity_mg": 7}
    first = shop.send("ReceiveMaterial", stock, by=OPERATOR)
    again = shop.send("ReceiveMaterial", {**stock, "material": "PETG"}, by=OPERATOR)
    assert shop.topics[-3:] == ["inventory:Opened", "inventory:Received", "inventory:Received"]
    assert (first["id"], first["free_mg"], again["free_mg"]) == (again["id"], 7, 14)


def test_two_who_open_the_same_lot_at_once_both_receive(shop: StockedShop) -> None:
    stock = {"node_id": shop.node_id, "material": "PETG", "lot": "b", "quantity_mg": 7}
    slow, slow_once = shop.bus, shop.once
    shop.restart()
    rival = shop.request("ReceiveMaterial", stock, by=OPERATOR)
    shop.log.before.append(lambda: shop.bus.obey(rival))
    answer = slow.obey(shop.request("ReceiveMaterial", stock, by=ADMIN))
    slow_once.close()
    assert answer["free_mg"] == 14


@pytest.mark.parametrize("quantity", [0, -5])
def test_a_new_lot_of_nothing_is_not_opened(shop: StockedShop, quantity: int) -> None:
    stock = {"node_id": shop.node_id, "material": "PETG", "lot": "b", "quantity_mg": quantity}
    events = len(shop.log.records)
    with pytest.raises(InvalidInputError):
        shop.send("ReceiveMaterial", stock, by=OPERATOR)
    assert len(shop.log.records) == events


def test_a_transfer_arrives_once_and_only_when_it_was_sent(shop: StockedShop) -> None:
    stock = {"node_id": shop.registered(virtual=True), "material": "PLA", "lot": "b"}
    target = shop.send("ReceiveMaterial", {**stock, "quantity_mg": 1}, by=OPERATOR)["id"]
    arrival = {
        "inventory_id": target,
        "transfer_id": "t1",
        "from_inventory_id": shop.lot_id,
        "quantity_mg": 400,
    }
    with pytest.raises(InvalidInputError, match="no such transfer"):
        shop.send("ReceiveTransfer", arrival, by=OPERATOR)
    sent = {"inventory_id": shop.lot_id, "transfer_id": "t1", "to_inventory_id": target}
    shop.send("SendTransfer", {**sent, "quantity_mg": 400}, by=OPERATOR)
    for _ in range(2):
        shop.send("ReceiveTransfer", arrival, by=OPERATOR)
    lot = shop.application.load(UUID(target))
    assert isinstance(lot, Inventory)
    assert lot.accounts["free"] == 401


def test_material_is_not_transferred_into_a_lot_of_another(shop: StockedShop) -> None:
    stock = {"node_id": shop.node_id, "material": "PETG", "lot": "b", "quantity_mg": 1}
    target = shop.send("ReceiveMaterial", stock, by=OPERATOR)["id"]
    sent = {"inventory_id": shop.lot_id, "transfer_id": "t1", "to_inventory_id": target}
    with pytest.raises(InvalidInputError) as refused:
        shop.send("SendTransfer", {**sent, "quantity_mg": 4}, by=OPERATOR)
    assert refused.value.field == "to_inventory_id"


def test_a_snapshot_that_cannot_be_written_does_not_fail_the_command(
    shop: StockedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageFullError("no space for snapshots")

    snapshots: Any = shop.application.snapshots
    monkeypatch.setattr(snapshots.recorder, "insert_events", full)
    for number in range(60):
        name = "PauseNode" if number % 2 else "ResumeNode"
        shop.send(name, {"node_id": shop.node_id}, by=OPERATOR)
    node = shop.application.load(UUID(shop.node_id))
    assert node.version > 50


def test_an_aggregate_from_a_snapshot_equals_one_from_its_whole_history(shop: StockedShop) -> None:
    for number in range(60):
        name = "PauseNode" if number % 2 else "ResumeNode"
        shop.send(name, {"node_id": shop.node_id}, by=OPERATOR)
    snapshots: Any = shop.application.snapshots
    assert list(snapshots.get(UUID(shop.node_id)))
    node = shop.application.load(UUID(shop.node_id))
    assert shop.refolded(node) == node

"""The same command twice: one effect, one answer, whatever happens between."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import IntegrityError

from commands.turns import Turns
from domain.shared.aggregate import REMEMBERED_COMMANDS
from domain.shared.errors import (
    ConflictError,
    DuplicateCommandError,
    InsufficientMaterialError,
    StorageFullError,
    UnavailableError,
)
from domain.shared.identifiers import command_name, derived
from tests.stocked_shop import ADMIN, BRIDGE, DESIGNER, OPERATOR, PROCESSES, StockedShop
from tests.write_side import JOB, ORG, WriteSide, account_id


@pytest.fixture
def shop() -> Iterator[StockedShop]:
    shop = StockedShop()
    yield shop
    shop.close()


@pytest.fixture
def side() -> Iterator[WriteSide]:
    side = WriteSide()
    yield side
    side.close()


def crash() -> None:
    """The service ends here, as after ``kill -9``."""
    raise KeyboardInterrupt


def test_a_creations_id_follows_from_who_asked_and_the_command_id(side: WriteSide) -> None:
    answer = side.send("SubmitJob", JOB, by=DESIGNER, command_id="mine")
    name = command_name(ORG, f"user/{account_id('anna')}", "mine")
    assert UUID(answer["id"]) == derived("job", name)
    assert side.last().headers["Imewe-Command"] == name


def test_two_people_may_choose_the_same_command_id(side: WriteSide) -> None:
    first = side.send("SubmitJob", JOB, by=DESIGNER, command_id="same")
    second = side.send("SubmitJob", JOB, by="user/eve/designer", command_id="same")
    assert first["id"] != second["id"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_repeated_command_has_one_effect_and_the_same_answer(
    shop: StockedShop, *, restarted: bool
) -> None:
    asked = [
        shop.request("SubmitJob", JOB, by=DESIGNER),
        shop.request("ReprioritizeJob", {"job_id": shop.job_id, "priority": 9}, by=DESIGNER),
        shop.request("PauseNode", {"node_id": shop.node_id}, by=OPERATOR),
        shop.request("ReceiveMaterial", shop.payloads()["ReceiveMaterial"], by=OPERATOR),
        shop.request("OpenAccount", shop.person("carl"), by=ADMIN),
    ]
    answers = [shop.bus.obey(request) for request in asked]
    events = len(shop.log.records)
    if restarted:
        shop.once.close()
        shop.restart()
    assert [shop.bus.obey(request) for request in asked] == answers
    assert len(shop.log.records) == events


def test_a_crash_between_append_and_answer_is_made_good_from_the_log(shop: StockedShop) -> None:
    node = {"node_id": shop.node_id}
    asked = [
        shop.request("SubmitJob", JOB, by=DESIGNER),
        shop.request("PauseNode", node, by=OPERATOR),
        shop.request("ReceiveMaterial", shop.payloads()["ReceiveMaterial"], by=OPERATOR),
    ]
    for request in asked:
        shop.log.after.append(crash)
        with pytest.raises(KeyboardInterrupt):
            shop.bus.obey(request)
    events = len(shop.log.records)
    shop.send("ResumeNode", node, by=OPERATOR)
    shop.send("ReceiveMaterial", shop.payloads()["ReceiveMaterial"], by=OPERATOR)
    shop.restart()
    answers = [shop.bus.obey(request) for request in asked]
    assert [answer["position"] for answer in answers] == [events - 2, events - 1, events]
    assert answers[2]["free_mg"] == 1005
    assert len(shop.log.records) == events + 2


def test_the_answer_of_a_reservation_is_the_epoch_it_was_given(shop: StockedShop) -> None:
    shop.prepared()
    hold = {"node_id": shop.node_id, "build_id": "b1"}
    request = shop.request("ReserveNode", hold, by=PROCESSES)
    first = shop.bus.obey(request)
    shop.send("ReleaseNode", hold, by=PROCESSES)
    later = shop.send("ReserveNode", {**hold, "build_id": "b2"}, by=PROCESSES)
    shop.restart()
    assert (first["epoch"], later["epoch"]) == (1, 2)
    assert shop.bus.obey(request) == first


@pytest.mark.parametrize("restarted", [False, True])
def test_a_command_id_is_not_used_for_another_request(
    shop: StockedShop, *, restarted: bool
) -> None:
    request = shop.request("SubmitJob", JOB, by=DESIGNER)
    shop.bus.obey(request)
    if restarted:
        shop.once.close()
        shop.restart()
    body = request.body.replace(b"Hooks", b"Hinges")
    for other in (
        replace(request, body=body),
        shop.request(
            "CancelJob", {"job_id": shop.job_id}, by=DESIGNER, command_id=request.command_id
        ),
    ):
        with pytest.raises(DuplicateCommandError):
            shop.bus.obey(other)


def test_the_same_command_at_the_same_time_has_one_effect_and_one_answer(side: WriteSide) -> None:
    request = side.request("SubmitJob", JOB, by=DESIGNER)
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(30)

    side.log.before.append(wait)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(side.bus.obey, request)
        assert begun.wait(30)
        more = [pool.submit(side.bus.obey, request) for _ in range(3)]
        other = replace(request, body=request.body.replace(b"Hooks", b"Hinges"))
        with pytest.raises(DuplicateCommandError):
            side.bus.obey(other)
        go.set()
        answers = [future.result(5) for future in (first, *more)]
    assert answers == [answers[0]] * 4
    assert len(side.log.records) == 1


def test_the_same_command_in_two_copies_of_the_service_has_one_effect(side: WriteSide) -> None:
    """The second copy is quicker while the first is about to save."""
    request = side.request("SubmitJob", JOB, by=DESIGNER)
    slow, slow_once = side.bus, side.once
    side.restart()
    answers: list[dict[str, Any]] = []
    side.log.before.append(lambda: answers.append(side.bus.obey(request)))
    answers.append(slow.obey(request))
    slow_once.close()
    assert answers[0] == answers[1]
    assert len(side.log.records) == 1


def test_a_change_by_somebody_else_is_decided_on_again(shop: StockedShop) -> None:
    """Two bookings of 600 out of 1000 mg: the one that comes second is refused, not lost."""
    other, other_once = shop.bus, shop.once
    shop.restart()
    use = {"inventory_id": shop.lot_id, "quantity_mg": 600}
    rival = shop.request("ReserveMaterial", {**use, "build_id": "b2"}, by=PROCESSES)
    shop.log.before.append(lambda: other.obey(rival))
    with pytest.raises(InsufficientMaterialError, match="400 mg are free"):
        shop.send("ReserveMaterial", {**use, "build_id": "b1"}, by=PROCESSES)
    other_once.close()
    assert shop.topics[-1] == "inventory:Reserved"


def test_two_people_changing_one_job_at_once_are_both_obeyed(shop: StockedShop) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [
            shop.request(
                "ReprioritizeJob", {"job_id": shop.job_id, "priority": n % 2 + 1}, by=ADMIN
            )
            for n in range(24)
        ]
        answers = list(pool.map(shop.bus.obey, asked))
    job = shop.application.load(UUID(shop.job_id))
    assert shop.refolded(job) == job
    assert max(answer["position"] for answer in answers) == len(shop.log.records)


def test_commands_of_one_process_on_one_object_wait_for_each_other() -> None:
    turns, order = Turns(), list[str]()
    job, other = UUID(int=1), UUID(int=2)

    def second() -> None:
        with turns.turn() as turn:
            turn.wait_for(job)
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with turns.turn() as turn:
            turn.wait_for(job)
            turn.wait_for(other)  # one lock at a time: this does not wait
            waiting = pool.submit(second)
            with turns.turn() as free:
                free.wait_for(other)
            order.append("first")
        waiting.result(5)
    assert order == ["first", "second"]


def test_after_three_more_tries_it_is_said_that_others_keep_changing_it(shop: StockedShop) -> None:
    def lose() -> None:
        raise IntegrityError("somebody was quicker")

    shop.log.before.extend([lose] * 4)
    with pytest.raises(ConflictError):
        shop.send("CancelJob", {"job_id": shop.job_id}, by=DESIGNER)
    shop.log.before.extend([lose] * 3)
    assert shop.send("CancelJob", {"job_id": shop.job_id}, by=DESIGNER)


@pytest.mark.parametrize("name", ["SubmitJob", "OpenAccount", "PauseNode"])
def test_a_full_disk_refuses_clearly_and_leaves_nothing_half_done(
    shop: StockedShop, name: str
) -> None:
    request = shop.request(name, shop.payloads()[name], by=ADMIN)
    events, secrets = len(shop.log.records), dict(shop.secrets.values)
    shop.full = True
    with pytest.raises(StorageFullError):
        shop.bus.obey(request)
    assert (len(shop.log.records), shop.secrets.values) == (events, secrets)
    shop.full = False
    assert shop.bus.obey(request)["position"] > events


def test_a_full_log_that_says_so_itself_is_understood(shop: StockedShop) -> None:
    def full() -> None:
        raise StorageFullError("the event log has no space; nothing was recorded")

    request = shop.request("SubmitJob", JOB, by=DESIGNER)
    shop.log.before.append(full)
    with pytest.raises(StorageFullError):
        shop.bus.obey(request)
    assert shop.bus.obey(request)["position"] == len(shop.log.records)


def test_a_refused_command_may_be_sent_again_when_things_have_changed(shop: StockedShop) -> None:
    use = {"inventory_id": shop.lot_id, "build_id": "b1", "quantity_mg": 1004}
    request = shop.request("ReserveMaterial", use, by=PROCESSES)
    with pytest.raises(InsufficientMaterialError):
        shop.bus.obey(request)
    shop.send("ReceiveMaterial", shop.payloads()["ReceiveMaterial"], by=OPERATOR)
    assert shop.bus.obey(request)["free_mg"] == 1


def test_an_answer_that_cannot_be_kept_is_still_given(shop: StockedShop) -> None:
    def broken() -> None:
        raise UnavailableError("the store of answers is full")

    shop.once.close()
    shop.restart()
    shop.answers.breakages.append(broken)
    request = shop.request("SubmitJob", JOB, by=DESIGNER)
    answer = shop.bus.obey(request)
    shop.once.close()
    kept = len(shop.answers.values)
    shop.restart()
    assert shop.bus.obey(request) == answer
    shop.once.close()
    assert len(shop.answers.values) == kept + 1


def test_answers_of_machines_are_not_kept_in_the_store(shop: StockedShop) -> None:
    shop.once.close()
    shop.restart()
    before = len(shop.answers.values)
    shop.send("ConnectMachine", {"node_id": shop.node_id, "identity": {}}, by=BRIDGE)
    shop.once.close()
    assert len(shop.answers.values) == before


def test_a_command_that_changes_nothing_answers_with_the_last_position(shop: StockedShop) -> None:
    changed = shop.send("PauseNode", {"node_id": shop.node_id}, by=OPERATOR)
    shop.send("SubmitJob", JOB, by=DESIGNER)
    again = shop.send("PauseNode", {"node_id": shop.node_id}, by=OPERATOR)
    assert again["position"] == changed["position"]


def test_a_derived_creation_asked_under_another_id_is_obeyed_already(shop: StockedShop) -> None:
    events = len(shop.log.records)
    assert shop.send("OrderPart", shop.order(), by=PROCESSES)["id"] == shop.part_id
    assert shop.send("PlanBuild", shop.plan(), by=PROCESSES)["id"] == shop.build_id
    assert len(shop.log.records) == events


def test_an_aggregate_remembers_the_commands_it_obeyed_as_a_replay_does(
    shop: StockedShop,
) -> None:
    for number in range(REMEMBERED_COMMANDS + 6):
        name = "PauseNode" if number % 2 else "ResumeNode"
        shop.send(name, {"node_id": shop.node_id}, by=OPERATOR)
    node = shop.application.load(UUID(shop.node_id))
    assert len(node.commands) == REMEMBERED_COMMANDS
    assert shop.refolded(node) == node


def test_a_late_repetition_beyond_memory_and_store_is_still_no_second_creation(
    shop: StockedShop,
) -> None:
    request = shop.request("RegisterNode", {"name": "Mill"}, by=ADMIN)
    first = shop.bus.obey(request)
    for number in range(REMEMBERED_COMMANDS + 2):
        name = "ResumeNode" if number % 2 else "PauseNode"
        shop.send(name, {"node_id": first["id"]}, by=OPERATOR)
    shop.once.close()
    shop.answers.values.clear()
    shop.restart()
    assert shop.bus.obey(request)["id"] == first["id"]
    assert shop.topics.count("node:Registered") == 2

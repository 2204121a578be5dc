"""The same command twice, and two clients at one object."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from domain.shared.errors import ConflictError, DuplicateCommandError, ImeweError
from ops.cli.client import Client
from ops.eventstore.reader import recorded_event
from tests.whole import Whole
from tests.whole_invariants import Refusal, check_everything, whole_log
from tests.whole_orders import PROBLEMS, RECEIVE, SUBMIT
from tests.whole_people import person, token

pytestmark = pytest.mark.stack

CLIENTS = 8
REPRIORITIZE = f"""mutation($id: ID!, $priority: Int!, $commandId: ID) {{
  reprioritizeJob(jobId: $id, priority: $priority, commandId: $commandId) {{
    jobId position {PROBLEMS} }} }}"""


def _order(digest: str, name: str) -> dict[str, Any]:
    part = {"name": "box", "artifactDigest": digest, "materialType": "PLA"}
    return {"name": name, "parts": [part]}


def _events(whole: Whole, about: str) -> list[str]:
    """Topics of everything that happened to one aggregate."""
    return [record.topic for record in whole_log(whole) if record.aggregate == about]


def _together(acts: list[Callable[[], Any]]) -> list[Any]:
    """What each act gave or was refused with, all begun at once."""

    def tried(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except ImeweError as refusal:
            return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(tried, acts))


def test_the_same_order_again_is_the_same_job(whole: Whole, digest: str, refused: Refusal) -> None:
    name = uuid4().hex
    first = whole.command(SUBMIT, input=_order(digest, name), commandId=name)
    again = whole.command(SUBMIT, input=_order(digest, name), commandId=name)
    assert again == first
    assert _events(whole, first["jobId"]).count("imewe.job:Submitted") == 1
    whole.until_ended(first["jobId"])
    later = whole.command(SUBMIT, input=_order(digest, name), commandId=name)
    assert (later["jobId"], later["position"]) == (first["jobId"], first["position"])
    with refused("COMMAND_ID_REUSED"):
        whole.command(SUBMIT, input=_order(digest, "another order"), commandId=name)


def test_the_same_id_of_another_person_is_another_command(whole: Whole, digest: str) -> None:
    name = uuid4().hex
    with person(whole, "designer") as one, person(whole, "designer") as other:
        jobs = {
            person.command(SUBMIT, {"input": _order(digest, name), "commandId": name})["jobId"]
            for person in (one, other)
        }
    assert len(jobs) == 2
    for job_id in jobs:
        whole.until(lambda job_id=job_id: _is_there(whole, job_id), "the order is there")
        whole.until_ended(job_id)


def _is_there(whole: Whole, job_id: str) -> bool:
    found = whole.portal.execute("query($id: ID!) { job(id: $id) { id } }", {"id": job_id})
    return found["job"] is not None


def test_the_same_order_at_once_from_many_clients_is_one_job(whole: Whole, digest: str) -> None:
    name = uuid4().hex
    order = {"input": _order(digest, name), "commandId": name}
    answers = _together([lambda: whole.command(SUBMIT, **order)] * CLIENTS)
    assert answers == [answers[0]] * CLIENTS
    assert _events(whole, answers[0]["jobId"]).count("imewe.job:Submitted") == 1
    whole.until_ended(answers[0]["jobId"])
    check_everything(whole, answers[0]["jobId"])


def test_the_same_id_for_different_orders_at_once_lets_one_through(
    whole: Whole, digest: str
) -> None:
    name = uuid4().hex
    orders = [_order(digest, f"order {number}") for number in range(CLIENTS)]
    answers = _together(
        [lambda order=order: whole.command(SUBMIT, input=order, commandId=name) for order in orders]
    )
    obeyed = [answer for answer in answers if isinstance(answer, dict)]
    assert len(obeyed) == 1, answers
    refusals = [answer for answer in answers if not isinstance(answer, dict)]
    assert {type(refusal) for refusal in refusals} == {DuplicateCommandError}
    submitted = [
        recorded_event(record).event
        for record in whole_log(whole)
        if record.topic == "imewe.job:Submitted" and record.aggregate == obeyed[0]["jobId"]
    ]
    winner = next(order for order, answer in zip(orders, answers, strict=True) if answer in obeyed)
    assert [event.name for event in submitted] == [winner["name"]]
    whole.until_ended(obeyed[0]["jobId"])


def test_the_same_booking_at_once_is_booked_once(whole: Whole) -> None:
    name = uuid4().hex
    booking = {"node": next(iter(whole.names)), "material": "ABS", "lot": name, "mg": 700}
    answers = _together([lambda: whole.command(RECEIVE, **booking, commandId=name)] * CLIENTS)
    assert answers == [answers[0]] * CLIENTS
    again = whole.command(RECEIVE, **booking, commandId=name)
    assert again == answers[0]
    whole.until(lambda: _supplied(whole, name) == [700], "one booking")


def _supplied(whole: Whole, lot: str) -> list[int]:
    return [each["suppliedMg"] for each in whole.lots() if each["lot"] == lot]


def test_two_clients_at_one_job_are_both_told_the_truth(whole: Whole, digest: str) -> None:
    """Each change is in the log once, or was refused; the last one holds."""
    job_id = whole.submit_digest(digest, priority=1)
    with Client(whole.url, token(whole, "admin")) as other:
        mine = [lambda p=p: whole.command(REPRIORITIZE, id=job_id, priority=p) for p in (3, 5, 7)]
        theirs = [
            lambda p=p: other.command(REPRIORITIZE, {"id": job_id, "priority": p})
            for p in (4, 6, 8)
        ]
        answers = [answer for _ in range(5) for answer in _together([*mine, *theirs])]
    positions = [int(answer["position"]) for answer in answers if isinstance(answer, dict)]
    refusals = [answer for answer in answers if not isinstance(answer, dict)]
    assert {type(refusal) for refusal in refusals} <= {ConflictError}
    changes = {
        record.sequence: recorded_event(record).event
        for record in whole_log(whole)
        if record.aggregate == job_id and record.topic == "imewe.job:Reprioritized"
    }
    assert set(changes) <= set(positions)
    assert len(changes) > 1
    assert max(Counter(p for p in positions if p in changes).values()) <= CLIENTS
    whole.acknowledged.append((job_id, max(changes)))
    assert whole.job(job_id)["priority"] == changes[max(changes)].priority
    whole.until_ended(job_id)
    check_everything(whole, job_id)

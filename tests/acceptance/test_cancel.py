"""Cancelling an order in every state: it ends, what was taken is given back, machines confirm."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.shared.errors import IllegalTransitionError
from tests.whole import Whole
from tests.whole_invariants import check_everything, whole_log
from tests.whole_orders import CANCEL, PROBLEMS, SUBMIT
from tests.whole_people import person

pytestmark = pytest.mark.stack

PAUSE = f"mutation($id: ID!) {{ pauseNode(nodeId: $id) {{ nodeId position {PROBLEMS} }} }}"
RESUME = f"mutation($id: ID!) {{ resumeNode(nodeId: $id) {{ nodeId position {PROBLEMS} }} }}"
QUIET_S = 4.0


@pytest.fixture(autouse=True)
def free_machines(whole: Whole) -> Iterator[None]:
    """Each test begins with both machines free, and leaves them so."""
    _until_free(whole)
    yield
    for node in whole.nodes():
        if node["held"]:
            whole.command(RESUME, id=node["id"])
    _until_free(whole)


def _until_free(whole: Whole) -> None:
    def free() -> bool:
        return all(n["connected"] and n["bedClear"] and not n["run"] for n in whole.nodes())

    whole.until(free, "both machines are free")


def _builds(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [build for part in job["parts"] for build in part["builds"]]


def _in(*statuses: str) -> Callable[[dict[str, Any]], bool]:
    return lambda job: bool({build["status"] for build in _builds(job)} & set(statuses))


def _starts(whole: Whole) -> int:
    return sum(int(whole.moved(node_id)["starts"]) for node_id in whole.names)


def _expect_cancelled(whole: Whole, job_id: str, *, starts: int) -> dict[str, Any]:
    """It ends; nothing stays reserved; ``starts`` machines began to move; nothing comes later."""
    job = dict(whole.until_ended(job_id, operator=False))
    assert job["status"] == "CANCELLED", job
    assert {part["productionStatus"] for part in job["parts"]} == {"CANCELLED"}
    whole.until(lambda: not [lot for lot in whole.lots() if lot["reservedMg"]], "nothing reserved")
    whole.until(lambda: not [node for node in whole.nodes() if node["run"]], "no run is left")
    assert starts == 0 or any(build["status"] == "CANCELLED" for build in _builds(job))
    check_everything(whole, job_id)
    return job


def test_an_order_that_nobody_can_judge_yet_is_cancelled_at_once(
    whole: Whole, program: Path
) -> None:
    """SUBMITTED: an organisation without machines cannot even validate it."""
    organisation = str(uuid4())
    with person(whole, "admin", organisation) as admin:
        digest = admin.upload(program)["digest"]
        part = {"name": "box", "artifactDigest": digest, "materialType": "PLA"}
        sent = admin.command(SUBMIT, {"input": {"name": "early", "parts": [part]}})
        job_id = sent["jobId"]
        status = "query($id: ID!, $p: Position) { job(id: $id, atLeast: $p) { status } }"
        asked = {"id": job_id, "p": sent["position"]}
        assert admin.execute(status, asked)["job"]["status"] == "SUBMITTED"
        asked["p"] = admin.command(CANCEL, {"id": job_id})["position"]
        whole.until(
            lambda: admin.execute(status, asked)["job"]["status"] == "CANCELLED", "it is cancelled"
        )
    check_everything(whole)


def test_an_order_that_waits_for_a_machine_is_cancelled_and_never_made(
    whole: Whole, digest: str
) -> None:
    before = _starts(whole)
    for node_id in whole.names:
        whole.command(PAUSE, id=node_id)
    job_id = whole.submit_digest(digest)
    waiting = whole.until_job(job_id, lambda job: job["status"] == "SCHEDULED", "it waits")
    assert not _builds(waiting)
    whole.command(CANCEL, id=job_id)
    job = _expect_cancelled(whole, job_id, starts=0)
    assert not _builds(job)
    for node_id in whole.names:
        whole.command(RESUME, id=node_id)
    time.sleep(QUIET_S)
    assert _starts(whole) == before


@contextmanager
def _frozen(whole: Whole, name: str) -> Iterator[None]:
    """One program stands still, as a machine that swaps or a debugger makes it."""
    pid = whole.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_order_on_the_machines_queue_is_cancelled_before_the_bridge_takes_it(
    whole: Whole, digest: str
) -> None:
    before = _starts(whole)
    with _frozen(whole, "bridge"):
        job_id = whole.submit_digest(digest)
        whole.until_job(job_id, _in("SENT"), "its build is on the queue")
        whole.command(CANCEL, id=job_id)
        _expect_cancelled(whole, job_id, starts=0)
    time.sleep(QUIET_S)  # the bridge finds the work message now, and the log says no
    assert _starts(whole) == before
    check_everything(whole, job_id)


def test_a_running_order_is_cancelled_when_its_machine_has_confirmed(
    whole: Whole, digest: str
) -> None:
    before = _starts(whole)
    job_id = whole.submit_digest(digest)
    whole.until_job(job_id, lambda job: _at_least(job, 10), "its build is at 10 %")
    whole.command(CANCEL, id=job_id)
    job = _expect_cancelled(whole, job_id, starts=1)
    assert _starts(whole) == before + 1
    (build,) = _builds(job)
    assert 0 < build["percent"] < 100
    wasted = [lot["wastedMg"] for lot in whole.lots() if lot["nodeId"] == build["nodeId"]]
    assert sum(wasted) > 0


def _at_least(job: dict[str, Any], percent: int) -> bool:
    return any(b["status"] == "RUNNING" and b["percent"] >= percent for b in _builds(job))


def test_a_paused_order_is_cancelled(whole: Whole, digest: str) -> None:
    before = _starts(whole)
    job_id = whole.submit_digest(digest)
    running = whole.until_job(job_id, lambda job: _at_least(job, 5), "its build runs")
    node_id = _builds(running)[-1]["nodeId"]
    whole.command(PAUSE, id=node_id)
    whole.until_job(job_id, lambda job: job["status"] == "PAUSED", "the machine holds")
    whole.command(CANCEL, id=job_id)
    _expect_cancelled(whole, job_id, starts=1)
    assert _starts(whole) == before + 1
    assert whole.node(node_id)["held"]


def test_a_running_order_of_two_pieces_is_cancelled_on_both_machines(
    whole: Whole, digest: str
) -> None:
    part = {"name": "box", "artifactDigest": digest, "materialType": "PLA", "quantity": 5}
    job_id = whole.submit_digest(digest, parts=[part])
    whole.until_job(
        job_id,
        lambda job: [b["status"] for b in _builds(job)].count("RUNNING") == 2,
        "two builds run",
    )
    whole.command(CANCEL, id=job_id)
    job = _expect_cancelled(whole, job_id, starts=2)
    assert len(_builds(job)) == 2
    assert {piece["status"] for piece in job["parts"][0]["pieces"]} == {"CANCELLED"}


def test_an_ended_order_is_not_cancelled_and_a_cancelled_one_stays_so(
    whole: Whole, digest: str
) -> None:
    job_id = whole.submit_digest(digest)
    assert whole.until_ended(job_id)["status"] == "COMPLETED"
    events = [record.sequence for record in whole_log(whole) if record.aggregate == job_id]
    with pytest.raises(IllegalTransitionError):
        whole.command(CANCEL, id=job_id)
    assert [r.sequence for r in whole_log(whole) if r.aggregate == job_id] == events

    _until_free(whole)
    other = whole.submit_digest(digest)
    first = whole.command(CANCEL, id=other)
    assert whole.until_ended(other)["status"] == "CANCELLED"
    again = whole.command(CANCEL, id=other)
    assert int(again["position"]) >= int(first["position"])
    asked = [r for r in whole_log(whole) if r.topic == "imewe.job:CancelRequested"]
    assert [r.aggregate for r in asked].count(other) == 1

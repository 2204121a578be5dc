"""kill -9 of everything in the middle of a job: nothing lost, nothing twice, nothing stuck."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.shared.errors import UnavailableError
from tests.whole import PROGRAMS, Whole, whole_system
from tests.whole_invariants import check_everything
from tests.whole_orders import CLEAR, RECEIVE, SUBMIT, small_program

pytestmark = pytest.mark.stack

POINTS = 2
LONG_POINTS = 20
MIDDLE_S = 3.5
"""About as long as a job takes when nobody disturbs it; kills fall into it."""
RUNNING_S = 1.5
"""A build surely runs for so long after its start."""
BOOKED_MG = 1000
SEED = random.SystemRandom().randrange(1 << 32)


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with whole_system() as whole:
        yield whole


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_program(tmp_path_factory.mktemp("program"), layers=20)


class Bookkeeper(threading.Thread):
    """Books material in while things die. Each booking is sent under one id until it is answered,
    so in the end each must have happened exactly once."""

    def __init__(self, whole: Whole, lot: str) -> None:
        super().__init__()
        self.lot = lot
        self.booked = 0
        self.repeated = 0
        self.failure: Exception | None = None
        self._whole = whole
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._book(uuid4().hex)
                self._ending.wait(0.05)
        except Exception as failure:  # a thread's failure is the test's
            self.failure = failure

    def end(self) -> None:
        self._ending.set()
        self.join(60)
        assert not self.is_alive(), "a booking was never answered"
        if self.failure:
            raise self.failure

    def _book(self, command_id: str) -> None:
        node = next(iter(self._whole.names))
        sent = {"node": node, "material": "ABS", "lot": self.lot, "mg": BOOKED_MG}
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                self._whole.command(RECEIVE, **sent, commandId=command_id)
                self.booked += 1
                return
            except UnavailableError:
                self.repeated += 1
                time.sleep(0.1)
        raise AssertionError("a booking was not answered within a minute")


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("target", [*PROGRAMS, "supervisor"])
def test_a_kill_in_mid_job_loses_and_repeats_nothing(
    whole: Whole, program: Path, target: str, long_tests: bool
) -> None:
    draw = random.Random(f"{SEED} {target}")
    for point in range(LONG_POINTS if long_tests else POINTS):
        after = draw.uniform(0.0, RUNNING_S if target == "bridge" else MIDDLE_S)
        print(f"seed {SEED}: {target}, point {point}, kill after {after:.3f} s")  # noqa: T201
        _killed(whole, program, target, after)


def _killed(whole: Whole, program: Path, target: str, after: float) -> None:
    order = whole.order(program, quantity=2)
    bookkeeper = Bookkeeper(whole, f"{target}-{uuid4().hex[:8]}")
    bookkeeper.start()
    try:
        job_id = whole.command(SUBMIT, input=order)["jobId"]
        if target == "bridge":
            whole.until_job(job_id, running, "a build runs")
        time.sleep(after)
        killed = whole.kill(target)
        _until_back(whole, target, killed)
        if target == "bridge":
            whole.until_job(job_id, whole.questions, "a question to the operator")
        ended = whole.until_ended(job_id)
    finally:
        bookkeeper.end()
    _expect_made(ended)
    _expect_booked(whole, bookkeeper)
    _settle(whole)
    check_everything(whole, job_id)


def running(job: dict[str, Any]) -> bool:
    """Whether a machine works on it."""
    return any(b["status"] == "RUNNING" for part in job["parts"] for b in part["builds"])


def _until_back(whole: Whole, target: str, killed: int) -> None:
    whole.until(lambda: whole.pid(target) not in (0, killed), f"{target} runs again")


def _expect_made(job: dict[str, Any]) -> None:
    assert job["status"] == "COMPLETED", job
    (part,) = job["parts"]
    assert part["passed"] == part["quantity"] == 2
    unknown = [b for b in part["builds"] if b["status"] == "INSPECTED" and b["passed"] is False]
    made = [b for b in part["builds"] if b["passed"]]
    assert len(made) == 2, part["builds"]
    withdrawn = [b for b in part["builds"] if b["status"] in ("FAILED", "CANCELLED")]
    assert len(made) + len(unknown) + len(withdrawn) == len(part["builds"])


def _expect_booked(whole: Whole, bookkeeper: Bookkeeper) -> None:
    def booked() -> list[int]:
        return [lot["suppliedMg"] for lot in whole.lots() if lot["lot"] == bookkeeper.lot]

    assert bookkeeper.booked > 0
    wanted = [bookkeeper.booked * BOOKED_MG]
    whole.until(lambda: booked() == wanted, f"every booking once: {wanted} mg")


def _settle(whole: Whole) -> None:
    """Both machines are free and their beds clear, so the next job begins as this one did."""

    def free() -> bool:
        nodes = whole.nodes()
        for node in nodes:
            if node["run"] is None and not node["bedClear"]:
                whole.command(CLEAR, id=node["id"])
        return all(n["connected"] and n["bedClear"] and n["run"] is None for n in nodes)

    whole.until(free, "both machines are free")

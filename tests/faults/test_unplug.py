"""The cable of a machine is pulled in mid-build: a question to a person, and no guess."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whole import ENDED, Whole, whole_system
from tests.whole_invariants import check_everything
from tests.whole_orders import CANCEL, CLEAR, PASS, PROBLEMS, SCRAP, printer, small_program

pytestmark = pytest.mark.stack

UNPLUG = [{"kind": "unplug", "at_line": 60, "for_s": 1.5}]
LOOSE = tuple(printer(f"virtual-printer-{n}", faults=UNPLUG) for n in (1, 2, 3))
"""Each loses its cable once."""
PAUSE = f"mutation($id: ID!) {{ pauseNode(nodeId: $id) {{ nodeId position {PROBLEMS} }} }}"
WATCH_S = 6.0


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with whole_system(LOOSE) as whole:
        yield whole


def test_an_order_cancelled_while_nobody_knows_its_outcome_waits_for_the_verdict(
    whole: Whole, tmp_path: Path
) -> None:
    job_id = whole.submit(small_program(tmp_path, layers=25))
    asked = whole.until_job(job_id, whole.questions, "a question")
    ((part_id, piece, node_id),) = whole.questions(asked)
    whole.command(CANCEL, id=job_id)
    time.sleep(2.0)
    waiting = whole.job(job_id)
    assert waiting["status"] not in ENDED
    assert len(whole.questions(waiting)) == 1
    whole.command(SCRAP, id=part_id, piece=piece)
    whole.command(CLEAR, id=node_id)
    ended = whole.until_ended(job_id, operator=False)
    assert ended["status"] == "CANCELLED"
    assert len(ended["parts"][0]["builds"]) == 1  # nothing is made instead
    check_everything(whole, job_id)
    whole.command(PAUSE, id=node_id)  # its cable is fast now: the next test wants the others


def test_an_unplugged_build_asks_a_person_never_resumes_and_ends_by_the_verdict(
    whole: Whole, tmp_path: Path
) -> None:
    _leave_two(whole)
    program = small_program(tmp_path, layers=25)
    job_id = whole.submit(program, quantity=2)
    asked = whole.until_job(job_id, _asks_twice, "two questions")
    assert len(whole.questions(asked)) == 2
    (part,) = asked["parts"]
    assert asked["status"] not in ENDED
    for build in part["builds"]:
        assert build["reason"]
        assert 0 < build["facts"]["lines_done"] < build["facts"]["lines_total"]
        assert build["facts"]["observed"]

    _expect_no_resume(whole, job_id)

    first, second = part["builds"]
    whole.command(PASS, id=part["id"], piece=first["piece"])
    whole.command(CLEAR, id=first["nodeId"])
    whole.command(SCRAP, id=part["id"], piece=second["piece"])
    whole.command(CLEAR, id=second["nodeId"])
    ended = whole.until_ended(job_id, operator=False)
    assert ended["status"] == "COMPLETED"
    (part,) = ended["parts"]
    assert [(b["status"], b["passed"]) for b in part["builds"]] == [
        ("INSPECTED", True),
        ("INSPECTED", False),
        ("INSPECTED", True),
    ]
    again = next(p for p in part["pieces"] if p["piece"] == part["builds"][2]["piece"])
    scrapped = next(p for p in part["pieces"] if p["piece"] == second["piece"])
    assert (scrapped["status"], scrapped["replacement"]) == ("SCRAPPED", again["piece"])
    check_everything(whole, job_id)


def _asks_twice(job: dict[str, Any]) -> bool:
    """Two builds whose outcome nobody knows, each with a piece for somebody to look at."""
    builds = [build["status"] for part in job["parts"] for build in part["builds"]]
    pieces = [piece["status"] for part in job["parts"] for piece in part["pieces"]]
    return builds == ["OUTCOME_UNKNOWN"] * 2 and pieces == ["TO_INSPECT"] * 2


def _leave_two(whole: Whole) -> None:
    """Two machines whose cables are loose take orders, however many tests came before."""
    if not [node for node in whole.nodes() if node["held"]]:
        whole.command(PAUSE, id=whole.nodes()[0]["id"])


def _expect_no_resume(whole: Whole, job_id: str) -> None:
    """The machines are back, and nothing moves: not this job, and none after it."""
    whole.until(lambda: not [n for n in whole.nodes() if n["run"]], "the machines are given up")
    whole.until(lambda: all(n["connected"] for n in whole.nodes()), "both are plugged in again")
    later = whole.submit(*_tiny(whole))
    before = {node_id: whole.moved(node_id) for node_id in whole.names}
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        assert len(whole.questions(whole.job(job_id))) == 2
        assert not _builds(whole.job(later))
        taken = [n for n in whole.nodes() if not n["held"]]
        assert len(taken) == 2
        assert not [n for n in taken if n["bedClear"] or n["run"]]
        time.sleep(0.5)
    assert {node_id: whole.moved(node_id) for node_id in whole.names} == before
    free = [node["id"] for node in whole.nodes() if not node["held"]]
    assert [before[node_id]["starts"] for node_id in free] == [1, 1]
    _cancel(whole, later)


def _tiny(whole: Whole) -> list[Path]:
    return [small_program(whole.home.parent, layers=2)]


def _builds(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        build for part in job["parts"] for build in part["builds"] if build["status"] != "FAILED"
    ]


def _cancel(whole: Whole, job_id: str) -> None:
    whole.command(CANCEL, id=job_id)
    assert whole.until_ended(job_id, operator=False)["status"] == "CANCELLED"

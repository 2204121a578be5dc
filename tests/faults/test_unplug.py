"""The cable of a machine is pulled in mid-build: a question to a person, and no guess."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whole import CANCEL, CLEAR, PASS, SCRAP, Whole, printer, small_program, whole_system
from tests.whole_invariants import check_everything

pytestmark = pytest.mark.stack

UNPLUG = [{"kind": "unplug", "at_line": 60, "for_s": 1.5}]
LOOSE = (printer("virtual-printer-1", faults=UNPLUG), printer("virtual-printer-2", faults=UNPLUG))
WATCH_S = 6.0


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with whole_system(LOOSE) as whole:
        yield whole


def test_an_unplugged_build_asks_a_person_never_resumes_and_ends_by_the_verdict(
    whole: Whole, tmp_path: Path
) -> None:
    program = small_program(tmp_path, layers=25)
    job_id = whole.submit(program, quantity=2)
    asked = whole.until_job(job_id, lambda job: len(whole.questions(job)) == 2, "two questions")
    (part,) = asked["parts"]
    assert asked["status"] not in ("COMPLETED", "FAILED", "CANCELLED")
    assert {piece["status"] for piece in part["pieces"]} == {"TO_INSPECT"}
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


def _expect_no_resume(whole: Whole, job_id: str) -> None:
    """The machines are back, and nothing moves: not this job, and none after it."""
    whole.until(lambda: all(n["connected"] for n in whole.nodes()), "both are plugged in again")
    later = whole.submit(*_tiny(whole))
    before = {node_id: whole.moved(node_id) for node_id in whole.names}
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        assert len(whole.questions(whole.job(job_id))) == 2
        assert not _builds(whole.job(later))
        assert not [n for n in whole.nodes() if n["bedClear"] or n["run"]]
        time.sleep(0.5)
    assert {node_id: whole.moved(node_id) for node_id in whole.names} == before
    assert all(counts["starts"] == 1 for counts in before.values())
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

"""The log's disk is full: commands are refused in clear words, nothing is half done, and all goes
on when there is space again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.shared.errors import ImeweError, StorageFullError
from ops.hosting.home import make_home
from ops.messaging.space import RESERVE, free_bytes
from tests.whole import Whole, own_home, whole_at
from tests.whole_invariants import check_everything, whole_log
from tests.whole_orders import RECEIVE, SUBMIT, small_program

pytestmark = pytest.mark.stack

DISK_BYTES = 256 << 20
SLACK_BYTES = 1 << 20


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with own_home() as home:
        make_home(home)
        with _disk(home / "nats"), whole_at(home) as whole:
            yield whole


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    how = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"]
    if subprocess.run(["mount", *how, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow a mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(home: Path, leave: int) -> Path:
    """A file that takes all space of the log's disk but ``leave`` bytes."""
    ballast = home / "nats" / "ballast"
    ballast.write_bytes(b"")
    size = max(0, free_bytes(home) - leave)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return ballast


@pytest.mark.parametrize("leave", [RESERVE - SLACK_BYTES, 0], ids=["nearly full", "full"])
def test_a_full_disk_refuses_clearly_and_space_brings_everything_back(
    whole: Whole, tmp_path: Path, leave: int
) -> None:
    program = small_program(tmp_path, layers=25)
    order = whole.order(program)
    under_way = whole.submit(program)
    whole.until_job(under_way, _runs, "a build runs")

    ballast = _fill(whole.home, leave)
    refused = f"refused-{uuid4().hex}"
    for document, variables in _wishes(whole, order, refused):
        with pytest.raises(StorageFullError) as full:
            whole.command(document, **variables)
        assert "disk is full" in full.value.message
        assert full.value.remedy
    known = whole.job(under_way)  # reading goes on
    assert known["id"] == under_way
    recorded = whole_log(whole)
    assert not [record for record in recorded if refused.encode() in record.body]
    lots = {lot["lot"] for lot in whole.lots()}
    assert refused not in lots

    ballast.unlink()
    for document, variables in _wishes(whole, order, refused):
        whole.persist(document, **variables)
    assert whole.until_ended(under_way)["status"] == "COMPLETED"
    jobs = {about for about, _ in whole.acknowledged}
    assert under_way in jobs
    again = whole.command(SUBMIT, **dict(_wishes(whole, order, refused))[SUBMIT])
    assert whole.until_ended(again["jobId"])["status"] == "COMPLETED"
    (lot,) = [lot for lot in whole.lots() if lot["lot"] == refused]
    assert lot["suppliedMg"] == 5000
    check_everything(whole, under_way, again["jobId"])


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(
    whole: Whole, tmp_path: Path
) -> None:
    program = small_program(tmp_path, layers=400)
    program.write_text(program.read_text() + "; filler\n" * 300_000)
    ballast = _fill(whole.home, SLACK_BYTES)
    with pytest.raises(ImeweError) as full:
        whole.portal.upload(program)
    assert full.value.code == "STORAGE_FULL"
    ballast.unlink()
    digest = whole.until(lambda: whole.portal.upload(program), "an upload")["digest"]
    assert len(digest) == 64
    check_everything(whole)


def _wishes(whole: Whole, order: dict[str, Any], name: str) -> list[tuple[str, dict[str, Any]]]:
    booking = {"node": next(iter(whole.names)), "material": "ABS", "lot": name, "mg": 5000}
    return [
        (SUBMIT, {"input": {**order, "name": name}, "commandId": f"{name}-1"}),
        (RECEIVE, {**booking, "commandId": f"{name}-2"}),
    ]


def _runs(job: dict[str, Any]) -> bool:
    return any(b["status"] == "RUNNING" for part in job["parts"] for b in part["builds"])

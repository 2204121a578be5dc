"""What a clean one-piece order costs the log, against the committed table."""

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.whole import Whole
from tests.whole_invariants import whole_log

pytestmark = pytest.mark.stack

PAGE = Path(__file__).parents[2] / "ops/docs/events-per-job.md"
ROW = re.compile(r"^\| `(imewe\.\w+:\w+)` \| (\d+) \|", re.MULTILINE)
REST_S = 10.0


def _table() -> dict[str, int]:
    return {topic: int(most) for topic, most in ROW.findall(PAGE.read_text())}


def _until_free(whole: Whole) -> None:
    def free() -> bool:
        nodes = whole.nodes()
        return all(n["connected"] and n["bedClear"] and not n["run"] for n in nodes)

    whole.until(free, "both machines are free")


def _until_quiet(whole: Whole) -> int:
    """The log's last position once nothing has been added for two seconds."""
    last, since = len(whole_log(whole)), time.monotonic()
    while time.monotonic() - since < 2.0:
        time.sleep(0.2)
        if (now := len(whole_log(whole))) != last:
            last, since = now, time.monotonic()
    return last


def test_a_clean_one_piece_order_costs_what_the_table_says(whole: Whole, digest: str) -> None:
    _until_free(whole)
    before = _until_quiet(whole)
    job_id = whole.submit_digest(digest)
    assert whole.until_ended(job_id)["status"] == "COMPLETED"
    _until_free(whole)
    after = _until_quiet(whole)
    counted = Counter(record.topic for record in whole_log(whole)[before:after])
    table = _table()
    grown = {topic: times for topic, times in counted.items() if times > table.get(topic, 0)}
    assert not grown, f"more than {PAGE.name} says: {grown}"
    gone = set(table) - set(counted)
    assert not gone, f"{PAGE.name} names what does not happen any more: {gone}"
    said = re.search(r"\*\*At most (\d+) events\*\*", PAGE.read_text())
    assert said is not None
    assert int(said[1]) == sum(table.values())


def test_a_shop_at_rest_records_nothing(whole: Whole) -> None:
    _until_free(whole)
    before = _until_quiet(whole)
    time.sleep(REST_S)
    assert [record.topic for record in whole_log(whole)[before:]] == []

"""What a bridge reports of a build says which order it carries out."""

import json
from pathlib import Path
from typing import Any

import pytest

from device_bridge.journal import Journal
from device_bridge.work import Work, parse_work
from tests.fake_ports import FakeClock

NODE = "node-1"


def message(**changes: Any) -> bytes:
    told = {"build_id": "b1", "node_id": NODE, "epoch": 1, "artifact": {"digest": "d", "size": 1}}
    return json.dumps({**told, **changes}).encode()


async def test_a_report_of_a_build_names_the_event_that_sent_it_and_others_name_nothing(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal.db", clock=FakeClock())
    await journal.open()
    await journal.accept(parse_work(message(causation_id="sent", correlation_id="story")))
    found = []
    for name, payload in (("StartBuild", {"build_id": "b1"}), ("ObserveNode", {"node_id": NODE})):
        await journal.post(NODE, name, payload)
        report = await journal.next_report(NODE)
        assert report is not None
        found.append((report.name, report.causation_id, report.correlation_id))
        await journal.delivered(report)
    await journal.close()
    assert found == [("StartBuild", "sent", "story"), ("ObserveNode", "", "")]


@pytest.mark.parametrize("name", ["a\r\nb: c", "x" * 129, 7, None, ["sent"]])
def test_a_cause_that_fits_no_header_is_left_out_and_the_work_is_done(name: Any) -> None:
    work = parse_work(message(causation_id=name))
    assert (work.build_id, work.causation_id) == ("b1", "")


def test_work_that_was_written_down_before_causes_were_told_is_still_read() -> None:
    kept = json.loads(Work(build_id="b1", node_id=NODE, epoch=1, digest="d", size=1).as_json())
    del kept["causation_id"], kept["correlation_id"]
    assert Work(**kept).causation_id == ""

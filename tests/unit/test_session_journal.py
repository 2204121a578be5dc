"""The bridge's memory: intents, fencing epochs, and the outbox."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from device_bridge.journal import BuildState, Journal, Report
from device_bridge.outbox import Courier
from device_bridge.work import Work, parse_work
from domain.shared.errors import (
    ForbiddenError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    StaleEpochError,
    UnavailableError,
)

NODE = "node-1"


def build(build_id: str = "b1", *, epoch: int = 1) -> Work:
    return Work(build_id=build_id, node_id=NODE, epoch=epoch, digest="d", size=1)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "journal.db")
    await opened.open()
    yield opened
    await opened.close()


async def drained(journal: Journal) -> list[Report]:
    reports = []
    while report := await journal.next_report(NODE):
        reports.append(report)
        await journal.delivered(report)
    return reports


async def test_an_intent_outlives_the_bridge_and_its_epoch_counts_lives(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.db")
    await first.open()
    await first.accept(build())
    await first.record(build(), BuildState.STARTED, facts={"lines_done": 3})
    await first.close()
    second = Journal(tmp_path / "journal.db")
    await second.open()
    (entry,) = await second.unfinished(NODE)
    assert (entry.work, entry.state, entry.facts) == (
        build(),
        BuildState.STARTED,
        {"lines_done": 3},
    )
    assert (first.bridge_epoch, second.bridge_epoch) == (1, 2)
    await second.close()


async def test_an_epoch_below_the_highest_seen_is_refused_and_nothing_is_kept(
    journal: Journal,
) -> None:
    await journal.accept(build(epoch=5))
    with pytest.raises(StaleEpochError):
        await journal.accept(build("b2", epoch=4))
    assert await journal.entry("b2") is None


async def test_a_state_and_its_report_are_written_together(journal: Journal) -> None:
    await journal.accept(build())
    with pytest.raises(TypeError):
        await journal.record(
            build(), BuildState.FINISHED, reports=(("FinishBuild", {"bad": object()}),)
        )
    entry = await journal.entry("b1")
    assert entry is not None
    assert entry.state is BuildState.ACCEPTED
    assert await journal.next_report(NODE) is None


async def test_untried_progress_gives_way_to_newer_progress_and_nothing_else_does(
    journal: Journal,
) -> None:
    await journal.post(NODE, "StartBuild", {"build_id": "b1"})
    for percent in (5, 10, 15):
        await journal.post(NODE, "ReportProgress", {"build_id": "b1", "percent": percent})
    await journal.post(NODE, "FinishBuild", {"build_id": "b1"})
    await journal.post(NODE, "StartBuild", {"build_id": "b2"})
    await journal.post(NODE, "ReportProgress", {"build_id": "b2", "percent": 5})
    found = [(report.name, report.payload.get("percent")) for report in await drained(journal)]
    assert found == [
        ("StartBuild", None),
        ("ReportProgress", 15),
        ("FinishBuild", None),
        ("StartBuild", None),
        ("ReportProgress", 5),
    ]


async def test_a_report_that_was_tried_keeps_its_payload_and_its_name(journal: Journal) -> None:
    await journal.post(NODE, "ReportProgress", {"build_id": "b1", "percent": 5})
    tried = await journal.next_report(NODE)
    await journal.post(NODE, "ReportProgress", {"build_id": "b1", "percent": 10})
    again = await journal.next_report(NODE)
    assert tried is not None
    assert again is not None
    assert (again.payload, again.command_id) == (tried.payload, tried.command_id)
    assert [report.payload["percent"] for report in await drained(journal)] == [5, 10]


class Core:
    """Answers as told: each error once, in order, then well."""

    def __init__(self, *errors: ImeweError) -> None:
        self.errors = list(errors)
        self.heard: list[tuple[str, str]] = []

    async def send(self, name: str, payload: dict[str, Any], *, command_id: str) -> dict[str, Any]:
        self.heard.append((name, command_id))
        if self.errors:
            raise self.errors.pop(0)
        return {"position": 1}


async def delivered(journal: Journal, core: Core, refused: list[str]) -> None:
    courier = Courier(journal, core, refused=lambda report, _: refused.append(report.name))
    running = asyncio.create_task(courier.run(NODE))
    async with asyncio.timeout(10):
        while await journal.next_report(NODE) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_report_is_sent_under_one_name_until_it_is_answered(journal: Journal) -> None:
    core = Core(UnavailableError("away"), UnavailableError("away"))
    await journal.post(NODE, "StartBuild", {"build_id": "b1"})
    await journal.post(NODE, "FinishBuild", {"build_id": "b1"})
    await delivered(journal, core, [])
    assert [name for name, _ in core.heard] == ["StartBuild"] * 3 + ["FinishBuild"]
    assert len({command_id for _, command_id in core.heard}) == 2


async def test_a_report_refused_for_good_is_told_and_holds_up_nothing(journal: Journal) -> None:
    core, refused = Core(ForbiddenError("no")), []
    await journal.post(NODE, "StartBuild", {"build_id": "b1"})
    await journal.post(NODE, "FinishBuild", {"build_id": "b1"})
    await delivered(journal, core, refused)
    assert refused == ["StartBuild"]
    assert [name for name, _ in core.heard] == ["StartBuild", "FinishBuild"]


async def test_a_machine_connects_as_soon_as_its_node_is_registered(journal: Journal) -> None:
    core, refused = Core(NotFoundError("no node")), []
    await journal.post(NODE, "ConnectMachine", {"node_id": NODE})
    await delivered(journal, core, refused)
    assert refused == []
    assert len(core.heard) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"build_id": "b", "node_id": "n", "epoch": -1}',
        b'{"build_id": "b", "node_id": "n", "epoch": true}',
        b'{"build_id": "b", "node_id": "n", "epoch": 1}',
        b'{"build_id": "b", "node_id": "n", "epoch": 1, "command": "dance"}',
        b'{"build_id": "", "node_id": "n", "epoch": 1, "artifact": {"digest": "d"}}',
    ],
)
def test_a_work_message_that_cannot_be_believed_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse_work(body)

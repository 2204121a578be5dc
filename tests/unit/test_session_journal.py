"""The bridge's memory: intents, fencing epochs, and the outbox."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from device_bridge.journal import SCHEMA, BuildState, Journal, Report
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
from tests.fake_ports import FakeClock

NODE = "node-1"


def build(build_id: str = "b1", *, epoch: int = 1) -> Work:
    return Work(build_id=build_id, node_id=NODE, epoch=epoch, digest="d", size=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "journal.db", clock=clock)
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
    first = Journal(tmp_path / "journal.db", clock=FakeClock())
    await first.open()
    await first.accept(build())
    await first.record(build(), BuildState.STARTED, facts={"lines_done": 3})
    await first.close()
    second = Journal(tmp_path / "journal.db", clock=FakeClock())
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
        self.causes: list[dict[str, str]] = []

    async def send(
        self, name: str, payload: dict[str, Any], *, command_id: str, **cause: str
    ) -> dict[str, Any]:
        self.causes.append(cause)
        self.heard.append((name, command_id))
        if self.errors:
            raise self.errors.pop(0)
        return {"position": 1}


async def delivered(journal: Journal, core: Core, refused: list[str]) -> None:
    courier = Courier(journal, core, refused=lambda report, _: refused.append(report.name))
    running = asyncio.create_task(courier.run(NODE))
    async with asyncio.timeout(30):
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


async def test_a_build_is_forgotten_a_month_after_its_last_report_was_delivered(
    journal: Journal, clock: FakeClock
) -> None:
    finished = ("FinishBuild", {"build_id": "b1"})
    await journal.accept(build())
    await journal.record(build(), BuildState.FINISHED, reports=(finished,))
    clock.advance(days=40)
    assert await journal.prune() == 0  # the core was away and does not know yet
    await drained(journal)
    clock.advance(days=29)
    assert await journal.prune() == 0
    clock.advance(days=2)
    assert await journal.prune() == 1
    assert await journal.entry("b1") is None


@pytest.mark.parametrize("state", [s for s in BuildState if s.open])
async def test_a_build_whose_end_is_to_come_is_never_forgotten(
    journal: Journal, clock: FakeClock, state: BuildState
) -> None:
    await journal.accept(build())
    await journal.record(build(), state)
    clock.advance(days=400)
    assert await journal.prune() == 0
    assert await journal.entry("b1") is not None


@pytest.mark.parametrize("state", [s for s in BuildState if not s.open])
async def test_every_ended_build_is_forgotten_and_its_machines_epoch_is_not(
    journal: Journal, clock: FakeClock, state: BuildState
) -> None:
    await journal.accept(build(epoch=5))
    await journal.record(build(), state)
    clock.advance(days=31)
    assert await journal.prune() == 1
    with pytest.raises(StaleEpochError):
        await journal.accept(build("b2", epoch=4))


async def test_a_file_of_an_older_bridge_is_taken_over(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(SCHEMA)
        old.execute(
            "INSERT INTO builds VALUES ('b1', ?, 1, 'FINISHED', ?, '{}')",
            (NODE, build().as_json()),
        )
        old.commit()
    journal = Journal(path, clock=clock)
    await journal.open()
    assert await journal.prune() == 0  # its month begins now
    clock.advance(days=31)
    assert await journal.prune() == 1
    await journal.close()

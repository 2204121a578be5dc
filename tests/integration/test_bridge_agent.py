"""A whole bridge between a core in files and virtual machines on ptys; and its death."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from device_bridge import gcode
from device_bridge.journal import KEPT, BuildState, Journal
from device_bridge.virtual.marlin import VirtualMarlin
from device_bridge.work import Work, parse_work
from ops.clock import SystemClock
from tests.integration.bridge_fakes import FileCore
from tests.integration.bridge_rig import milled, printed, until
from tests.integration.bridge_shop import NODE, bridge, bridge_process, shop


async def test_a_build_is_accepted_run_and_reported_with_its_figures(tmp_path: Path) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(200))
        finished = await core.told("FinishBuild")
        await core.told("ClearBed")
        assert finished["material_mm3"] == 24
        assert finished["material_mg"] == 30
        assert finished["energy_source"] == "virtual meter"
        assert finished["energy_j"] > 1000
        assert finished["duration_ms"] > 0
        names = [line["name"] for line in core.commands()]
        assert names.index("ConnectMachine") < names.index("ObserveNode")
        assert names.index("AcceptBuild") < names.index("StartBuild") < names.index("FinishBuild")
        percents = [line["percent"] for line in core.commands("ReportProgress")]
        assert percents == sorted(set(percents))  # a fast build may skip some on the way
        assert all(percent % 5 == 0 and 0 < percent < 100 for percent in percents)
        assert core.commands("ClearBed")[0]["by"] == "virtual attendant"
        assert place.machines[0].ledger.counts.starts == 1
        assert not list((tmp_path / "core" / "work" / NODE).iterdir())


async def test_samples_go_to_the_feed_in_columns_and_not_to_the_log(tmp_path: Path) -> None:
    async with shop(tmp_path), bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(300, feed=3000))
        await core.told("FinishBuild")
        await until(lambda: any(m["build_id"] == "b1" for m in core.samples))
        message = next(m for m in core.samples if m["build_id"] == "b1")
        assert len(message["t"]) == len(message["c"]) == len(message["v"]) <= 1000
        assert {message["channels"][i] for i in message["c"]} == set(message["channels"])
        assert "power_w" in {name for m in core.samples for name in m["channels"]}
        assert len(core.commands("ObserveNode")) < 6


async def test_the_same_message_again_starts_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        message = core.order("b1", NODE, printed(20))
        await core.told("FinishBuild")
        core.put("again", message)
        await until(lambda: not list((tmp_path / "core" / "work" / NODE).iterdir()))
        await asyncio.sleep(0.5)
        assert place.machines[0].ledger.counts.starts == 1
        assert len(core.commands("StartBuild")) == 1


@pytest.mark.parametrize(
    "lie", [{"epoch": 2}, {"artifact": {"digest": "ab" * 32, "size": 1, "format": "gcode"}}]
)
async def test_a_message_that_differs_from_the_log_is_refused(
    tmp_path: Path, lie: dict[str, Any]
) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        message = core.order("b1", NODE, printed(20))
        core.put("b1", {**message, **lie})
        await until(lambda: not list((tmp_path / "core" / "work" / NODE).iterdir()))
        await asyncio.sleep(0.3)
        assert place.machines[0].ledger.counts.starts == 0
        assert not core.commands("StartBuild")


async def test_a_lower_epoch_than_one_seen_is_refused(tmp_path: Path) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(20), epoch=7)
        await core.told("FinishBuild")
        core.order("b2", NODE, printed(20), epoch=6)
        await until(lambda: not list((tmp_path / "core" / "work" / NODE).iterdir()))
        await asyncio.sleep(0.3)
        assert place.machines[0].ledger.counts.starts == 1


async def test_an_unreadable_message_holds_up_nobody(tmp_path: Path) -> None:
    async with shop(tmp_path), bridge(tmp_path) as (_, core):
        core.put("a-bad", {"node_id": NODE, "build_id": 7})
        core.order("b1", NODE, printed(20))
        await core.told("FinishBuild")


async def test_a_program_that_is_refused_has_never_begun(tmp_path: Path) -> None:
    async with shop(tmp_path) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, "G28\nM112\n")
        failed = await core.told("FailBuild")
        assert (failed["build_id"], failed["reason"]) == ("b1", "BAD_PROGRAM")
        assert not core.commands("StartBuild")
        assert place.machines[0].ledger.counts.starts == 0
        core.order("b2", NODE, printed(10))  # bed and machine are free
        await core.told("FinishBuild")
        assert [line["build_id"] for line in core.commands("StartBuild")] == ["b2"]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Programs are surveyed as long as the test wants: it began; it may end."""
    begun, may_end = threading.Event(), threading.Event()
    survey = gcode.survey

    def slow(program: Path, *, longest: int) -> gcode.Survey:
        begun.set()
        may_end.wait(10)
        return survey(program, longest=longest)

    monkeypatch.setattr(gcode, "survey", slow)
    yield begun, may_end
    may_end.set()


async def test_a_stop_while_the_program_is_read_fails_a_build_that_never_began(
    tmp_path: Path, reading: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_end = reading
    async with shop(tmp_path) as place, bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, printed(20))
        await until(begun.is_set)
        await agent.emergency_stop(NODE, "user/otto")
        may_end.set()
        assert (await core.told("FailBuild"))["reason"] == "EMERGENCY_STOP_LATCHED"
        assert not core.commands("StartBuild")
        assert place.machines[0].ledger.counts.starts == 0


async def test_a_cancel_while_the_program_is_read_withdraws_the_build(
    tmp_path: Path, reading: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_end = reading
    async with shop(tmp_path) as place, bridge(tmp_path) as (agent, core):
        message = core.order("b1", NODE, printed(20))
        await until(begun.is_set)
        asked = {"node_id": message["node_id"], "build_id": "b1"}
        assert (await agent.control("cancel", asked))["ok"]
        await asyncio.sleep(0.1)
        may_end.set()
        assert (await core.told("ConfirmCancelled"))["material_mg"] == 0
        assert not core.commands("StartBuild")
        assert not core.commands("FailBuild")
        assert place.machines[0].ledger.counts.starts == 0


async def test_a_build_has_not_started_before_its_machine_acknowledged_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    take = VirtualMarlin.received

    def deaf_to_programs(firmware: VirtualMarlin, data: bytes) -> None:
        if b"M75" in data:
            written.set()
        else:
            take(firmware, data)

    monkeypatch.setattr(VirtualMarlin, "received", deaf_to_programs)
    async with shop(tmp_path), bridge(tmp_path) as (agent, core):
        core.order("b1", NODE, "G28\n")
        await until(written.is_set)
        await asyncio.sleep(0.3)
        assert not core.commands("StartBuild")
        await agent.emergency_stop(NODE, "user/otto")
        question = await core.told("ReportOutcomeUnknown")  # bytes were out
        assert question["facts"]["lines_done"] == 0
        assert not core.commands("StartBuild")
        assert not core.commands("FailBuild")


async def test_a_bridge_killed_before_the_first_acknowledgement_asks(tmp_path: Path) -> None:
    core = FileCore(tmp_path / "core")
    message = core.order("b1", NODE, printed(20))
    (tmp_path / "core" / "work" / NODE / "b1.json").unlink()
    work = parse_work(json.dumps(message).encode())
    journal = Journal(tmp_path / "bridge" / "journal.db", clock=SystemClock())
    await journal.open()
    await journal.accept(work)
    await journal.record(work, BuildState.STARTED)  # and here the bridge was killed
    await journal.close()
    async with shop(tmp_path) as place, bridge(tmp_path):
        assert (await core.told("ReportOutcomeUnknown"))["build_id"] == "b1"
        await asyncio.sleep(0.3)
        assert not core.commands("StartBuild")
        assert place.machines[0].ledger.counts.starts == 0


async def test_reports_wait_for_a_core_that_is_away_and_come_in_order(tmp_path: Path) -> None:
    async with shop(tmp_path, speed=100.0), bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(400, feed=3000))
        await core.told("StartBuild")
        (core.folder / "down").touch()
        await until(
            lambda: json.loads((tmp_path / "run" / "m1.json").read_text())["ends"] == 1,
            within_s=30,
        )
        assert not core.commands("FinishBuild")
        (core.folder / "down").unlink()
        await core.told("FinishBuild")
        ours = [line["name"] for line in core.commands() if line.get("build_id") == "b1"]
        assert ours[0] == "AcceptBuild"
        assert ours[-1] == "FinishBuild"
        assert len(core.commands("ReportProgress")) < 19  # what nobody heard was drawn together


async def test_a_cable_pulled_in_mid_build_becomes_a_question_and_nothing_resumes(
    tmp_path: Path,
) -> None:
    faults = [{"kind": "unplug", "at_line": 80, "for_s": 0.5}]
    async with shop(tmp_path, faults=faults) as place, bridge(tmp_path) as (_, core):
        core.order("b1", NODE, printed(300))
        question = await core.told("ReportOutcomeUnknown")
        assert question["build_id"] == "b1"
        assert question["facts"]["lines_done"] > 0
        await core.told("DisconnectMachine")
        await core.told("ConnectMachine", count=2)
        await asyncio.sleep(0.5)
        assert place.machines[0].ledger.counts.starts == 1
        assert not core.commands("FinishBuild")


@pytest.mark.parametrize("dialect", ["marlin", "grbl"])
async def test_a_bridge_killed_in_mid_build_asks_and_never_starts_again(
    tmp_path: Path, dialect: str
) -> None:
    core = FileCore(tmp_path / "core")
    gcode = printed(2000, feed=1200) if dialect == "marlin" else milled(800)
    async with shop(tmp_path, dialect=dialect, speed=60.0) as place:
        async with bridge_process(tmp_path) as process:
            message = core.order("b1", NODE, gcode)
            await core.told("ReportProgress")
            process.kill()
            await process.wait()
        core.put("again", message)  # the queue may deliver once more
        async with bridge_process(tmp_path):
            question = await core.told("ReportOutcomeUnknown")
            assert question["build_id"] == "b1"
            assert question["facts"]["observed"]["availability"] == "AVAILABLE"
            await until(lambda: not list((core.folder / "work" / NODE).iterdir()))
            await asyncio.sleep(0.5)
        assert place.machines[0].ledger.counts.starts == 1
        assert len(core.commands("StartBuild")) == 1
        assert not core.commands("FinishBuild")


async def test_a_build_accepted_before_a_kill_is_asked_for_again_and_started_once(
    tmp_path: Path,
) -> None:
    core = FileCore(tmp_path / "core")
    core.order("b1", NODE, printed(20))
    waiting = tmp_path / "core" / "work" / NODE / "b1.json"
    message = waiting.read_bytes()
    waiting.unlink()
    journal = Journal(tmp_path / "bridge" / "journal.db", clock=SystemClock())
    await journal.open()
    await journal.accept(parse_work(message))  # and here the bridge was killed
    await journal.close()
    async with shop(tmp_path) as place, bridge_process(tmp_path):
        await core.told("FinishBuild")
        assert place.machines[0].ledger.counts.starts == 1
        assert len(core.commands("StartBuild")) == 1
        assert not core.commands("ReportOutcomeUnknown")  # no byte had been written


async def test_an_accepted_build_that_was_given_to_another_machine_is_dropped(
    tmp_path: Path,
) -> None:
    core = FileCore(tmp_path / "core")
    message = core.order("b1", NODE, printed(20))
    (tmp_path / "core" / "work" / NODE / "b1.json").unlink()
    journal = Journal(tmp_path / "bridge" / "journal.db", clock=SystemClock())
    await journal.open()
    await journal.accept(parse_work(json.dumps(message).encode()))
    await journal.close()
    (tmp_path / "core" / "builds" / "b1").write_text(
        json.dumps({"node_id": NODE, "epoch": 2, "digest": "0"})
    )
    async with shop(tmp_path) as place, bridge(tmp_path):
        core.order("b2", NODE, printed(10), epoch=2)
        await core.told("FinishBuild")
        assert [line["build_id"] for line in core.commands("StartBuild")] == ["b2"]
        assert place.machines[0].ledger.counts.starts == 1


async def test_a_bridge_that_starts_forgets_what_was_settled_long_ago(tmp_path: Path) -> None:
    class LongAgo:
        def now(self) -> datetime:
            return datetime.now(UTC) - KEPT - timedelta(days=1)

    journal = Journal(tmp_path / "bridge" / "journal.db", clock=LongAgo())
    await journal.open()
    work = Work(build_id="b1", node_id=NODE, epoch=1, digest="d", size=1)
    await journal.accept(work)
    await journal.record(work, BuildState.FINISHED)
    assert await journal.entry("b1") is not None
    await journal.close()
    async with bridge(tmp_path) as (_, core):
        await until(lambda: bool(core.beats))
    journal = Journal(tmp_path / "bridge" / "journal.db", clock=SystemClock())
    await journal.open()
    assert await journal.entry("b1") is None
    await journal.close()

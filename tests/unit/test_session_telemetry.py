"""Telemetry: batches, the deadband to the log, leases of heat, and what a program uses."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from device_bridge import gcode
from device_bridge.errors import BadProgramError
from device_bridge.protocols import (
    DeviceStatus,
    TelemetrySample,
)
from device_bridge.telemetry.deadband import Deadband
from device_bridge.telemetry.outbox import TelemetryOutbox
from device_bridge.telemetry.sampler import MOST_UNKEPT, Sampler
from domain.node.states import Availability, Execution
from domain.shared.errors import UnavailableError
from tests.waiting import until

HOT = "temperature.hotend0.actual_c"


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Feed:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.away = False
        self.tries = 0

    async def publish(self, node_id: str, columns: dict[str, Any]) -> None:
        self.tries += 1
        if self.away:
            raise UnavailableError("away")
        self.messages.append(columns)


def sample(**metrics: float) -> TelemetrySample:
    return TelemetrySample(mono_s=0.0, metrics=metrics)


@asynccontextmanager
async def publishing(folder: Path, feed: Feed, *, epoch: int = 1) -> AsyncIterator[Sampler]:
    """A sampler at work, with its outbox."""
    outbox = TelemetryOutbox(folder / "telemetry.db")
    await outbox.open(epoch)
    sampler = Sampler("n1", outbox=outbox, feed=feed, clock=Noon())
    running = asyncio.create_task(sampler.run())
    try:
        yield sampler
    finally:
        running.cancel()
        await asyncio.wait([running])
        await outbox.close()


async def test_a_bridge_that_ends_while_the_disk_writes_keeps_the_readings_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, writes = Feed(), asyncio.Event()
    put = TelemetryOutbox.put

    async def slow(box: TelemetryOutbox, node_id: str, messages: list[dict[str, Any]]) -> None:
        writes.set()
        await asyncio.shield(asyncio.ensure_future(put(box, node_id, messages)))

    monkeypatch.setattr(TelemetryOutbox, "put", slow)
    async with publishing(tmp_path, feed) as sampler:
        sampler.take(sample(a=1.0))
        sampler.flush()
        await writes.wait()
    async with publishing(tmp_path, feed, epoch=2):
        await until(lambda: feed.messages)
    assert [message["v"] for message in feed.messages] == [[1.0]]


async def test_readings_of_a_second_travel_as_columns(tmp_path: Path) -> None:
    feed = Feed()
    async with publishing(tmp_path, feed, epoch=3) as sampler:
        sampler.belongs_to("b1")
        sampler.take(sample(a=1.0, b=2.0))
        sampler.take(sample(a=3.0))
        sampler.flush()
        await until(lambda: feed.messages)
    (message,) = feed.messages
    noon = int(Noon().now().timestamp() * 1000)
    assert message == {
        "node_id": "n1",
        "build_id": "b1",
        "epoch": 3,
        "seq": 1,
        "channels": ["a", "b"],
        "t": [noon] * 3,
        "c": [0, 1, 0],
        "v": [1.0, 2.0, 3.0],
    }


async def test_no_message_holds_more_than_a_thousand_readings(tmp_path: Path) -> None:
    feed = Feed()
    async with publishing(tmp_path, feed) as sampler:
        for number in range(450):
            sampler.take(sample(a=float(number), b=1.0, c=2.0))
        sampler.flush()
        await until(lambda: sum(len(message["t"]) for message in feed.messages) >= 1350)
    assert sum(len(message["t"]) for message in feed.messages) == 1350
    assert max(len(message["t"]) for message in feed.messages) <= 1000


async def test_what_a_feed_that_is_away_does_not_take_comes_from_the_next_life(
    tmp_path: Path,
) -> None:
    feed = Feed()
    feed.away = True
    async with publishing(tmp_path, feed) as sampler:
        for number in range(20):
            sampler.take(sample(a=float(number)))
            sampler.flush()
        await until(lambda: feed.tries)
        sampler.take(sample(a=20.0))  # of a batch that was not closed yet
    feed.away = False
    async with publishing(tmp_path, feed, epoch=2):
        await until(lambda: len(feed.messages) == 21)
    assert [message["v"] for message in feed.messages] == [[float(n)] for n in range(21)]
    names = [(message["epoch"], message["seq"]) for message in feed.messages]
    assert names == [(1, 1), *((2, seq) for seq in range(1, 21))]


async def test_a_full_disk_costs_old_readings_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed()
    full = True
    put = TelemetryOutbox.put

    async def may_put(box: TelemetryOutbox, node_id: str, messages: list[dict[str, Any]]) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        await put(box, node_id, messages)

    monkeypatch.setattr(TelemetryOutbox, "put", may_put)
    async with publishing(tmp_path, feed) as sampler:
        for number in range(MOST_UNKEPT + 3):
            sampler.take(sample(a=float(number)))
            sampler.flush()
        full = False
        await until(lambda: len(feed.messages) >= MOST_UNKEPT)
    assert len(feed.messages) == MOST_UNKEPT
    assert sum(message.get("gap", 0) for message in feed.messages) == 3


def test_the_log_hears_of_a_status_once() -> None:
    deadband = Deadband()
    ready = DeviceStatus(availability=Availability.AVAILABLE, execution=Execution.READY)
    assert deadband.observe(ready) is not None
    assert deadband.observe(ready) is None
    faulted = ready.with_fault(type="SYSTEM", code="X", text="broken")
    told = deadband.observe(faulted)
    assert told is not None
    assert told["conditions"] == [
        {"level": "FAULT", "type": "SYSTEM", "code": "X", "text": "broken"}
    ]


def test_only_a_crossed_limit_is_told_and_returning_needs_a_margin() -> None:
    deadband = Deadband({HOT: 300.0})
    assert not deadband.measured({HOT: 299.0})
    assert deadband.measured({HOT: 301.0})
    assert not deadband.measured({HOT: 305.0})
    assert not deadband.measured({HOT: 297.0})
    assert deadband.measured({HOT: 294.0})
    assert not deadband.measured({HOT: 21.0})


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ("G1 X1 ; comment", "G1 X1"),
        ("(note) G0 Z5 (up)", "G0 Z5"),
        ("N12 G1 X3*55", "G1 X3"),
        ("; only words", ""),
        ("   ", ""),
    ],
)
def test_a_line_is_sent_without_comment_number_and_checksum(raw: str, command: str) -> None:
    assert gcode.clean(raw) == command


@pytest.mark.parametrize(
    ("program", "used"),
    [
        ("M82\nG1 E5\nG92 E0\nG1 E5\n", 10.0),
        ("M83\nG1 E5\nG1 E5\nG1 E-2\nG1 E2\n", 10.0),
        ("G1 E5\nG1 E3\nG1 E5\nG1 E6\n", 6.0),
        ("G1 X5\n", 0.0),
        ("G1X10E5\nG1X20E7\n", 7.0),
        ("m83\ng1 x10 e5\ng01x20e2\n", 7.0),
        ("M83\nG1 E5\nX20 E2\nM117 G1 E9\n", 7.0),
        ("M83\nG1 X1 E 5\nG20\nG1 E1\n", 30.4),
        ("M82\nG1 E5\nG92E0\nG1 E5\n", 10.0),
    ],
)
def test_material_is_what_left_the_spool_for_good(
    tmp_path: Path, program: str, used: float
) -> None:
    path = tmp_path / "p.gcode"
    path.write_text(program)
    assert gcode.survey(path, longest=90).filament_mm == pytest.approx(used)


@pytest.mark.parametrize(
    "line", ["M112S1", "M 112", "N7 m0999*3", "M500", "$RST=*", "G1 X" + "1" * 100]
)
def test_what_a_program_may_not_hold_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "p.gcode"
    path.write_text(f"G28\n{line}\n")
    with pytest.raises(BadProgramError, match="line 2"):
        gcode.survey(path, longest=90)


def test_what_keeps_the_link_alive_is_the_drivers_and_left_out_of_a_program(tmp_path: Path) -> None:
    path = tmp_path / "p.gcode"
    path.write_text("M110 N0\nM155 S0\nM113 S0\nG28\n%\n")
    assert list(gcode.commands(path, longest=90)) == ["G28"]


def test_a_byte_order_mark_does_not_swallow_the_first_command(tmp_path: Path) -> None:
    path = tmp_path / "p.gcode"
    path.write_text("G28\nM117 caf\u00e9\n", encoding="utf-8-sig")
    assert next(gcode.commands(path, longest=90)) == "G28"

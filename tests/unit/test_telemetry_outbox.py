"""Readings on disk: none lost, none twice, in order; thinned before any is dropped, and counted."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device_bridge.telemetry.outbox import TelemetryOutbox, Waiting
from device_bridge.telemetry.thinning import thinned
from domain.telemetry.messages import Batch, read_batch

NODE = "node-1"
NOON = 1_795_000_000_000
CHANNELS = ["temperature.hotend0.actual_c", "power_w"]


def second(number: int, build_id: str = "b1") -> dict[str, Any]:
    """Both channels at one moment."""
    at = NOON + number * 1000
    return {
        "build_id": build_id,
        "channels": list(CHANNELS),
        "t": [at, at],
        "c": [0, 1],
        "v": [200.0 + number / 8, float(number)],
    }


@asynccontextmanager
async def outbox(
    folder: Path, epoch: int = 1, *, most_bytes: int = 1 << 30
) -> AsyncIterator[TelemetryOutbox]:
    box = TelemetryOutbox(folder / "telemetry.db", most_bytes=most_bytes)
    await box.open(epoch)
    try:
        yield box
    finally:
        await box.close()


async def drained(box: TelemetryOutbox, node_id: str = NODE) -> list[Batch]:
    """All that waits, read as the hub reads it."""
    found: list[Batch] = []
    done: Waiting | None = None
    while (waiting := await box.following(node_id, done=done)) is not None:
        found.append(read_batch(waiting.message, node_id=node_id, received=NOON))
        done = waiting
    return found


async def test_what_waits_outlives_the_bridge_and_goes_under_the_same_name(tmp_path: Path) -> None:
    async with outbox(tmp_path, epoch=4) as box:
        await box.put(NODE, [second(n) for n in range(3)])
        tried = await box.following(NODE)
        assert tried is not None
    async with outbox(tmp_path, epoch=5) as box:
        await box.put(NODE, [second(3)])
        again = await box.following(NODE)
        assert again == tried
        batches = await drained(box)
    assert [(b.epoch, b.seq) for b in batches] == [(4, 1), (5, 1), (5, 2), (5, 3)]
    assert [b.begun for b in batches] == [NOON + n * 1000 for n in range(4)]


async def test_machines_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        await box.put(NODE, [second(0)])
        await box.put("node-2", [second(1)])
        assert [b.seq for b in await drained(box, "node-2")] == [1]
        assert [b.seq for b in await drained(box)] == [1]


async def test_a_full_outbox_thins_the_oldest_first_and_says_how_much(tmp_path: Path) -> None:
    async with outbox(tmp_path, most_bytes=60_000) as box:
        for number in range(600):
            await box.put(NODE, [second(number)])
        batches = await drained(box)
    assert [b.seq for b in batches] == list(range(1, len(batches) + 1))
    kept = [at for b in batches for at in b.t]
    assert kept == sorted(kept)
    assert len(kept) + sum(b.gap for b in batches) == 1200
    old = [at for at, _ in batches[0].readings_of("power_w")]
    assert old[0] == NOON
    assert {b - a for a, b in pairwise(old)} == {10_000}
    assert [len(b.t) for b in batches[-100:]] == [2] * 100  # the newest are all there


async def test_only_when_thinning_does_not_help_the_oldest_goes(tmp_path: Path) -> None:
    async with outbox(tmp_path, most_bytes=4_000) as box:
        await box.put(NODE, [second(0)])
        tried = await box.following(NODE)
        for number in range(1, 4000):
            await box.put(NODE, [second(number)])
        assert await box.following(NODE) == tried  # what was sent once stays as it was
        batches = await drained(box)
    assert len([at for b in batches for at in b.t]) + sum(b.gap for b in batches) == 8000
    assert batches[1].begun > NOON + 1000
    assert batches[-1].ended == NOON + 3999 * 1000
    assert [b.seq for b in batches] == list(range(1, len(batches) + 1))


async def test_a_disk_that_was_full_for_a_while_costs_no_count_of_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    messages = [{**second(0), "gap": 3}]
    async with outbox(tmp_path) as box:
        with monkeypatch.context() as patch:
            patch.setattr(TelemetryOutbox, "_insert", full)
            with pytest.raises(sqlite3.OperationalError):
                await box.put(NODE, messages)
        await box.put(NODE, messages)
        assert [batch.gap for batch in await drained(box)] == [3]


async def test_builds_are_not_mixed_by_thinning(tmp_path: Path) -> None:
    async with outbox(tmp_path, most_bytes=3_000) as box:
        for number in range(100):
            await box.put(NODE, [second(number, "b1" if number < 37 else "b2")])
        batches = await drained(box)
    for batch in batches:
        change = NOON + 37_000
        assert batch.build_id == "b1" if batch.ended < change else batch.begun >= change


async def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").write_bytes(b"no database" * 1000)
    async with outbox(tmp_path) as box:
        await box.put(NODE, [second(0)])
        assert len(await drained(box)) == 1
    assert (tmp_path / "telemetry.damaged").exists()


@pytest.mark.parametrize(("spacing_s", "kept"), [(10, 12), (60, 2)])
def test_each_channel_keeps_a_reading_per_stretch(spacing_s: int, kept: int) -> None:
    message = thinned([second(number) for number in range(120)], spacing_s=spacing_s)
    for channel in range(2):
        assert message["c"].count(channel) == kept
    assert message["channels"] == CHANNELS

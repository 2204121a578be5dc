"""Days of readings move to Parquet files, and charts go on showing them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.shared.errors import UnavailableError
from domain.telemetry.messages import Batch, read_batch
from ops.database.migrations import migrate
from ops.projecting.places import Connection
from ops.settings import Settings
from ops.telemetry import tiering
from ops.telemetry.chores import Chores
from ops.telemetry.cold import ColdFiles
from ops.telemetry.parquet import DayFile
from ops.telemetry.tiering import tier, verify
from projections.querying import Connection as AsyncConnection
from projections.telemetry.charts import chart
from projections.telemetry.known import load
from projections.telemetry.partitions import DAY_MS, day_of, ensure
from projections.telemetry.postgres import write
from projections.telemetry.rows import Asked, History, Resolution
from tests.telemetry import HOT_END, NODE, told

BED = "temperature.bed.actual_c"
OTHER = "1b1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
NOW = time.time_ns() // 1_000_000
TODAY = NOW - NOW % DAY_MS
OLD = TODAY - 9 * DAY_MS
YESTERDAY = TODAY - DAY_MS


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        migrate(connection)
        yield connection


def batch(at: int, seq: int, node_id: str = NODE, **more: Any) -> Batch:
    readings = [(at + n * 250, channel, n + 0.1) for n in range(40) for channel in (HOT_END, BED)]
    message = told(readings, seq=seq, node_id=node_id, **more)
    return read_batch(message, node_id=node_id, received=NOW)


def take(database: Connection, *batches: Batch) -> None:
    with database.transaction(), database.cursor() as cursor:
        known = load(cursor, "tiers")
        write(cursor, known, upto=known.position + 1, batches=batches)


def fill(database: Connection) -> None:
    take(
        database,
        batch(OLD + 1000, 1, build_id="a-build"),
        batch(OLD + 40_000, 2, q=[0, 1] * 40),
        batch(OLD + 1000, 1, node_id=OTHER),
        batch(OLD + DAY_MS - 5000, 3),
        batch(YESTERDAY, 4),
    )


async def shown(database_url: str, folder: Path | None, **how: Any) -> History:
    asked = Asked(
        **{
            "channels": (HOT_END,),
            "since": OLD,
            "until": TODAY,
            "resolution": Resolution.RAW,
            **how,
        }
    )
    async with await AsyncConnection.connect(database_url) as connection:
        cold = ColdFiles(folder) if folder else None
        return await chart(connection, NODE, asked, cold=cold)


async def test_a_moved_day_is_shown_as_it_was_and_a_second_move_finds_nothing(
    database: Connection, database_url: str, tmp_path: Path
) -> None:
    fill(database)
    before = await shown(database_url, None)
    of_build = await shown(database_url, None, build_id="a-build")
    assert (len(before.series[0].at), len(of_build.series[0].at)) == (162, 40)
    assert before.series[0].number.count(0) == 2
    moved = tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    assert [(each.chunks, each.readings) for each in moved] == [(4, 320)]
    assert await shown(database_url, tmp_path) == before
    assert await shown(database_url, tmp_path, build_id="a-build") == of_build
    assert tier(database, tmp_path, before=NOW - 7 * DAY_MS) == []
    assert list(verify(database, tmp_path)) == [(moved[0].path, "")]
    left = database.execute("SELECT count(*) FROM telemetry.chunks").fetchone()
    assert left == (1,)


async def test_without_the_file_readings_are_refused_and_charts_come_from_roll_ups(
    database: Connection, database_url: str, tmp_path: Path
) -> None:
    fill(database)
    (moved,) = tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    (tmp_path / moved.path).unlink()
    with pytest.raises(UnavailableError):
        await shown(database_url, tmp_path)
    with pytest.raises(UnavailableError):
        await shown(database_url, None)
    chart = await shown(database_url, tmp_path, resolution=Resolution.AUTO)
    assert chart.step_ms > 0
    assert sum(chart.series[0].number) == 160
    assert [fault for _, fault in verify(database, tmp_path)] == ["it is not there"]


async def test_what_comes_late_makes_a_second_file_and_what_comes_twice_none(
    database: Connection, database_url: str, tmp_path: Path
) -> None:
    take(database, batch(OLD, 1), batch(OLD + 60_000, 3))
    tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    take(database, batch(OLD + 30_000, 2), batch(OLD, 1), batch(OLD + 60_000, 3))
    moved = tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    assert [(each.part, each.chunks) for each in moved] == [(2, 1)]
    found = await shown(database_url, tmp_path)
    assert len(found.series[0].at) == 120
    assert len(set(found.series[0].at)) == 120


def test_a_move_that_is_broken_off_leaves_the_rows_and_is_made_again(
    database: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    with monkeypatch.context() as broken:
        broken.setattr(tiering, "drop", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    assert database.execute("SELECT count(*) FROM telemetry.chunks").fetchone() == (5,)
    assert database.execute("SELECT count(*) FROM telemetry.cold").fetchone() == (0,)
    assert len(tier(database, tmp_path, before=NOW - 7 * DAY_MS)) == 1


def test_a_message_that_comes_during_the_move_is_not_lost(
    database: Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    finish = DayFile.finish

    def late(file: DayFile, **about: Any) -> Any:
        with psycopg.connect(database_url, autocommit=True) as other:
            take(other, batch(OLD + 90_000, 9))
        return finish(file, **about)

    with monkeypatch.context() as busy:
        busy.setattr(DayFile, "finish", late)
        assert tier(database, tmp_path, before=NOW - 7 * DAY_MS) == []
    (moved,) = tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    assert moved.chunks == 5
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(moved.path).name]


def test_a_file_that_was_changed_is_found_out(database: Connection, tmp_path: Path) -> None:
    fill(database)
    (moved,) = tier(database, tmp_path, before=NOW - 7 * DAY_MS)
    database.execute("UPDATE telemetry.cold SET digest = 'sha256:0'")
    assert [fault for _, fault in verify(database, tmp_path)] == [
        "it does not hold what was moved there"
    ]
    (tmp_path / moved.path).write_bytes(b"PAR1")
    ((_, fault),) = verify(database, tmp_path)
    assert "cannot be read" in fault


def test_the_service_forgets_old_roll_ups_and_moves_old_days_by_itself(
    database: Connection, database_url: str, tmp_path: Path
) -> None:
    fill(database)
    settings = Settings(home=tmp_path, database_url=database_url, telemetry_cold=tmp_path / "cold")
    with database.cursor() as cursor:
        ensure(cursor, "seconds", day_of(OLD - 300 * DAY_MS, table="seconds"))
    chores = Chores(settings, now=lambda: NOW)
    chores(database)
    assert chores._moving is None or chores._moving.args[-2] == "tier"
    left = database.execute("SELECT DISTINCT at / 86400000 FROM telemetry.seconds").fetchall()
    assert left == [(YESTERDAY // DAY_MS,)]
    chores.close()

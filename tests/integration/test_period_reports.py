"""Reports of closed months from PostgreSQL: the same to the byte, whatever is corrected later."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from domain.account.roles import Role
from domain.inventory.aggregate import Inventory
from domain.inventory.correcting import correct_count
from domain.node.downtime import correct_downtime, withdraw_downtime
from domain.period.aggregate import Period
from domain.shared.moments import told
from domain.shared.scope import Grant, Scope
from ops.database.server import EmbeddedPostgres
from ops.projecting.places import Connection
from projections.inventory import queries as inventory
from projections.inventory.projector import InventoryLedger
from projections.kpis import periods
from projections.kpis import queries as kpis
from projections.kpis.periods import Report
from projections.kpis.projector import Kpis
from projections.kpis.rows import FIGURES, ContributionRow, PeriodRow
from projections.querying import Cursor
from projections.reading import reading
from tests.correcting import SEPTEMBER, Works
from tests.projecting import dumped, migrated, project
from tests.stories import ORGANISATION

ADMIN = Scope(account_id="anna", grants=(Grant(role=Role.ADMIN, organisation_id=ORGANISATION),))
STRANGER = Scope(account_id="eve", grants=())


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


@pytest.fixture
async def pool(database: Connection, database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    async with AsyncConnectionPool(
        database_url, min_size=1, max_size=2, kwargs={"autocommit": True}, open=False
    ) as pool:
        yield pool


async def drawn_up(pool: AsyncConnectionPool, period: Period) -> tuple[PeriodRow, Report]:
    async with reading(pool, periods.READS) as now:
        row = await periods.period(now.connection, ADMIN, str(period.id))
        assert row is not None
        return row, await periods.report(now.connection, row)


async def test_a_closed_months_report_is_the_same_to_the_byte_for_ever(
    database: Connection, pool: AsyncConnectionPool
) -> None:
    works = Works()
    first = works.make()
    works.act(lambda: works.lots[0].count(999_900), works.lots[0])
    counted = len(works.past(works.lots[0]))
    works.later(days=4)  # into October
    second = works.make()
    september = works.cut("2026-09")
    project(database, works.events)
    row, report = await drawn_up(pool, september)
    works.close(september, report)
    project(database, works.events, size=1)
    row, again = await drawn_up(pool, september)
    assert (row.status, row.digest, again) == ("CLOSED", report.digest, report)
    assert report.digest == "sha256:" + hashlib.sha256(report.text.encode()).hexdigest()
    body = json.loads(report.text)
    assert body["position"] == str(row.cut_position)
    assert body["figures"]["energy_j"] == 1000
    assert body["figures"]["connected_ms"] == 3 * 24 * 3_600_000
    assert [(lot["lot"], lot["wasted_mg"], lot["stock_mg"]) for lot in body["lots"]] == sorted(
        [("A", 50, 999_900), ("B", 0, 1_000_000)],
        key=lambda lot: str(works.lots["AB".index(str(lot[0]))].id),
    )

    works.later(days=2)
    works.correct_meter(first, 700)
    works.correct_lots(first)
    works.correct_meter(second, 1)
    lot = works.lots[0]
    works.act(
        lambda: correct_count(
            lot, works.past(lot), version=counted, counted_mg=999_000, reason="tare"
        ),
        lot,
    )
    works.act(
        lambda: correct_downtime(
            works.machine,
            works.past(works.machine),
            since=told(SEPTEMBER + timedelta(hours=2)),
            until=told(SEPTEMBER + timedelta(hours=4.5)),
            reason="belt",
            now=works.now,
        ),
        works.machine,
    )
    works.act(lambda: works.machine.disconnect("x"), works.machine)
    project(database, works.events, size=3)
    row, later = await drawn_up(pool, september)
    assert later == report
    async with reading(pool, periods.READS) as now:
        adjusting = (await periods.adjustments(now.connection, row)).items
        restated = await periods.restated(now.connection, row)
    by_what = {each.what: each for each in adjusting}
    assert by_what["Build.FiguresCorrected"].figures == {"energy_j": -300}
    hours = 2.5 * 3_600_000
    assert by_what["Node.DowntimeRecorded"].figures == {"connected_ms": -hours}
    assert by_what["Inventory.ConsumptionHandedOver"].lots[0].amounts == {
        "adjusted": 50,
        "wasted": -50,
    }
    assert by_what["Inventory.ConsumptionTakenOver"].lots[0].amounts == {
        "free": -50,
        "wasted": 50,
    }
    assert by_what["Inventory.CountCorrected"].lots[0].amounts == {"adjusted": 900, "free": -900}
    assert "Node.MachineDisconnected" not in by_what
    assert {each.booked_in for each in adjusting} == {""}
    for name in FIGURES:
        later_amount = sum(each.figures.get(name, 0) for each in adjusting)
        assert report.figures[name] + later_amount == getattr(restated, name), name


def test_a_fold_from_the_start_makes_the_same_rows_whatever_the_batches(
    postgres: EmbeddedPostgres,
) -> None:
    works = Works()
    first = works.make()
    works.later(days=4)
    works.cut("2026-09")
    works.act(
        lambda: correct_downtime(
            works.machine,
            works.past(works.machine),
            since=told(SEPTEMBER),
            until=told(SEPTEMBER + timedelta(days=3.5)),
            reason="belt",
            now=works.now,
        ),
        works.machine,
    )
    works.correct_lots(first)
    works.act(lambda: works.machine.disconnect("x"), works.machine)
    works.act(
        lambda: withdraw_downtime(works.machine, since=told(SEPTEMBER), reason="no"), works.machine
    )
    folds = [Kpis(), InventoryLedger()]
    found = []
    for size in (1, 4, 1000):
        with psycopg.connect(postgres.url, autocommit=True) as server:
            server.execute(f"CREATE DATABASE fold_{size} TEMPLATE template0")
        with migrated(make_conninfo(postgres.url, dbname=f"fold_{size}")) as connection:
            project(connection, works.events, projections=folds, size=size)
            found.append(dumped(connection, folds))
    assert found[0] == found[1] == found[2]


async def test_the_next_report_books_what_adjusts_the_months_before(
    database: Connection, pool: AsyncConnectionPool
) -> None:
    works = Works()
    first = works.make()
    works.later(days=4)
    september = works.cut("2026-09")
    works.correct_meter(first, 400)
    second = works.make(energy_j=10)
    works.later(days=30)
    works.correct_lots(first)
    october = works.cut("2026-10")
    works.correct_meter(second, 30)
    works.correct_meter(first, 500)
    project(database, works.events)
    row, one = await drawn_up(pool, september)
    _, other = await drawn_up(pool, october)
    body = json.loads(other.text)
    (booked,) = body["adjusting"]
    assert (booked["month"], booked["figures"]) == ("2026-09", {"energy_j": -600})
    assert {lot["lot_id"]: lot["wasted"] for lot in booked["lots"]} == {
        str(works.lots[0].id): -50,
        str(works.lots[1].id): 50,
    }
    assert other.figures["energy_j"] == 10
    async with reading(pool, periods.READS) as now:
        adjusting = (await periods.adjustments(now.connection, row)).items
        pages = []
        after = None
        while True:
            page = await periods.adjustments(now.connection, row, first=1, after=after)
            pages += page.items
            if not page.has_more:
                break
            after = Cursor(page.items[-1].position)
        listed = await periods.periods(
            now.connection, ADMIN, organisation_id=ORGANISATION, now=works.now
        )
    assert pages == adjusting
    assert [each.booked_in for each in adjusting] == ["2026-10"] * 3 + [""]
    assert [each.figures.get("energy_j") for each in adjusting] == [-600, None, None, 100]
    assert [(each.month, each.status) for each in listed] == [
        ("2026-11", "OPEN"),
        ("2026-10", "CUT_OFF"),
        ("2026-09", "CUT_OFF"),
    ]
    assert one.figures["energy_j"] == 1000


async def test_one_reading_among_many_is_corrected_and_every_sum_follows(
    database: Connection, pool: AsyncConnectionPool, *, long_tests: bool
) -> None:
    count = 100_000 if long_tests else 400
    works = Works(stock_mg=100_000_000)
    for number in range(count):
        works.later(seconds=20)
        works.make(energy_j=1000 + number)
    works.later(days=1)
    works.correct_meter(works.builds[123], 0)
    project(database, works.events)
    asked: dict[str, Any] = {
        "organisation_id": ORGANISATION,
        "since": SEPTEMBER,
        "until": works.now,
    }
    async with reading(pool, periods.READS) as now:
        days = await kpis.kpis(now.connection, ADMIN, period="day", **asked)
        hours = await kpis.kpis(now.connection, ADMIN, period="hour", **asked)
        found: list[ContributionRow] = []
        after, more = None, True
        while more:
            page = await kpis.sources(
                now.connection, ADMIN, figure="energy_j", first=500, after=after, **asked
            )
            found += page.items
            after, more = Cursor(page.items[-1].position), page.has_more
        short = await kpis.sources(now.connection, ADMIN, figure="energy_j", first=3, **asked)
    wanted = sum(1000 + number for number in range(count)) - 1123
    assert sum(day.energy_j for day in days) == sum(hour.energy_j for hour in hours) == wanted
    assert sum(each.amounts["energy_j"] for each in found) == wanted
    assert len(found) == count + 1
    assert found[-1].what == "Build.FiguresCorrected"
    assert found[-1].hour == found[123].hour < found[-1].at - timedelta(days=1)
    assert (short.items, short.has_more) == (found[:3], True)


async def test_what_a_lot_held_at_a_moment_is_told_as_it_is_known_now(
    database: Connection, pool: AsyncConnectionPool
) -> None:
    works = Works()
    works.later(hours=1)
    build = works.make(material_mg=70)
    then = works.now
    works.later(hours=1)
    project(database, works.events)
    lot, other = (str(each.id) for each in works.lots)

    async def held() -> list[Any]:
        async with reading(pool, inventory.READS) as now:
            moments = then - timedelta(minutes=1), then
            return [
                (await inventory.balance(now.connection, ADMIN, each, at=at)).free_mg  # type: ignore[union-attr]
                for each in (lot, other)
                for at in moments
            ]

    assert await held() == [1_000_000, 999_930, 1_000_000, 1_000_000]
    works.correct_lots(build)
    project(database, works.events)
    assert await held() == [1_000_000, 1_000_000, 1_000_000, 999_930]
    async with reading(pool, inventory.READS) as now:
        rows = (await inventory.entries(now.connection, ADMIN, other)).items
        assert await inventory.balance(now.connection, STRANGER, lot, at=then) is None
    assert rows[-1].what == Inventory.ConsumptionTakenOver.__qualname__
    assert (rows[-1].at, rows[-1].effective_from) == (works.now, then)


async def test_months_are_for_those_who_read_the_organisation(
    database: Connection, pool: AsyncConnectionPool
) -> None:
    works = Works()
    works.later(days=4)
    september = works.cut("2026-09")
    project(database, works.events)
    async with reading(pool, periods.READS) as now:
        assert await periods.period(now.connection, STRANGER, str(september.id)) is None
        assert await periods.period(now.connection, ADMIN, "nothing") is None

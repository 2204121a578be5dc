"""Charts of what machines measured, from a real database, and who may see them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.account.roles import Role
from domain.shared.errors import InvalidInputError
from domain.shared.identifiers import derived
from domain.shared.scope import Grant, Scope
from domain.telemetry.messages import Batch, read_batch
from projections.jobs import queries as jobs
from projections.reading import reading
from projections.telemetry import charts, queries
from projections.telemetry.known import load
from projections.telemetry.postgres import write
from projections.telemetry.rows import MOST_IN_ANSWER, Asked, History, Resolution
from tests.gateway_tools import Bench
from tests.projecting import migrated, project
from tests.stories import ORGANISATION, Shop, Story
from tests.telemetry import HOT_END, told

ELSEWHERE = str(derived("organisation", "elsewhere"))
ADMIN = Scope(account_id="anna", grants=(Grant(role=Role.ADMIN, organisation_id=ORGANISATION),))
STRANGER = Scope(account_id="eve", grants=(Grant(role=Role.ADMIN, organisation_id=ELSEWHERE),))
VENDOR = Scope(account_id="vera", grants=(Grant(role=Role.VENDOR, organisation_id=ORGANISATION),))
OTHER_VENDOR = Scope(
    account_id="walter", grants=(Grant(role=Role.VENDOR, organisation_id=ORGANISATION),)
)
BED = "temperature.bed.actual_c"
POWER = "power_w"


class Hall:
    """A shop with one machine, and what it measured."""

    def __init__(self, database_url: str, pool: AsyncConnectionPool[Any]) -> None:
        self.database_url = database_url
        self.pool = pool
        self.story = Story()
        self.shop = Shop.opened(self.story)
        self.shop.found()
        self.node_id = str(self.shop.node.id)
        self.begin = int(self.story.now.timestamp() * 1000)
        self.seq = 0

    def know(self) -> None:
        """Let the read models know the story."""
        with migrated(self.database_url) as connection:
            project(connection, self.story.events)

    def measure(self, *batches: Batch) -> None:
        with (
            migrated(self.database_url) as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            known = load(cursor, "hall")
            write(cursor, known, upto=known.position + 1, batches=batches)

    def batch(self, readings: list[tuple[int, str, float]], **more: Any) -> Batch:
        """Times are ms from the beginning of the story."""
        self.seq += 1
        shifted = [(self.begin + at, channel, value) for at, channel, value in readings]
        message = told(shifted, node_id=self.node_id, **{"seq": self.seq, **more})
        return read_batch(message, node_id=self.node_id, received=self.begin)

    async def history(self, scope: Scope = ADMIN, **how: Any) -> History | None:
        asked = self.asked(**how)
        async with reading(self.pool, queries.READS) as now:
            return await queries.history(now.connection, scope, self.node_id, asked)

    def asked(self, since: int = 0, until: int = 3_600_000, **how: Any) -> Asked:
        return Asked(
            since=self.begin + since,
            until=self.begin + until,
            **{"channels": (HOT_END,), **how},
        )


@pytest.fixture
async def hall(database_url: str) -> AsyncIterator[Hall]:
    migrated(database_url).close()
    made = AsyncConnectionPool(
        database_url, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
    )
    async with made:
        yield Hall(database_url, made)


async def test_few_readings_come_as_they_were_taken(hall: Hall) -> None:
    hall.know()
    hall.measure(
        hall.batch([(0, HOT_END, 20.0), (0, BED, 21.0), (500, HOT_END, 20.5)]),
        hall.batch([(1000, HOT_END, 22.0)], q=[1]),
    )
    found = await hall.history()
    assert found is not None
    (series,) = found.series
    assert (found.step_ms, series.unit) == (0, "°C")
    assert [at - hall.begin for at in series.at] == [0, 500, 1000]
    assert series.average == [20.0, 20.5, 22.0]
    assert series.quality == ["GOOD", "GOOD", "STALE"]


async def test_a_range_begins_with_its_first_moment_and_ends_before_its_last(hall: Hall) -> None:
    hall.know()
    hall.measure(hall.batch([(at, HOT_END, float(at)) for at in range(0, 5000, 500)]))
    found = await hall.history(since=1000, until=3000)
    assert found is not None
    assert found.series[0].average == [1000.0, 1500.0, 2000.0, 2500.0]


async def test_many_readings_come_as_roll_ups_and_never_more_than_was_asked_for(
    hall: Hall,
) -> None:
    hall.know()
    readings = [(n * 200, HOT_END, float(n % 5)) for n in range(15_000)]
    hall.measure(*(hall.batch(readings[n : n + 1000]) for n in range(0, 15_000, 1000)))
    for most in (2, 10, 100, 2000):
        found = await hall.history(most=most)
        assert found is not None
        (series,) = found.series
        assert 0 < len(series.at) <= most
        assert sum(series.number) == 15_000
        assert {*series.low} == {0.0}
        assert {*series.high} == {4.0}
        assert found.step_ms >= 1000
        assert series.average == pytest.approx([2.0] * len(series.at))
    minutes = await hall.history(resolution=Resolution.MINUTE)
    assert minutes is not None
    assert (minutes.step_ms, len(minutes.series[0].at)) == (60_000, 50)
    with pytest.raises(InvalidInputError, match="more than 2000 readings"):
        await hall.history(resolution=Resolution.RAW)


async def test_many_channels_and_many_attempts_share_what_one_answer_may_hold(hall: Hall) -> None:
    hall.know()
    names = [f"temperature.zone{n}.actual_c" for n in range(20)]
    readings = [(at * 1000, name, 20.0) for at in range(900) for name in names]
    hall.measure(*(hall.batch(readings[n : n + 9000]) for n in (0, 9000)))
    found = await hall.history(channels=("temperature.",))
    assert found is not None
    assert len(found.series) == 20
    assert sum(len(series.at) for series in found.series) <= MOST_IN_ANSWER
    assert {sum(series.number) for series in found.series} == {900}
    alone = await hall.history(channels=(names[0],))
    assert alone is not None
    assert (alone.step_ms, len(alone.series[0].at)) == (0, 900)
    one_of_twenty = await hall.history(channels=("temperature.",), charts=20)
    assert one_of_twenty is not None
    assert 20 * sum(len(series.at) for series in one_of_twenty.series) <= MOST_IN_ANSWER


async def test_a_brief_range_of_a_fast_machine_comes_as_it_was_taken(hall: Hall) -> None:
    hall.know()
    readings = [(at, HOT_END, float(at)) for at in range(10_000)]
    hall.measure(*(hall.batch(readings[n : n + 1000]) for n in range(0, 10_000, 1000)))
    found = await hall.history(since=4200, until=5200, resolution=Resolution.RAW)
    assert found is not None
    assert found.series[0].average == [float(at) for at in range(4200, 5200)]


async def test_a_sensor_that_was_never_right_fills_no_memory(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.know()
    bad = [(n * 1000, HOT_END, float("nan")) for n in range(1000)]
    hall.measure(hall.batch([*bad, (1_000_000, HOT_END, 20.0)]))
    monkeypatch.setattr(charts, "MOST_STORED_BYTES", 1000)
    found = await hall.history()
    assert found is not None
    assert (found.step_ms, found.series[0].average) == (1000, [20.0])
    with pytest.raises(InvalidInputError, match="more than"):
        await hall.history(resolution=Resolution.RAW)


async def test_a_gap_breaks_the_line_and_is_named(hall: Hall) -> None:
    hall.know()
    hall.measure(
        hall.batch([(at, HOT_END, 200.0) for at in range(0, 5000, 1000)]),
        hall.batch([(6000, HOT_END, 201.0)], seq=4, gap=7),
        hall.batch([(600_000, HOT_END, 100.0)], seq=5),
    )
    found = await hall.history()
    assert found is not None
    (series,) = found.series
    assert series.average == [200.0] * 5 + [None, 201.0, None, 100.0]
    assert series.number.count(0) == 2
    assert {(gap.cause, gap.readings) for gap in found.gaps} == {("MISSING", None), ("DROPPED", 7)}


async def test_a_sensor_that_gives_no_number_is_a_gap_and_no_zero(hall: Hall) -> None:
    hall.know()
    hall.measure(hall.batch([(0, HOT_END, 20.0), (500, HOT_END, float("inf"))]))
    found = await hall.history()
    assert found is not None
    assert found.series[0].quality == ["GOOD", "BAD"]


async def test_whoever_sees_the_machine_sees_what_it_measures_and_nobody_else(hall: Hall) -> None:
    hall.know()
    hall.measure(hall.batch([(0, HOT_END, 20.0)]))
    assert await hall.history(ADMIN) is not None
    assert await hall.history(VENDOR) is not None
    assert await hall.history(STRANGER) is None
    assert await hall.history(OTHER_VENDOR) is None


async def test_when_the_seconds_have_gone_the_minutes_answer(hall: Hall) -> None:
    hall.know()
    readings = [(n * 100, HOT_END, float(n % 5)) for n in range(5000)]
    hall.measure(*(hall.batch(readings[n : n + 1000]) for n in range(0, 5000, 1000)))
    fine = await hall.history(most=1000)
    assert fine is not None
    assert fine.step_ms == 1000
    with migrated(hall.database_url) as connection:
        connection.execute("TRUNCATE telemetry.seconds")
    coarse = await hall.history(most=1000)
    assert coarse is not None
    assert (coarse.step_ms, sum(coarse.series[0].number)) == (60_000, 5000)


async def test_attempts_at_a_piece_lie_side_by_side_each_with_its_own_readings(hall: Hall) -> None:
    hall.shop.make(minutes=10)
    hall.story.later(minutes=30)
    hall.shop.make(minutes=10)
    hall.know()
    bench = Bench(pool=hall.pool)
    async with reading(hall.pool, jobs.READS) as now:
        page = await jobs.builds_of_node(now.connection, ADMIN, hall.node_id)
    builds = sorted(page.items, key=lambda build: build.created)
    for number, build in enumerate(builds):
        assert build.started_at is not None
        at = int(build.started_at.timestamp() * 1000) - hall.begin
        readings = [(at + n * 60_000, HOT_END, 100.0 * number + n) for n in range(10)]
        hall.measure(hall.batch(readings, build_id=build.id), hall.batch([(at + 1, HOT_END, 0.0)]))
    query = """query($ids: [ID!]!) { buildTelemetry(buildIds: $ids) { buildId attempt
      history { since stepMs series { channel at average } } } }"""
    asked = {"ids": [build.id for build in builds]}
    bench = Bench(pool=hall.pool)
    shown = await bench.ask(query, asked, token=bench.token(place=ORGANISATION))
    first, second = shown["data"]["buildTelemetry"]
    assert [first["buildId"], second["buildId"]] == asked["ids"]
    assert first["history"]["series"][0]["average"] == [float(n) for n in range(10)]
    assert second["history"]["series"][0]["average"] == [100.0 + n for n in range(10)]
    refused = await bench.ask(query, asked, token=bench.token(place=ELSEWHERE))
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_coarse_look_at_a_build_shows_nothing_of_what_was_before_it(hall: Hall) -> None:
    hall.story.later(minutes=53)
    hall.shop.make(minutes=30)
    hall.know()
    async with reading(hall.pool, jobs.READS) as now:
        (build,) = (await jobs.builds_of_node(now.connection, ADMIN, hall.node_id)).items
    assert build.started_at is not None
    began = int(build.started_at.timestamp() * 1000) - hall.begin
    others = [(at, HOT_END, 999.0) for at in range(0, began - 60_000, 60_000)]
    own = [(began + n * 180_000, HOT_END, 200.0) for n in range(10)]
    hall.measure(hall.batch(others), hall.batch(own, build_id=build.id))
    for most in (2, 3, 5):
        asked = hall.asked(most=most, resolution=Resolution.MINUTE)
        async with reading(hall.pool, queries.READS) as now:
            found = await queries.of_build(now.connection, ADMIN, build.id, asked)
        assert found is not None
        (series,) = found[1].series
        assert {*series.high} - {None} == {200.0}
        assert sum(series.number) == 10


async def test_the_gateway_shows_channels_metrics_and_charts(hall: Hall) -> None:
    hall.know()
    hall.measure(hall.batch([(0, HOT_END, 210.5), (0, POWER, 1500.0)]))
    bench = Bench(pool=hall.pool)
    bench.clock.present = hall.story.now
    query = """query($id: ID!, $since: Instant!, $until: Instant!) {
      telemetryChannels(nodeId: $id) { channels { name unit last quality }
        metrics { temperature powerConsumption vibration } refused { fault } }
      telemetry(nodeId: $id, channels: ["temperature."], since: $since, until: $until) {
        stepMs series { channel unit at average quality } gaps { cause } } }"""
    asked = {
        "id": hall.node_id,
        "since": hall.story.now.replace(hour=0).isoformat(),
        "until": hall.story.now.replace(hour=23).isoformat(),
    }
    shown = await bench.ask(query, asked, token=bench.token(place=ORGANISATION))
    told_of = shown["data"]
    assert told_of["telemetryChannels"] == {
        "channels": [
            {"name": POWER, "unit": "W", "last": 1500.0, "quality": "GOOD"},
            {"name": HOT_END, "unit": "°C", "last": 210.5, "quality": "GOOD"},
        ],
        "metrics": {"temperature": 210.5, "powerConsumption": 1.5, "vibration": None},
        "refused": [],
    }
    (series,) = told_of["telemetry"]["series"]
    assert (series["channel"], series["at"], series["average"]) == (HOT_END, [hall.begin], [210.5])
    hidden = await bench.ask(query, asked, token=bench.token(place=ELSEWHERE))
    assert {error["extensions"]["code"] for error in hidden["errors"]} == {"NOT_FOUND"}


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"most": 1}, "maxPoints"),
        ({"most": 2001}, "maxPoints"),
        ({"until": 0}, "ends before"),
        ({"channels": ()}, "channels"),
        ({"channels": tuple(f"c{n}" for n in range(41))}, "channels"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    hall: Hall, how: dict[str, Any], match: str
) -> None:
    hall.know()
    with pytest.raises(InvalidInputError, match=match):
        await hall.history(**how)


async def test_the_specifications_routes_show_a_machine_and_a_job(hall: Hall) -> None:
    job = hall.shop.make(minutes=10)
    hall.know()
    hall.measure(hall.batch([(0, HOT_END, 210.5), (0, POWER, 1500.0)]))
    bench = Bench(pool=hall.pool)
    bench.clock.present = datetime.fromtimestamp(hall.begin / 1000 + 10, UTC)
    async with bench.client(bench.token(place=ORGANISATION)) as client:
        answer = await client.get(f"/v1/telemetry/node/{hall.node_id}")
        told_of = answer.json()
        assert (answer.status_code, told_of["status"]) == (200, "success")
        assert told_of["data"]["series"][0]["average"] == [210.5]
        assert told_of["data"]["metrics"]["power_consumption"] == 1.5
        of_job = (await client.get(f"/v1/telemetry/job/{job.id}")).json()["data"]
        assert [build["attempt"] for build in of_job["builds"]] == [1]
        for range_ in ("since=2026-01-01T00:00:00", "until=0001-01-01T00:00:00Z"):
            wrong = await client.get(f"/v1/telemetry/node/{hall.node_id}?{range_}")
            assert (wrong.status_code, wrong.json()["code"]) == (422, "INVALID_INPUT")
        assert (await client.get("/v1/telemetry/node/nobody")).status_code == 404
    for place, status in ((ELSEWHERE, 404), ("", 401)):
        token = bench.token(place=place) if place else ""
        async with bench.client(token) as client:
            for path in (f"node/{hall.node_id}", f"job/{job.id}"):
                assert (await client.get(f"/v1/telemetry/{path}")).status_code == status


async def test_a_number_that_json_lacks_does_not_break_an_answer(hall: Hall) -> None:
    hall.know()
    huge = [(at, HOT_END, 1.7e308) for at in range(0, 5000, 500)]
    hall.measure(hall.batch([*huge, (6000, HOT_END, float("nan"))]))
    bench = Bench(pool=hall.pool)
    bench.clock.present = datetime.fromtimestamp(hall.begin / 1000 + 10, UTC)
    async with bench.client(bench.token(place=ORGANISATION)) as client:
        for resolution in ("RAW", "SECOND"):
            path = f"/v1/telemetry/node/{hall.node_id}?resolution={resolution}"
            assert (await client.get(path)).status_code == 200

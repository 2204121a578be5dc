"""Looks at the past through the gateway: one moment for a field and all below it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.shared.recorded import RecordedEvent
from gateways.graphql.scalars import write_instant
from tests.gateway_tools import Bench
from tests.past_story import rich_story
from tests.projecting import migrated, project
from tests.stories import ORGANISATION, Shop, Story

PRESENT = datetime(2026, 12, 24, tzinfo=UTC)
JOB = """query($id: ID!, $then: AsOf) { job(id: $id, asOf: $then) {
  status position progress asOf { position time }
  parts { productionStatus position pieces { status buildId } builds { status percent position } }
  timeline(first: 500) { position } decisions { position }
  dispatches { status attempt buildId position } } }"""
FLEET = """query($then: AsOf) { nodes(first: 100, asOf: $then) { asOf { position }
  edges { node { id status uptime position asOf { position }
    lots { freeMg position entries { position freeMg } } } } } }"""
RIGHTS = """query($then: AsOf) { accounts(first: 100, asOf: $then) {
  edges { node { closed grants { role } position } } } }"""
FIGURES = """query($of: ID!, $then: AsOf, $until: Instant) {
  kpis(period: DAY, organisationId: $of, until: $until, asOf: $then) {
    since until jobsSubmitted jobsCompleted uptime asOf { position time } } }"""
TWO = """query($id: ID!, $then: AsOf) {
  before: job(id: $id, asOf: $then) { status parts { position } timeline(first: 500) { position } }
  now: job(id: $id) { status parts { position } timeline(first: 500) { position } } }"""


class Past:
    """A gateway over a story that was projected."""

    def __init__(self, bench: Bench, story: Story) -> None:
        self.bench = bench
        self.events = story.events

    async def ask(self, query: str, *roles: str, **variables: Any) -> dict[str, Any]:
        token = self.bench.token(*roles, place=ORGANISATION)
        return await self.bench.ask(query, variables, token=token)

    async def told(self, query: str, *roles: str, **variables: Any) -> Any:
        answer = await self.ask(query, *roles, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def problem(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = await self.ask(query, **variables)
        problem: dict[str, Any] = answer["errors"][0]["extensions"]["problem"]
        return problem

    def first(self, topic: str) -> RecordedEvent:
        return next(event for event in self.events if event.topic == topic)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    made = AsyncConnectionPool(
        database_url, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
    )
    async with made:
        yield made


@pytest.fixture
def past(database_url: str, pool: AsyncConnectionPool) -> Past:
    story = rich_story(2)
    with migrated(database_url) as connection:
        project(connection, story.events)
    bench = Bench(pool=pool)
    bench.clock.present = PRESENT
    return Past(bench, story)


async def test_an_order_and_all_below_it_show_one_moment(past: Past) -> None:
    started = past.first("imewe.build:Started")
    job = past.first("imewe.job:Submitted")
    position = started.position
    shown = (await past.told(JOB, id=str(job.aggregate_id), then={"position": str(position)}))[
        "job"
    ]
    assert shown["asOf"] == {
        "position": str(position),
        "time": write_instant(started.stored_at),
    }
    assert shown["status"] == "ASSIGNED"
    (part,) = shown["parts"]
    assert part["builds"] == [{"status": "RUNNING", "percent": 0, "position": str(position)}]
    assert part["pieces"][0]["buildId"] == str(started.aggregate_id)
    of_the_job = [int(entry["position"]) for entry in shown["timeline"]]
    assert of_the_job[-1] == position
    (dispatch,) = shown["dispatches"]
    assert (dispatch["status"], dispatch["attempt"]) == ("SENT", 1)
    now = (await past.told(JOB, id=str(job.aggregate_id)))["job"]
    assert now["dispatches"][0]["status"] == "CLOSED"
    assert (now["status"], now["asOf"]) == ("COMPLETED", None)
    assert [int(entry["position"]) for entry in now["timeline"]][: len(of_the_job)] == of_the_job


async def test_fields_beside_each_other_show_the_moment_that_each_asked_for(past: Past) -> None:
    job = past.first("imewe.job:Submitted")
    told = await past.told(TWO, id=str(job.aggregate_id), then={"position": str(job.position)})
    assert told["before"] == {
        "status": "SUBMITTED",
        "parts": [],
        "timeline": [{"position": str(job.position)}],
    }
    assert told["now"]["status"] == "COMPLETED"
    assert len(told["now"]["timeline"]) > 10
    assert len(told["now"]["parts"]) == 1


async def test_the_fleet_shows_machines_runs_and_lots_of_the_moment(past: Past) -> None:
    reserved = past.first("imewe.inventory:Reserved")
    fleet = (await past.told(FLEET, then={"position": str(reserved.position)}))["nodes"]
    assert fleet["asOf"] == {"position": str(reserved.position)}
    (node,) = [edge["node"] for edge in fleet["edges"]]
    (lot,) = node["lots"]
    assert node["status"] == "ASSIGNED"
    assert node["asOf"] == fleet["asOf"]
    assert lot["position"] == lot["entries"][-1]["position"] == str(reserved.position)
    assert lot["freeMg"] == 1_000_000 - 99
    connected = past.first("imewe.node:MachineConnected").envelope.occurred_at
    assert node["uptime"] == (reserved.stored_at - connected).total_seconds().__round__(3)


async def test_a_time_means_the_last_event_that_the_log_had_taken(past: Past) -> None:
    ended = past.first("imewe.build:Finished")
    job = past.first("imewe.job:Submitted")
    by_position = await past.told(
        JOB, id=str(job.aggregate_id), then={"position": str(ended.position - 1)}
    )
    just_before = ended.stored_at - timedelta(microseconds=1)
    by_time = await past.told(JOB, id=str(job.aggregate_id), then={"time": just_before.isoformat()})
    assert by_time["job"]["asOf"]["position"] == str(ended.position - 1)
    by_position["job"].pop("asOf")
    by_time["job"].pop("asOf")
    assert by_time == by_position


async def test_rights_are_those_of_the_moment_and_seen_by_the_rights_of_today(
    past: Past,
) -> None:
    granted = past.first("imewe.account:RoleGranted")
    then = {"position": str(granted.position)}
    (edge,) = (await past.told(RIGHTS, "auditor", then=then))["accounts"]["edges"]
    assert edge["node"]["grants"] == [{"role": "ADMIN"}]
    assert (await past.told(RIGHTS, "viewer", then=then))["accounts"]["edges"] == []
    closed = past.first("imewe.account:Closed")
    for position, expected in ((closed.position - 1, 0), (closed.position, 1)):
        page = (await past.told(RIGHTS, then={"position": str(position)}))["accounts"]
        assert [edge["node"]["closed"] for edge in page["edges"]].count(True) == expected
        assert len(page["edges"]) == 3


async def test_figures_count_what_goes_on_up_to_the_moment(past: Past) -> None:
    started = past.first("imewe.build:Started")
    then = {"position": str(started.position)}
    rows = (await past.told(FIGURES, of=ORGANISATION, then=then))["kpis"]
    assert rows[-1]["until"] == rows[-1]["asOf"]["time"] == write_instant(started.stored_at)
    assert sum(row["jobsSubmitted"] for row in rows) == 1
    assert sum(row["jobsCompleted"] for row in rows) == 0
    assert rows[-1]["uptime"] == pytest.approx(1.0)
    later = write_instant(PRESENT)
    assert (await past.told(FIGURES, of=ORGANISATION, then=then, until=later))["kpis"] == rows
    earlier = write_instant(started.stored_at - timedelta(seconds=30))
    cut = (await past.told(FIGURES, of=ORGANISATION, then=then, until=earlier))["kpis"]
    assert cut[-1]["until"] == earlier


async def test_before_the_first_event_there_is_nothing(past: Past) -> None:
    for then in ({"position": "0"}, {"time": "2020-01-01T00:00:00Z"}):
        assert (await past.told(FLEET, then=then))["nodes"] == {
            "asOf": {"position": "0"},
            "edges": [],
        }
        rows = (await past.told(FIGURES, of=ORGANISATION, then=then))["kpis"]
        assert {row["jobsSubmitted"] for row in rows} == {0}


async def test_what_is_not_there_yet_is_a_clear_refusal(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.reading.PATIENCE_S", 0.1)
    beyond = {"position": str(len(past.events) + 1)}
    problem = await past.problem(FLEET, then=beyond)
    assert (problem["code"], problem["field"]) == ("POSITION_NOT_REACHED", "asOf")
    future = {"time": write_instant(PRESENT + timedelta(seconds=1))}
    problem = await past.problem(FLEET, then=future)
    assert (problem["code"], problem["field"]) == ("INVALID_INPUT", "asOf")
    now = {"time": write_instant(PRESENT)}
    assert (await past.told(FLEET, then=now))["nodes"]["asOf"]["position"] == str(len(past.events))


async def test_pages_of_the_past_do_not_slip_while_the_shop_goes_on(
    past: Past, database_url: str
) -> None:
    query = """query($after: String, $then: AsOf) { jobs(first: 2, after: $after, asOf: $then) {
      edges { cursor node { id status } } pageInfo { hasNextPage endCursor } } }"""
    then = {"position": str(len(past.events))}
    story = Story(now=past.events[-1].envelope.occurred_at, events=past.events)
    seen: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    before = (await past.told("{ jobs(first: 100) { edges { node { id } } } }"))["jobs"]["edges"]
    number = 0
    while page["hasNextPage"]:
        found = (await past.told(query, after=page["endCursor"], then=then))["jobs"]
        page = found["pageInfo"]
        seen += [edge["node"]["id"] for edge in found["edges"]]
        number += 1
        Shop.opened(story, name=f"More {number}").make()
        with migrated(database_url) as connection:
            project(connection, story.events)
    assert seen == [edge["node"]["id"] for edge in before]
    assert len(seen) > 6


async def test_events_of_the_past_end_at_the_moment(past: Past) -> None:
    query = """query($then: AsOf) { eventHistory(first: 5, newestFirst: true, asOf: $then) {
      edges { node { position storedAt recordedAt } } } }"""
    page = (await past.told(query, then={"position": "20"}))["eventHistory"]
    assert [int(edge["node"]["position"]) for edge in page["edges"]] == [20, 19, 18, 17, 16]
    assert page["edges"][0]["node"]["storedAt"] == write_instant(past.events[19].stored_at)

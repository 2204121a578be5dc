"""Looks at the past through readings: who sees what of it, at which time, while the log grows."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.account.roles import Role
from domain.shared.recorded import RecordedEvent
from domain.shared.scope import Grant, Scope
from gateways.graphql.reads import Reads
from projections.catalogue import CATALOGUE
from projections.inventory import queries as inventory
from projections.jobs import queries as jobs
from projections.kpis import queries as kpis
from projections.nodes import queries as nodes
from projections.querying import Connection
from projections.reading import NotBuiltError, NotReachedError, reading
from tests.past_story import rich_story
from tests.projecting import SmallBatches, migrated, project, running, until_all_at
from tests.stories import BEGIN, ORGANISATION, Shop, Story

READS = (*jobs.READS, "inventory", "kpis")
MOMENTS = 10


def scope(role: Role, *, account: str = "anna", place: str = ORGANISATION) -> Scope:
    return Scope(account_id=account, grants=(Grant(role=role, organisation_id=place),))


ADMIN = scope(Role.ADMIN)
VENDOR = scope(Role.VENDOR, account="walter")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    """One connection only: every look comes after another one on the same session."""
    migrated(database_url).close()
    made = AsyncConnectionPool(
        database_url, min_size=1, max_size=1, open=False, kwargs={"autocommit": True}
    )
    async with made:
        yield made


@pytest.fixture
def story(database_url: str, pool: AsyncConnectionPool) -> Story:
    story = rich_story(2)
    with migrated(database_url) as connection:
        project(connection, story.events)
    return story


async def seen(connection: Connection, who: Scope) -> tuple[Any, ...]:
    """What a person sees of everything."""
    orders = (await jobs.jobs(connection, who)).items
    ids = [row.id for row in orders]
    return (
        orders,
        await jobs.parts_of_jobs(connection, who, ids),
        await jobs.builds_of_jobs(connection, who, ids),
        await jobs.dispatches_of_jobs(connection, who, ids),
        await jobs.decisions_of_jobs(connection, who, ids),
        (await nodes.nodes(connection, who)).items,
        (await inventory.inventory(connection, who)).items,
    )


async def test_everybody_sees_of_the_past_what_was_to_be_seen_then(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    """A vendor, too: of own machines, and of what was made on them."""
    events = rich_story(3).events
    stranger = scope(Role.ADMIN, place="nowhere")
    told: dict[int, list[Any]] = {}
    with migrated(database_url) as connection:
        for position in sorted(random.Random(3).sample(range(1, len(events)), MOMENTS)):
            project(connection, events[:position])
            async with reading(pool, READS) as now:
                told[position] = [await seen(now.connection, who) for who in (VENDOR, ADMIN)]
        project(connection, events)
    for position, views in told.items():
        async with reading(pool, READS, as_of=position) as then:
            assert [await seen(then.connection, who) for who in (VENDOR, ADMIN)] == views
            assert await seen(then.connection, stranger) == ([], {}, {}, {}, {}, [], [])
    of_vendor, of_admin = told[max(told)]
    assert 0 < len(of_vendor[0]) < len(of_admin[0])
    assert len(of_vendor[5]) == 1


async def test_figures_as_of_a_moment_are_those_that_were_told_then(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    events = rich_story(3).events
    asked = {"organisation_id": ORGANISATION, "period": "hour"}
    told: dict[int, Any] = {}
    with migrated(database_url) as connection:
        for position in sorted(random.Random(4).sample(range(20, len(events)), MOMENTS)):
            project(connection, events[:position])
            until = max(events[position - 1].stored_at, BEGIN + timedelta(hours=1))
            span = {"since": BEGIN, "until": until}
            async with reading(pool, kpis.READS) as now:
                told[position] = await kpis.kpis(now.connection, ADMIN, **asked, **span)
        project(connection, events)
    for position, rows in told.items():
        span = {"since": BEGIN, "until": rows[-1].until}
        async with reading(pool, kpis.READS, as_of=position) as then:
            assert await kpis.kpis(then.connection, ADMIN, **asked, **span) == rows


async def test_a_time_means_the_last_event_stored_by_then(
    pool: AsyncConnectionPool, story: Story
) -> None:
    chance = random.Random(5)
    for event in chance.sample(story.events, MOMENTS):
        between = event.stored_at + timedelta(microseconds=chance.randint(0, 49))
        async with reading(pool, nodes.READS, as_of=between) as by_time:
            assert by_time.moment == (event.position, between)
            views = await nodes.nodes(by_time.connection, ADMIN)
        async with reading(pool, nodes.READS, as_of=event.position) as by_position:
            assert by_position.moment == (event.position, event.stored_at)
            assert await nodes.nodes(by_position.connection, ADMIN) == views


async def test_where_the_logs_clock_was_set_back_a_later_time_holds_all_before_it(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    story = Story()
    Shop.opened(story).make()
    hour = timedelta(hours=1)
    half = len(story.events) // 2
    events = [
        event._replace(stored_at=event.stored_at - hour) if event.position > half else event
        for event in story.events[:-1]
    ]
    events.append(story.events[-1]._replace(stored_at=story.events[-1].stored_at + hour))
    with migrated(database_url) as connection:
        project(connection, events)
    before_it, after_it = BEGIN - 2 * hour, events[half - 1].stored_at + hour / 2
    for time_, position in ((before_it, 0), (after_it, len(events) - 1)):
        async with reading(pool, nodes.READS, as_of=time_) as then:
            assert then.moment == (position, time_)


async def test_a_moment_that_is_not_there_yet_is_waited_for(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    story = Story()
    Shop.opened(story).make()
    last = len(story.events)
    with migrated(database_url) as connection:
        project(connection, story.events[:10])
    late = asyncio.create_task(asyncio.to_thread(_project, database_url, story.events))
    async with reading(pool, jobs.READS, as_of=last, timeout=30) as then:
        assert (await jobs.jobs(then.connection, ADMIN)).items[0].status == "COMPLETED"
        assert then.moment == (last, story.events[-1].stored_at)
    await late
    with pytest.raises(NotReachedError, match=f"position {last + 1} was not reached") as refused:
        async with reading(pool, jobs.READS, as_of=last + 1, timeout=0.1):
            pytest.fail("there is no such position")
    assert refused.value.field == "asOf"


async def test_a_time_waits_for_what_the_log_holds_and_nobody_has_folded(
    pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.reading.PATIENCE_S", 30)
    story = Story()
    Shop.opened(story).make()
    end = len(story.events)
    stalled = end // 2
    with migrated(database_url) as connection:
        project(connection, story.events[:stalled])

    async def log_end() -> int:
        return end

    asked = story.events[-2].stored_at
    reads = Reads(pool, log_end=log_end)
    late = asyncio.create_task(asyncio.to_thread(_project, database_url, story.events))
    async with reads.use(nodes.READS, as_of=asked):
        assert reads.moment_of(asked) == (end - 1, asked)
    await reads.close()
    await late
    earlier = story.events[3].stored_at
    async with reading(pool, jobs.READS, as_of=earlier, log_end=_nobody_asks) as then:
        assert then.moment == (4, earlier)


async def _nobody_asks() -> int:
    raise AssertionError("what was folded is enough to know")


async def test_without_the_history_nobody_knows_the_times(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    with migrated(database_url) as connection:
        project(connection, [], projections=[each for each in CATALOGUE if each.name == "nodes"])
    with pytest.raises(NotBuiltError, match="history"):
        async with reading(pool, nodes.READS, as_of=0):
            pytest.fail("there is nothing to read")


class Growing(SmallBatches):
    """A log that has come to ``end``."""

    end = 40

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        return [each for each in super().read(after, limit) if each.position <= self.end]


async def test_an_answer_about_the_past_never_changes_while_projections_run(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    """Looks at past and present take turns on one session, often enough to be prepared there."""
    log = Growing(rich_story(2).events, size=7)
    last = len(log.events)
    answers: dict[int, Any] = {}
    together: dict[int, Any] = {}
    with running(log, database_url), migrated(database_url) as connection:
        until_all_at(connection, log.end)
        for end in [*range(80, last, 40), last]:
            log.end = end
            async with reading(pool, READS) as now:
                reached = now.position
                if len(set(now.positions.values())) == 1:
                    together[reached] = await seen(now.connection, ADMIN)
            for position in (30, reached // 2, reached):
                async with reading(pool, READS, as_of=position, timeout=30) as then:
                    found = await seen(then.connection, ADMIN)
                assert answers.setdefault(position, found) == found
        until_all_at(connection, last)
    async with reading(pool, READS) as now:
        together[last] = await seen(now.connection, ADMIN)
    for position, live in together.items():
        async with reading(pool, READS, as_of=position) as then:
            assert await seen(then.connection, ADMIN) == live
    for position, before in answers.items():
        async with reading(pool, READS, as_of=position) as then:
            assert await seen(then.connection, ADMIN) == before


async def test_one_request_sees_one_position_for_a_time_in_all_its_snapshots(
    database_url: str, story: Story
) -> None:
    """Though the log has grown between the first field and the last."""
    asked = story.events[-1].stored_at + timedelta(days=1)
    async with AsyncConnectionPool(
        database_url, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
    ) as pool:
        reads = Reads(pool)
        async with reads.use(nodes.READS, as_of=asked) as connection:
            before = await nodes.nodes(connection, ADMIN)
        end = len(story.events)
        Shop.opened(story, name="New")
        await asyncio.to_thread(_project, database_url, story.events)
        async with reads.use(inventory.READS, as_of=asked) as connection:
            assert await nodes.nodes(connection, ADMIN) == before
        async with reads.use(inventory.READS) as connection:
            assert len((await nodes.nodes(connection, ADMIN)).items) == len(before.items) + 1
        async with reads.use(inventory.READS, as_of=asked) as connection:
            assert await nodes.nodes(connection, ADMIN) == before
        assert reads.moment_of(asked) == (end, asked)
        await reads.close()


def _project(database_url: str, events: list[RecordedEvent]) -> None:
    with migrated(database_url) as connection:
        project(connection, events)

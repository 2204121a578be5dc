"""What the gateway asks: pages, batches, figures, and who may see what."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.account.roles import HUMAN, Role
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.identifiers import derived
from domain.shared.scope import Grant, Scope
from projections.accounts import queries as accounts
from projections.history import queries as history
from projections.inventory import queries as inventory
from projections.jobs import queries as jobs
from projections.kpis import queries as kpis
from projections.nodes import queries as nodes
from projections.querying import Connection, Cursor
from projections.reading import NotBuiltError, NotReachedError, reading
from tests.projecting import migrated, project
from tests.stories import BEGIN, ORGANISATION, Shop, Story, replace_organisation

ELSEWHERE = str(derived("organisation", "elsewhere"))


def scope(*roles: Role, account: str = "anna", place: str = ORGANISATION) -> Scope:
    grants = tuple(Grant(role=role, organisation_id=place) for role in roles)
    return Scope(account_id=account, grants=grants)


ADMIN = scope(Role.ADMIN)
STRANGER = scope(Role.ADMIN, place=ELSEWHERE)
VENDOR = scope(Role.VENDOR, account="vera")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    """A pool on an empty, migrated database."""
    migrated(database_url).close()
    made = AsyncConnectionPool(
        database_url, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
    )
    async with made:
        yield made


@pytest.fixture
def story(database_url: str, pool: AsyncConnectionPool) -> Story:
    """Two shops: five jobs here (one on Prusa 2, whose owner is walter), one elsewhere."""
    story = Story()
    shop = Shop.opened(story)
    shop.found()
    for _ in range(3):
        shop.make(quantity=2, minutes=30)
    shop.order()
    Shop.opened(story, name="Prusa 2", owner_id="walter").make()
    Shop.opened(replace_organisation(story), name="Mill", owner_id="mia").make()
    with migrated(database_url) as connection:
        project(connection, story.events)
    return story


async def test_jobs_come_in_pages_that_miss_and_repeat_nothing(
    pool: AsyncConnectionPool, story: Story
) -> None:
    found = []
    after = None
    async with reading(pool, jobs.READS) as now:
        while True:
            page = await jobs.jobs(now.connection, ADMIN, first=2, after=after)
            found += page.items
            if not page.has_more:
                break
            after = Cursor.decode(Cursor(page.items[-1].created).encode())
    created = [row.created for row in found]
    assert len(created) == 5
    assert created == sorted(set(created), reverse=True)


async def test_jobs_are_filtered_by_state_owner_and_name(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, jobs.READS) as now:
        done = await jobs.jobs(now.connection, ADMIN, statuses=["COMPLETED"])
        waiting = await jobs.jobs(now.connection, ADMIN, statuses=["SCHEDULED"], owner_id="anna")
        named = await jobs.jobs(now.connection, ADMIN, name="bOX 4")
        nobodys = await jobs.jobs(now.connection, ADMIN, owner_id="nobody")
    assert [len(page.items) for page in (done, waiting, named, nobodys)] == [4, 1, 1, 0]
    assert waiting.items == named.items


async def test_a_job_comes_with_everything_that_belongs_to_it(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, jobs.READS) as now:
        page = await jobs.jobs(now.connection, ADMIN, statuses=["COMPLETED"])
        ids = [row.id for row in page.items]
        parts = await jobs.parts_of_jobs(now.connection, ADMIN, ids)
        part_ids = [part.id for found in parts.values() for part in found]
        pieces = await jobs.pieces_of_parts(now.connection, ADMIN, part_ids)
        builds = await jobs.builds_of_jobs(now.connection, ADMIN, ids)
        dispatches = await jobs.dispatches_of_jobs(now.connection, ADMIN, ids)
        decisions = await jobs.decisions_of_jobs(now.connection, ADMIN, ids)
        told = await jobs.timeline(now.connection, ADMIN, ids[-1], first=500)
        decision = decisions[ids[0]][0]
        explained = await jobs.decision(now.connection, ADMIN, decision.event_id)
    assert [len(parts[each]) for each in ids] == [1, 1, 1, 1]
    assert sorted(len(pieces[each]) for each in part_ids) == [1, 2, 2, 2]
    assert [len(builds[each]) for each in ids] == [len(dispatches[each]) for each in ids]
    assert sum(map(len, builds.values())) == 7
    assert explained == decision
    assert told.items[0].what == "Job.Submitted"
    assert not told.has_more


async def test_nodes_come_with_their_run(pool: AsyncConnectionPool, database_url: str) -> None:
    story = Story()
    shop = Shop.opened(story)
    build, _ = shop.begin(*shop.order(), 0)
    build.progress(45)
    story.tell(build)
    with migrated(database_url) as connection:
        project(connection, story.events)
    async with reading(pool, nodes.READS) as now:
        (view,) = (await nodes.nodes(now.connection, ADMIN, process="fdm")).items
        same = await nodes.node(now.connection, ADMIN, str(shop.node.id))
    assert view == same
    assert view.run is not None
    assert (view.node.status, view.run.status, view.run.percent) == ("EXECUTING", "RUNNING", 45)
    assert view.node.build_id == view.run.build_id == str(build.id)


async def test_lots_sum_to_zero_and_every_booking_is_there(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, inventory.READS) as now:
        lots = (await inventory.inventory(now.connection, ADMIN, material="pla")).items
        booked = (await inventory.entries(now.connection, ADMIN, lots[0].id)).items
        others = await inventory.entries(now.connection, STRANGER, lots[0].id)
        by_node = await inventory.lots_of_nodes(now.connection, ADMIN, [lots[0].node_id])
    assert len(lots) == 2
    for lot in lots:
        sums = lot.supplier_mg + lot.free_mg + lot.reserved_mg + lot.consumed_mg + lot.wasted_mg
        assert sums + lot.in_transit_mg + lot.adjusted_mg == 0
        assert lot.consumed_mg > 0
    assert booked[0].what == "Inventory.Opened"
    assert booked[-1].free_mg == lots[0].free_mg
    assert others.items == []
    assert by_node[lots[0].node_id] == lots[:1]


async def test_other_organisations_objects_do_not_exist(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, [*jobs.READS, "inventory", "history", "accounts"]) as now:
        of = now.connection
        mine = [row.id for row in (await jobs.jobs(of, ADMIN)).items]
        for nobody in (STRANGER, scope(), scope(Role.ADMIN, place="nowhere")):
            assert await jobs.job(of, nobody, mine[0]) is None
            assert await jobs.parts_of_jobs(of, nobody, mine[:1]) == {mine[0]: []}
            assert (await jobs.timeline(of, nobody, mine[0])).items == []
            changed = await jobs.jobs_changed(of, nobody, after=0)
            assert not {row.job_id for row in changed} & set(mine)
            filtered = history.EventFilter(aggregate_id=mine[0])
            assert (await history.event_history(of, nobody, filtered)).items == []
        assert (await accounts.accounts(of, STRANGER)).items == []
        assert len((await jobs.jobs(of, STRANGER)).items) == 1
        assert (await nodes.nodes(of, STRANGER)).items[0].node.name == "Mill"
        assert (await inventory.inventory(of, scope())).items == []


async def test_a_question_about_what_no_text_can_hold_finds_nothing(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, [*inventory.READS, "history"]) as now:
        assert (await inventory.inventory(now.connection, ADMIN, material="PLA\0")).items == []
        wanted = history.EventFilter(topics=["\0"])
        assert (await history.event_history(now.connection, ADMIN, wanted)).items == []


async def test_a_vendor_sees_own_nodes_and_the_jobs_on_them(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, [*jobs.READS, "inventory"]) as now:
        of = now.connection
        seen = (await jobs.jobs(of, VENDOR)).items
        machines = (await nodes.nodes(of, VENDOR)).items
        lots = (await inventory.inventory(of, VENDOR)).items
        builds = await jobs.builds_of_jobs(of, VENDOR, [row.id for row in seen])
        everything = (await jobs.jobs(of, ADMIN)).items
        unseen = {row.id for row in everything} - {row.id for row in seen}
        assert await jobs.jobs_by_ids(of, VENDOR, list(unseen)) == {}
        stolen = replace(VENDOR, account_id="mia")
        assert (await jobs.jobs(of, stolen)).items == []
    assert [view.node.name for view in machines] == ["Prusa 1"]
    assert len(seen) == 3
    assert len(lots) == 1
    assert {b.node_id for found in builds.values() for b in found} == {machines[0].node.id}


ALL = {"jobs": 5, "parts": 5, "nodes": 2, "lots": 2, "own": 3, "events": True, "figures": True}
OWN = {"jobs": 3, "parts": 3, "nodes": 1, "lots": 1, "own": 3, "events": False, "figures": False}
READS: dict[Role, dict[str, Any]] = {
    Role.ADMIN: {**ALL, "people": True},
    Role.AUDITOR: {**ALL, "people": True},
    Role.DESIGNER: {**ALL, "people": False},
    Role.OPERATOR: {**ALL, "people": False},
    Role.VIEWER: {**ALL, "people": False},
    Role.VENDOR: {**OWN, "people": False},
}
"""The matrix of reads, written by hand: of five jobs on two machines three were made on the
asker's own one, and none was ordered by the asker."""


@pytest.mark.parametrize("role", sorted(HUMAN))
async def test_every_role_reads_what_the_matrix_says_and_nothing_else(
    pool: AsyncConnectionPool, story: Story, role: Role
) -> None:
    who = scope(role, account="vera")
    async with reading(pool, [*jobs.READS, "inventory", "history", "accounts", "kpis"]) as now:
        of = now.connection
        all_jobs = [row.id for row in (await jobs.jobs(of, ADMIN)).items]
        machines = [view.node for view in (await nodes.nodes(of, who)).items]
        (own,) = [machine for machine in machines if machine.owner_id == "vera"]
        parts = await jobs.parts_of_jobs(of, who, all_jobs)
        events = await history.event_history(of, who, history.EventFilter(kind="job"))
        people = await history.event_history(of, who, history.EventFilter(kind="account"))
        listed = (await accounts.accounts(of, who)).items
        seen = {
            "jobs": len((await jobs.jobs(of, who)).items),
            "parts": sum(map(len, parts.values())),
            "nodes": len(machines),
            "lots": len((await inventory.inventory(of, who)).items),
            "own": len({b.job_id for b in (await jobs.builds_of_node(of, who, own.id)).items}),
            "events": bool(events.items),
            "people": bool(people.items),
            "figures": await _sees_figures(of, who),
        }
    assert seen == READS[role]
    assert bool(listed) is READS[role]["people"]


async def _sees_figures(of: Connection, who: Scope) -> bool:
    span = {"since": BEGIN, "until": BEGIN + timedelta(hours=1)}
    try:
        return bool(await kpis.kpis(of, who, organisation_id=ORGANISATION, period="hour", **span))
    except NotFoundError:
        return False


@pytest.mark.parametrize("role", [Role.DESIGNER, Role.OPERATOR, Role.VIEWER, Role.AUDITOR])
async def test_each_reading_role_sees_its_organisations_jobs(
    pool: AsyncConnectionPool, story: Story, role: Role
) -> None:
    async with reading(pool, jobs.READS) as now:
        found = await jobs.jobs(now.connection, scope(role, account="somebody"))
    assert len(found.items) == 5


async def test_events_of_people_are_for_those_who_audit(
    pool: AsyncConnectionPool, story: Story
) -> None:
    people = history.EventFilter(kind="account")
    async with reading(pool, [*history.READS, "accounts"]) as now:
        of = now.connection
        audited = await history.event_history(of, scope(Role.AUDITOR), people)
        viewed = await history.event_history(of, scope(Role.VIEWER), people)
        own = await accounts.accounts(
            of, scope(Role.VIEWER, account=str(derived("account", "anna")))
        )
    assert [row.topic for row in audited.items] == [
        "imewe.account:Opened",
        "imewe.account:RoleGranted",
    ]
    assert audited.items[0].body["mail"]["ct"] == "Yw=="
    assert viewed.items == []
    assert own.items[0].grants == [{"role": "admin", "organisation_id": ORGANISATION}]


async def test_the_event_history_filters_and_goes_both_ways(
    pool: AsyncConnectionPool, story: Story
) -> None:
    async with reading(pool, history.READS) as now:
        of = now.connection
        job = next(e for e in story.events if e.kind == "job")
        one = history.EventFilter(aggregate_id=str(job.aggregate_id))
        forth = (await history.event_history(of, ADMIN, one)).items
        back = (await history.event_history(of, ADMIN, one, newest_first=True)).items
        topics = history.EventFilter(topics=["imewe.job:Completed"], before=len(story.events))
        ended = (await history.event_history(of, ADMIN, topics)).items
        late = history.EventFilter(since=BEGIN + timedelta(minutes=31), kind="job")
        later = (await history.event_history(of, ADMIN, late)).items
        by_id = await history.events_by_ids(of, ADMIN, [forth[0].event_id])
    assert [row.version for row in forth] == list(range(1, len(forth) + 1))
    assert forth == back[::-1]
    assert len(ended) == 4
    assert all(row.recorded_at > BEGIN + timedelta(minutes=31) for row in later)
    assert by_id == {forth[0].event_id: forth[0]}
    assert forth[0].actor_id == "anna"


async def test_figures_are_sums_of_what_happened(pool: AsyncConnectionPool, story: Story) -> None:
    async with reading(pool, kpis.READS) as now:
        (day,) = await kpis.kpis(
            now.connection,
            ADMIN,
            organisation_id=ORGANISATION,
            period="day",
            since=BEGIN,
            until=BEGIN + timedelta(hours=6),
        )
        hours = await kpis.kpis(
            now.connection,
            ADMIN,
            organisation_id=ORGANISATION,
            period="hour",
            since=BEGIN,
            until=BEGIN + timedelta(hours=6),
        )
    assert (day.jobs_submitted, day.jobs_completed) == (5, 4)
    assert day.completion_ms == (3 * 60 + 1) * 60_000
    assert day.mean_completion_ms == 181 * 60_000 / 4
    assert (day.first_tries, day.first_passes, day.first_time_success) == (7, 7, 1.0)
    assert day.energy_j == 7 * 900
    assert day.material_mg_per_part == 99
    assert day.executing_ms == (6 * 30 + 1) * 60_000
    assert day.connected_ms == day.known_ms == (6 * 60 + 3 * 60) * 60_000
    assert len(hours) == 6
    for name in ("jobs_completed", "executing_ms", "connected_ms", "known_ms", "energy_j"):
        assert sum(getattr(hour, name) for hour in hours) == getattr(day, name)


async def test_figures_of_a_strange_organisation_or_period_are_refused(
    pool: AsyncConnectionPool, story: Story
) -> None:
    asked = {"organisation_id": ORGANISATION, "since": BEGIN, "until": BEGIN + timedelta(hours=1)}
    async with reading(pool, kpis.READS) as now:
        with pytest.raises(NotFoundError):
            await kpis.kpis(now.connection, STRANGER, period="hour", **asked)
        with pytest.raises(InvalidInputError, match="hour, day or week"):
            await kpis.kpis(now.connection, ADMIN, period="year", **asked)
        with pytest.raises(InvalidInputError, match="before"):
            await kpis.kpis(now.connection, ADMIN, period="day", **{**asked, "until": BEGIN})
        asked["until"] = BEGIN + timedelta(days=200)
        with pytest.raises(InvalidInputError, match="periods"):
            await kpis.kpis(now.connection, ADMIN, period="hour", **asked)


async def test_a_reader_waits_for_the_position_of_its_own_write(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    story = Story()
    Shop.opened(story).make()
    with migrated(database_url) as connection:
        project(connection, story.events[:10])
    late = asyncio.get_running_loop().run_in_executor(None, _project_late, database_url, story)
    async with reading(pool, jobs.READS, at_least=len(story.events)) as now:
        assert now.position == len(story.events)
        assert (await jobs.jobs(now.connection, ADMIN)).items[0].status == "COMPLETED"
    await late


def _project_late(database_url: str, story: Story) -> None:
    with migrated(database_url) as connection:
        project(connection, story.events)


async def test_a_position_that_does_not_come_is_a_clear_refusal(
    pool: AsyncConnectionPool, story: Story
) -> None:
    with pytest.raises(NotReachedError, match=r"position 10000 was not reached in 0\.1 s"):
        async with reading(pool, jobs.READS, at_least=10_000, timeout=0.1):
            pytest.fail("there is no such position")


async def test_a_projection_that_never_ran_is_a_clear_refusal(pool: AsyncConnectionPool) -> None:
    with pytest.raises(NotBuiltError, match="kpis"):
        async with reading(pool, kpis.READS):
            pytest.fail("there is nothing to read")


async def test_a_reading_is_one_snapshot_and_cannot_write(
    pool: AsyncConnectionPool, story: Story, database_url: str
) -> None:
    async with reading(pool, jobs.READS) as now:
        before = (await jobs.jobs(now.connection, ADMIN)).items
        more = Shop.opened(story, name="Prusa 3")
        more.make()
        await asyncio.to_thread(_project_late, database_url, story)
        assert (await jobs.jobs(now.connection, ADMIN)).items == before
    async with reading(pool, jobs.READS) as now:
        assert len((await jobs.jobs(now.connection, ADMIN)).items) == len(before) + 1
        changed = await jobs.jobs_changed(now.connection, ADMIN, after=before[0].position)
    assert len(changed) == 1
    assert changed[0].position == story.events[-1].position


@pytest.mark.parametrize("text", ["", "x", "cDEyMw!", "eDEy", "p12", "cOKCgg"])
def test_a_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not one of ours"):
        Cursor.decode(text)

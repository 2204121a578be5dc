"""What an object was, what changed it, why, and what led to what: asked over GraphQL."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
from psycopg_pool import AsyncConnectionPool

from domain.dispatch.aggregate import Dispatch
from domain.shared.personal import Personal
from domain.shared.recorded import RecordedEvent
from projections.history.differences import Change, How, applied
from projections.history.states import plain
from tests.explaining import played
from tests.gateway_tools import Bench
from tests.projecting import migrated, project
from tests.simulation.shop import ORGANISATION
from tests.stories import ORGANISATION as STORY_PLACE
from tests.stories import SEALED, Shop, Story

STATE = """query($kind: String!, $id: ID!, $asOf: AsOf) {
  stateAt(kind: $kind, id: $id, asOf: $asOf) {
    kind id version position occurredAt hash status state } }"""
DIFF = """query($kind: String!, $id: ID, $from: AsOf!, $to: AsOf) {
  diff(kind: $kind, id: $id, from: $from, to: $to) {
    from to aggregates { pageInfo { hasNextPage endCursor } edges { node {
      kind id events first last before { status state } after { status state }
      differences { path how before after changes event { position topic actor } } } } } } }"""
SUMMARY = """query($from: AsOf!, $after: String) { diff(from: $from, first: 7, after: $after) {
  aggregates { pageInfo { hasNextPage endCursor } edges { node { kind id events last } } } } }"""
EXPLAIN = """query($id: ID!) { explain(eventId: $id) {
  words event { position topic } beginning { actor actorName commandId }
  chain { words event { eventId } } ledTo { words event { eventId causationId } } more
  occasionOf { event { eventId } }
  decision { nodeId policy policyVersion fleetPosition runnerUp words work
    occasion { event { position topic } }
    candidates { nodeId score terms { name value weight share } }
    rejections { nodeId reason message } rejected { reason count message } } } }"""
TREE = """query($of: StoryOf!, $first: Int! = 1000) { causationTree(of: $of, first: $first) {
  truncated nodes { id parentId depth link words actor at commandId event { position } } } }"""


@pytest.fixture(scope="module")
def events() -> list[RecordedEvent]:
    """Three jobs made by a shop's processes, with people's hands in between."""
    return played(5, troubles=False)


@pytest.fixture
async def bench(database_url: str, events: list[RecordedEvent]) -> AsyncIterator[Bench]:
    async with over(database_url, events) as made:
        yield made


@asynccontextmanager
async def over(database_url: str, events: list[RecordedEvent]) -> AsyncIterator[Bench]:
    """A gateway a minute after the last of these events, which are in the read models."""
    with migrated(database_url) as connection:
        project(connection, events)
    pool = AsyncConnectionPool(
        database_url, min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
    )
    async with pool:
        made = Bench(pool=pool)
        made.clock.present = events[-1].stored_at + timedelta(minutes=1)
        yield made


async def ask(bench: Bench, query: str, *, role: str = "admin", **variables: Any) -> dict[str, Any]:
    answer = await bench.ask(query, variables, token=bench.token(role, place=ORGANISATION))
    assert "errors" not in answer, answer["errors"]
    (found,) = answer["data"].values()
    return dict(found)


async def problem(bench: Bench, query: str, **variables: Any) -> dict[str, Any]:
    answer = await bench.ask(query, variables, token=bench.token(place=ORGANISATION))
    return dict(answer["errors"][0]["extensions"]["problem"])


def fold(events: list[RecordedEvent], aggregate_id: str, upto: int) -> Any:
    """By the aggregate alone, from the events themselves."""
    made: Any = None
    for recorded in events[:upto]:
        if str(recorded.aggregate_id) == aggregate_id:
            made = recorded.event.mutate(made)
    return plain(made)


def at(position: int) -> dict[str, str]:
    return {"position": str(position)}


async def test_the_state_at_any_position_is_the_fold_of_what_came_before(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    chance = random.Random(8)
    for recorded in chance.sample(events, 25):
        aggregate_id, until = str(recorded.aggregate_id), chance.randint(1, len(events))
        answer = await bench.ask(
            STATE,
            {"kind": recorded.kind, "id": aggregate_id, "asOf": at(until)},
            token=bench.token(place=ORGANISATION),
        )
        found = answer["data"]["stateAt"]
        own = [e for e in events[:until] if str(e.aggregate_id) == aggregate_id]
        if not own:
            assert found is None
            continue
        assert found["state"] == orjson.loads(orjson.dumps(fold(events, aggregate_id, until)))
        last = own[-1]
        told = (found["version"], found["position"], found["hash"])
        assert told == (last.version, str(last.position), last.hash)


async def test_a_moment_by_time_means_what_the_log_had_taken_by_then(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    job = next(e for e in events if e.topic == "imewe.job:Completed")
    before = events[job.position - 2].stored_at.isoformat()
    asked: dict[str, Any] = {"kind": "job", "id": str(job.aggregate_id)}
    then = await ask(bench, STATE, **asked, asOf={"time": before})
    now = await ask(bench, STATE, **asked, asOf={"time": job.stored_at.isoformat()})
    assert then["status"] != "COMPLETED"
    assert (now["status"], now["position"]) == ("COMPLETED", str(job.position))
    assert await ask(bench, STATE, **asked) == now


async def test_a_difference_done_to_the_first_state_gives_the_second(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    chance, compared = random.Random(2), 0
    for recorded in chance.sample(events, 12):
        begin, end = sorted(chance.sample(range(len(events) + 1), 2))
        if recorded.position > end:
            continue
        aggregate_id = str(recorded.aggregate_id)
        found = await ask(
            bench, DIFF, kind=recorded.kind, id=aggregate_id, **{"from": at(begin)}, to=at(end)
        )
        between = [e for e in events[begin:end] if str(e.aggregate_id) == aggregate_id]
        shown = [edge["node"] for edge in found["aggregates"]["edges"]]
        assert [each["events"] for each in shown] == ([len(between)] if between else [])
        for each in shown:
            before = each["before"]["state"] if each["before"] else {}
            changed = [
                Change(path=d["path"], how=How(d["how"]), before=d["before"], after=d["after"])
                for d in each["differences"]
            ]
            assert applied(changed, before) == each["after"]["state"]
            positions = {str(e.position) for e in between}
            assert all(d["event"]["position"] in positions for d in each["differences"])
            compared += len(changed)
    assert compared > 10


async def test_the_profile_of_a_machine_is_compared_value_by_value(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    node = next(e for e in events if e.topic == "imewe.node:Configured")
    found = await ask(
        bench,
        DIFF,
        kind="node",
        id=str(node.aggregate_id),
        **{"from": at(node.position - 1)},
        to=at(node.position),
    )
    (changed,) = [edge["node"] for edge in found["aggregates"]["edges"]]
    told = {d["path"]: d for d in changed["differences"]}
    assert told["/profile_version"]["after"] == 1
    assert told["/profile/process"]["after"] == "fdm"
    assert told["/profile/process"]["event"] == {
        "position": str(node.position),
        "topic": node.topic,
        "actor": f"{node.envelope.actor.kind}/{node.envelope.actor.id}",
    }


async def test_the_whole_fleet_between_two_moments_is_told_in_pages(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    begin, found, after = len(events) // 3, [], None
    while True:
        page = (await ask(bench, SUMMARY, **{"from": at(begin)}, after=after))["aggregates"]
        found += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    counted: dict[str, int] = {}
    for recorded in events[begin:]:
        key = str(recorded.aggregate_id)
        counted[key] = counted.get(key, 0) + 1
    assert {each["id"]: each["events"] for each in found} == counted
    assert len(found) == len(counted) > 7
    lasts = [int(each["last"]) for each in found]
    assert lasts == sorted(lasts, reverse=True)
    page = await ask(bench, DIFF, kind="job", id=None, **{"from": at(begin)})
    jobs = [edge["node"] for edge in page["aggregates"]["edges"]]
    assert jobs
    for each in jobs:
        assert each["after"]["status"] == fold(events, each["id"], len(events))["status"]
        assert (each["before"] or {"status": None})["status"] == fold(
            events, each["id"], begin
        ).get("status")


async def test_every_event_can_be_explained_back_to_a_command(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    for recorded in random.Random(3).sample(events, 30):
        found = await ask(bench, EXPLAIN, id=recorded.event_id)
        assert found["event"] == {"position": str(recorded.position), "topic": recorded.topic}
        assert found["words"] == found["chain"][-1]["words"] != ""
        assert found["beginning"] is not None
        ids = [each["event"]["eventId"] for each in found["chain"]]
        assert ids[-1] == recorded.event_id
        follows = [e.event_id for e in events if e.envelope.causation_id == recorded.event_id]
        assert [each["event"]["eventId"] for each in found["ledTo"]] == follows


async def test_a_decision_is_explained_with_its_grounds_and_its_occasion(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    chosen = next(
        e
        for e in events
        if isinstance(e.event, Dispatch.NodeChosen) and e.event.decision["rejected"]
    )
    recorded = chosen.event.decision
    found = (await ask(bench, EXPLAIN, id=chosen.event_id))["decision"]
    assert found["fleetPosition"] == str(recorded["fleet_position"])
    assert found["occasion"]["event"]["position"] == found["fleetPosition"]
    assert [c["nodeId"] for c in found["candidates"]] == [
        c["node_id"] for c in recorded["candidates"]
    ]
    for candidate in found["candidates"]:
        total = sum(term["share"] for term in candidate["terms"])
        assert total == pytest.approx(candidate["score"], abs=1e-4)
    assert {r["nodeId"]: r["reason"] for r in found["rejections"]} == recorded["rejections"]
    assert all(r["message"] for r in found["rejections"])
    assert "was chosen by weighted-score 1" in found["words"]
    assert found["work"]["process"] == "fdm"
    occasion = events[recorded["fleet_position"] - 1]
    other = await ask(bench, EXPLAIN, id=occasion.event_id)
    assert chosen.event_id in [each["event"]["eventId"] for each in other["occasionOf"]]


async def test_every_event_of_a_job_hangs_in_its_tree(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    job = next(e for e in events if e.topic == "imewe.job:Completed")
    job_id = str(job.aggregate_id)
    tree = await ask(bench, TREE, of={"jobId": job_id})
    nodes = {node["id"]: node for node in tree["nodes"]}
    assert not tree["truncated"]
    assert len(nodes) == len(tree["nodes"])
    own = [
        e for e in events if str(e.aggregate_id) == job_id or vars(e.event).get("job_id") == job_id
    ]
    about = {e.aggregate_id for e in own}
    for recorded in events:
        if recorded.aggregate_id in about:
            assert recorded.event_id in nodes, recorded.topic
    seen: set[str] = set()
    for node in tree["nodes"]:
        assert (node["parentId"] is None) == (node["depth"] == 0) == (node["event"] is None)
        if node["parentId"]:
            assert node["parentId"] in seen
            assert node["depth"] == nodes[node["parentId"]]["depth"] + 1
        seen.add(node["id"])
    roots = [node for node in tree["nodes"] if node["depth"] == 0]
    assert {node["link"] for node in roots} == {"COMMAND"}
    assert {node["actor"].partition("/")[0] for node in roots} == {"user"}
    links = {node["link"] for node in tree["nodes"]}
    assert links == {"COMMAND", "EVENT", "ACKNOWLEDGEMENT"}
    story = events[0].envelope.correlation_id
    assert (await ask(bench, TREE, of={"correlationId": story}))["nodes"]


async def test_the_tree_of_an_event_is_the_whole_tree_it_hangs_in_and_keeps_to_its_bound(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    finished = next(e for e in events if e.topic == "imewe.build:Finished")
    whole = await ask(bench, TREE, of={"eventId": finished.event_id})
    assert finished.event_id in [node["id"] for node in whole["nodes"]]
    assert [node["depth"] for node in whole["nodes"]].count(0) == 1
    part = await ask(bench, TREE, of={"eventId": finished.event_id}, first=20)
    assert part["truncated"]
    assert finished.event_id in [node["id"] for node in part["nodes"]]
    told = [node for node in part["nodes"] if node["event"]]
    assert len(told) <= 40


async def test_nothing_is_told_to_those_who_may_not_know_of_it(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    first = events[0]
    asked = {"kind": first.kind, "id": str(first.aggregate_id)}
    elsewhere = bench.token("admin")
    for query, variables, nothing in (
        (STATE, asked, None),
        (EXPLAIN, {"id": first.event_id}, None),
        (TREE, {"of": {"eventId": first.event_id}}, {"truncated": False, "nodes": []}),
    ):
        answer = await bench.ask(query, variables, token=elsewhere)
        (found,) = answer["data"].values()
        assert found == nothing
        stranger = await bench.ask(query, variables, token="")
        assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    page = (await bench.ask(SUMMARY, {"from": at(0)}, token=elsewhere))["data"]["diff"]
    assert page["aggregates"]["edges"] == []


async def test_what_makes_no_sense_is_refused_with_a_remedy(
    bench: Bench, events: list[RecordedEvent]
) -> None:
    node = next(e for e in events if e.kind == "node")
    other = {"kind": "job", "id": str(node.aggregate_id)}
    assert "kind node" in (await problem(bench, STATE, **other))["remedy"]
    assert "kind node" in (await problem(bench, DIFF, **other, **{"from": at(1)}))["remedy"]
    late = await problem(bench, DIFF, kind="node", id=other["id"], **{"from": at(9)}, to=at(3))
    assert (late["field"], late["code"]) == ("from", "INVALID_INPUT")
    nobody = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
    missing = await problem(bench, DIFF, kind="job", id=nobody, **{"from": at(1)})
    assert missing["code"] == "NOT_FOUND"
    assert (await bench.ask(EXPLAIN, {"id": "no id"}))["data"]["explain"] is None
    two = {"eventId": node.event_id, "jobId": other["id"]}
    assert "errors" in await bench.ask(TREE, {"of": two})


async def test_people_stay_sealed_and_are_shown_only_to_those_who_audit(
    database_url: str,
) -> None:
    story = Story()
    Shop.opened(story).found()
    account = next(e for e in story.events if e.kind == "account")
    asked = {"kind": "account", "id": str(account.aggregate_id)}
    async with over(database_url, story.events) as bench:
        for role, may in (("auditor", True), ("admin", True), ("operator", False)):
            answer = await bench.ask(STATE, asked, token=bench.token(role, place=STORY_PLACE))
            seen = answer["data"]["stateAt"]
            assert (seen is not None) is may, role
            assert not may or seen["state"]["name"] == SEALED.stored()


async def test_peoples_own_words_in_an_explanation_are_opened_for_those_who_may_read_them(
    database_url: str,
) -> None:
    story = Story()
    shop = Shop.opened(story)
    note = Personal(enc="A256GCM", key="anna.0a1b2c3d", nonce="bg==", ct="Yw==").compact()
    shop.node.hold(note)
    story.tell(shop.node)
    held = story.events[-1].event_id
    async with over(database_url, story.events) as bench:
        for known, told in (
            ({note: "lunch"}, "lunch"),
            ({note: None}, "[erased]"),
            ({}, "[sealed]"),
        ):
            bench.people.notes = known
            token = bench.token(place=STORY_PLACE)
            found = (await bench.ask(EXPLAIN, {"id": held}, token=token))["data"]["explain"]
            assert found["words"] == f"Held: no new work: {told}"
            tree = await bench.ask(TREE, {"of": {"eventId": held}}, token=token)
            assert told in tree["data"]["causationTree"]["nodes"][-1]["words"]


async def test_a_long_life_is_read_page_by_page_and_only_so_many_events_are_compared(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story()
    shop = Shop.opened(story)
    for number in range(300):
        shop.node.hold(f"lunch {number}")
        shop.node.end_hold()
    shop.node.hold("for good")
    story.tell(shop.node)
    node_id, first = str(shop.node.id), len(story.events) - 601
    asked = {"kind": "node", "id": node_id, "from": at(first)}
    async with over(database_url, story.events) as bench:
        token = bench.token(place=STORY_PLACE)
        state = (await bench.ask(STATE, asked, token=token))["data"]["stateAt"]
        assert (state["version"], state["state"]["held"]) == (shop.node.version, True)
        assert state["state"] == orjson.loads(orjson.dumps(plain(shop.node)))
        answer = await bench.ask(DIFF, asked, token=token)
        (changed,) = [edge["node"] for edge in answer["data"]["diff"]["aggregates"]["edges"]]
        held = {d["path"]: d for d in changed["differences"]}["/held"]
        assert (held["changes"], held["event"]["position"]) == (601, str(len(story.events)))
        monkeypatch.setattr("projections.history.unfolding.COMPARED_LIMIT", 600)
        refused = await bench.ask(DIFF, asked, token=token)
        assert "shorter interval" in refused["errors"][0]["extensions"]["problem"]["remedy"]
        monkeypatch.setattr("gateways.graphql.explaining.WIDEST", 600)
        wide = await bench.ask(SUMMARY, {"from": at(first)}, token=token)
        assert "more than 600 positions" in wide["errors"][0]["message"]

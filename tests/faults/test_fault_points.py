"""Programs die between an effect and its acknowledgement, at every such place that has a name.

What they were at happens once, and everything comes to rest as if nothing had been.
"""

import asyncio
import contextlib
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from commands.application import Imewe
from domain.job.aggregate import Job
from domain.shared.errors import InvalidInputError
from ops import failpoints
from ops.cli.client import Client
from ops.cli.gateway_log import GatewayLog
from ops.eventstore.jetstream import environment_of
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.connection import address, connect
from ops.messaging.server import EmbeddedNats
from ops.replaying.reading import Export
from ops.replaying.writing import Stretch, write_export
from ops.settings import CHECKOUT, Settings
from ops.supervisor import SERVICES
from tests.eventlog import an_envelope
from tests.faults.test_kills import Bookkeeper
from tests.integration.commands_rig import Rig, commands_rig
from tests.whole import Whole, own_home, whole_at
from tests.whole_invariants import check_everything, signed_heads, whole_log
from tests.whole_orders import CLEAR, RECEIVE, SUBMIT, small_program

BOOKED_MG = 1000

COMMANDS = tuple(point for point in failpoints.POINTS if point.startswith("commands."))
SHORT = (
    "processes.answered.SendBuild",
    "projections.rows.flushed",
    "bridge.work.before",
    "notary.head.signed",
    "gateway.answered.SubmitJob",
)
LONG = (
    *COMMANDS,
    "processes.answered.ReserveNode",
    "processes.answered.SendBuild",
    "processes.work.relayed",
    "processes.position.stored",
    "projections.rows.flushed",
    "projections.rows.committed",
    "bridge.answered.AcceptBuild",
    "bridge.answered.FinishBuild",
    "bridge.work.before",
    "bridge.work.after",
    "notary.events.taken",
    "notary.head.signed",
    "gateway.answered.SubmitJob",
    "gateway.answered.ReceiveMaterial",
)
OFTEN = ("commands.", "projections.", "notary.", "processes.position.")
"""Points that one order comes by several times."""
ELSEWHERE = {"processes.alarm.done"}
"""See ``test_fault_redelivery``."""


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with own_home() as home, pytest.MonkeyPatch.context() as environment:
        points = home.parent / "points"
        points.mkdir()
        environment.setenv("IMEWE_FAIL_POINTS", str(points))
        environment.setenv("IMEWE_HEAD_SECONDS", "1")
        with whole_at(home) as whole:
            yield whole


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_program(tmp_path_factory.mktemp("program"), layers=4)


@pytest.fixture
async def rig(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Rig]:
    assert fresh_nats.poll() is None
    async with commands_rig(fresh_settings) as rig:
        rig.port = NatsCommandClient(
            rig.client, kind="service", principal_id="gateway", timeout_s=1.0
        )
        yield rig


@pytest.mark.stack
async def test_a_command_whose_service_dies_is_obeyed_and_answered_once(
    rig: Rig, tmp_path: Path
) -> None:
    rig.points = [str(tmp_path)]
    await rig.start()
    answers: dict[str, dict[str, Any]] = {}
    for point in COMMANDS:
        (tmp_path / point).touch()
        sending = asyncio.create_task(rig.insist("SubmitJob", rig.job, point))
        (dying,) = rig.copies
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL, point
        rig.copies.clear()
        await rig.start()
        answers[point] = await sending
    for point, answer in answers.items():
        assert await rig.insist("SubmitJob", rig.job, point) == answer
    found = await asyncio.to_thread(rig.submitted)
    assert found == {answer["id"]: answer["position"] for answer in answers.values()}


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_an_order_during_which_everything_dies_is_made_once(whole: Whole, program: Path) -> None:
    _order_through(whole, program, dict.fromkeys(SHORT, 1))


@pytest.mark.stack
@pytest.mark.timeout(3600)
def test_a_death_at_any_point_and_time_changes_nothing(
    whole: Whole, program: Path, long_tests: bool
) -> None:
    for point in LONG if long_tests else ():
        for time in (1, 2, 5) if point.startswith(OFTEN) else (1,):
            _order_through(whole, program, {point: time})


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_who_follows_the_log_gets_every_event_once_though_announcements_are_lost_and_doubled(
    whole: Whole,
) -> None:
    after = len(whole_log(whole))
    found: list[int] = []
    goal: list[int] = []
    (whole.home.parent / "points" / "projections.rows.committed").touch()
    following = threading.Thread(target=_follow, args=(whole.portal, after, found, goal))
    following.start()
    lot = {"node": next(iter(whole.names)), "material": "ABS", "lot": "told", "mg": BOOKED_MG}
    for number in range(6):
        asyncio.run(_announce_again(whole, times=50))
        told = whole.persist(RECEIVE, **lot, commandId=f"told-{number}")
    goal.append(int(told["position"]))
    whole.persist(RECEIVE, **lot, commandId="told-at-last")
    following.join(60)
    assert not following.is_alive(), "an event was never told"
    own = [r for r in whole_log(whole)[after:] if r.headers["Imewe-Org"] == whole.organisation_id]
    assert found == [record.sequence for record in own][: len(found)]


def _follow(portal: Client, after: int, found: list[int], goal: list[int]) -> None:
    tail = "subscription($after: Position) { eventTail(afterSequence: $after) { position } }"
    with contextlib.closing(portal.subscribe(tail, {"after": str(after)})) as told:
        for data in told:
            found.append(int(data["eventTail"]["position"]))
            if goal and found[-1] >= goal[0]:
                return


async def _announce_again(whole: Whole, *, times: int) -> None:
    """What was announced comes again, out of order."""
    client = await connect(whole.settings, "projections")
    for number in range(times):
        told = b'{"position":%d,"keys":[]}' % (times - number)
        await client.publish("imewe.projected.history", told)
    await client.close()


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_a_rolling_restart_under_load_loses_and_repeats_nothing(
    whole: Whole, long_tests: bool
) -> None:
    bookkeeper = Bookkeeper(whole, "rolling")
    bookkeeper.start()
    try:
        for name in SERVICES if long_tests else ("commands", "projections", "gateway"):
            old = whole.pid(name)
            os.kill(old, signal.SIGTERM)
            whole.until(lambda old=old, name=name: whole.pid(name) not in (0, old), f"a new {name}")
    finally:
        bookkeeper.end()
    booked = [bookkeeper.booked * BOOKED_MG]
    whole.until(
        lambda: [lot["suppliedMg"] for lot in whole.lots() if lot["lot"] == "rolling"] == booked,
        "every booking once",
    )
    _settle(whole)
    check_everything(whole)
    _expect_signed(whole)


@pytest.mark.stack
def test_an_event_of_900_kb_passes_through_everything(whole: Whole, tmp_path: Path) -> None:
    name = "n" * 900_000
    job = Job._create(
        Job.Submitted,
        id=uuid4(),
        organisation_id=whole.organisation_id,
        owner_id="",
        name=name,
        priority=5,
        deadline="",
        parts=[],
    )
    envelope = an_envelope()._replace(organisation_id=whole.organisation_id)
    with contextlib.closing(
        Imewe(environment_of(address(whole.settings, "log_commands")))
    ) as application:
        position = application.record(job, envelope=envelope)
    whole.acknowledged.append((str(job.id), position))
    asked = {"id": str(job.id), "at": str(position)}
    shown = whole.portal.execute(
        "query($id: ID!, $at: Position) { job(id: $id, atLeast: $at) { name } }", asked
    )
    assert shown["job"]["name"] == name
    (edge,) = whole.portal.execute(
        "query($after: Position) { eventHistory(first: 1, afterSequence: $after) {"
        " edges { node { position body } } } }",
        {"after": str(position - 1)},
    )["eventHistory"]["edges"]
    assert edge["node"]["position"] == str(position)
    assert edge["node"]["body"]["name"] == name
    log = GatewayLog(whole.portal)
    stretch = Stretch(first=1, last=log.end, organisations=log.organisations)
    path = tmp_path / "log.jsonl"
    write_export(path, "jsonl", stretch, log.pages(first=1, last=log.end))
    (record,) = [each for each in Export(path).records() if each.sequence == position]
    assert record.body == whole_log(whole)[position - 1].body
    check_everything(whole)
    _expect_signed(whole)


def test_every_point_in_the_code_has_a_name_that_is_known_and_the_other_way_round() -> None:
    found = set()
    for path in (CHECKOUT / "ops").rglob("*.py"):
        found |= set(re.findall(r'reach\(\s*"([^"]+)"', path.read_text()))
    answered = {point for point in failpoints.POINTS if point.endswith(".answered")}
    assert found | answered == set(failpoints.POINTS)
    tried = {re.sub(r"\.[A-Z]\w+$", "", point) for point in LONG}
    assert tried | ELSEWHERE == set(failpoints.POINTS)


def test_production_refuses_to_have_fail_points(tmp_path: Path) -> None:
    named = {"IMEWE_FAIL_POINTS": str(tmp_path)}
    assert Settings.from_environment(tmp_path, environment=named).fail_points == tmp_path
    assert Settings.from_environment(tmp_path, environment={}).fail_points is None
    with pytest.raises(InvalidInputError, match="for tests"):
        Settings.from_environment(tmp_path, environment={**named, "IMEWE_PRODUCTION": "1"})


def _order_through(whole: Whole, program: Path, points: dict[str, int]) -> None:
    """Order a piece and book a lot in, while programs die; then look at everything."""
    order = whole.order(program)
    folder = whole.home.parent / "points"
    name = "-".join(sorted(points))[:40] + str(len(whole.acknowledged))
    for point, time in points.items():
        (folder / point).write_text(str(time))
    node_id = next(iter(whole.names))
    lot = {"node": node_id, "material": "ABS", "lot": name, "mg": BOOKED_MG}
    whole.persist(RECEIVE, **lot, commandId=f"{name}-lot")
    job_id = whole.persist(SUBMIT, input=order, commandId=f"{name}-job")["jobId"]
    ended = whole.until_ended(job_id)
    whole.until(lambda: _stirred(whole, folder), f"all of {points} have died")
    _expect_one_piece(ended)
    (booked,) = [each for each in whole.lots() if each["lot"] == name]
    assert booked["suppliedMg"] == BOOKED_MG
    _settle(whole)
    check_everything(whole, job_id)
    _expect_signed(whole)


def _stirred(whole: Whole, folder: Path) -> bool:
    """Whether all have died; else there is a little more to do."""
    if not list(folder.iterdir()):
        return True
    node_id = next(iter(whole.names))
    whole.command(RECEIVE, node=node_id, material="ABS", lot="stirred", mg=BOOKED_MG)
    return False


def _expect_one_piece(job: dict[str, Any]) -> None:
    assert job["status"] == "COMPLETED", job
    (part,) = job["parts"]
    assert part["passed"] == part["quantity"] == 1
    assert [build["passed"] for build in part["builds"]].count(True) == 1


def _expect_signed(whole: Whole) -> None:
    """The notary goes on and signs everything."""
    size = len(whole_log(whole))
    whole.until(lambda: signed_heads(whole).newest.head.size >= size or None, "a head over all")


def _settle(whole: Whole) -> None:
    def free() -> bool:
        for node in whole.nodes():
            if node["run"] is None and not node["bedClear"]:
                whole.command(CLEAR, id=node["id"])
        return all(n["connected"] and n["bedClear"] and n["run"] is None for n in whole.nodes())

    whole.until(free, "both machines are free")

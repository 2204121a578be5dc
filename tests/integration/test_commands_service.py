"""The commands service over a real nats-server: copies, kills, a full disk."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.shared.errors import (
    DuplicateCommandError,
    ImeweError,
    NotFoundError,
    StorageFullError,
    UnauthenticatedError,
    UnavailableError,
)
from ops.eventstore.chain import verify
from ops.hosting.account import server_account
from ops.messaging.command_client import NatsCommandClient, log_in
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.space import RESERVE
from ops.prepare import prepare_streams
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.commands_rig import Rig, commands_rig
from tests.integration.shop import enlarge


@pytest.fixture
async def rig(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Rig]:
    async with commands_rig(fresh_settings) as rig:
        yield rig


async def test_a_command_goes_in_and_its_event_is_in_the_log(rig: Rig) -> None:
    await rig.start()
    node = await rig.send("RegisterNode", {"name": "Prusa 1", "virtual": True}, "n1")
    job = await rig.send("SubmitJob", rig.job, "j1", correlation="s1", traceparent="00-ab-cd-01")
    found = {record.sequence: record for record in rig.records()}
    assert found[node["position"]].topic == "imewe.node:Registered"
    submitted = found[job["position"]]
    assert (submitted.topic, submitted.aggregate) == ("imewe.job:Submitted", job["id"])
    told = submitted.headers
    assert (told["Imewe-Actor-Kind"], told["Imewe-Org"]) == ("user", rig.organisation_id)
    assert (told["Imewe-Story"], told["Imewe-Trace"]) == ("s1", "00-ab-cd-01")
    assert await rig.send("SubmitJob", rig.job, "j1") == job
    with pytest.raises(DuplicateCommandError):
        await rig.send("SubmitJob", {**rig.job, "priority": 9}, "j1")


async def test_a_refusal_comes_back_typed_and_leaves_nothing(rig: Rig) -> None:
    await rig.start()
    unknown = {**rig.job["parts"][0], "artifact_digest": "e" * 64}
    with pytest.raises(NotFoundError) as missing:
        await rig.send("SubmitJob", {**rig.job, "parts": [unknown]}, "j1")
    assert missing.value.field == "parts.0.artifact_digest"
    with pytest.raises(UnauthenticatedError):
        await rig.send("SubmitJob", rig.job, "j1", token="forged")
    with pytest.raises(UnauthenticatedError):
        await log_in(rig.client, mail="admin@imewe.local", password="wrong horse")
    assert not rig.submitted()


async def test_nobody_answers_while_no_copy_runs(rig: Rig) -> None:
    with pytest.raises(UnavailableError, match="nothing was recorded"):
        await rig.send("SubmitJob", {}, "j1")


async def test_a_bridge_cannot_speak_as_the_gateway(rig: Rig) -> None:
    await rig.start()
    bridge = await connect(rig.settings, "bridge")
    posing = NatsCommandClient(bridge, kind="service", principal_id="gateway", timeout_s=0.5)
    with pytest.raises(UnavailableError):
        await posing.send("SubmitJob", rig.job, command_id="j1", token=rig.token)
    await bridge.close()
    assert not rig.submitted()


async def test_two_copies_obey_the_same_command_once(rig: Rig) -> None:
    await rig.start(copies=2)
    answers = await asyncio.gather(
        *(rig.send("SubmitJob", rig.job, f"j{n % 5}") for n in range(40))
    )
    assert len({answer["id"] for answer in answers}) == 5
    assert len({answer["position"] for answer in answers}) == 5
    assert set(rig.submitted()) == {answer["id"] for answer in answers}


async def test_two_copies_changing_one_job_lose_no_change(rig: Rig) -> None:
    await rig.start(copies=2)
    job = await rig.send("SubmitJob", rig.job, "j1")
    changes = [{"job_id": job["id"], "priority": n % 10 + 1} for n in range(30)]
    sent = [rig.send("ReprioritizeJob", change, f"r{n}") for n, change in enumerate(changes)]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, ImeweError) and answer.code == "CONFLICT" for answer in refused)
    records = [record for record in rig.records() if record.aggregate == job["id"]]
    assert [record.version for record in records] == list(range(1, len(records) + 1))
    obeyed = {answer["position"] for answer in answers if isinstance(answer, dict)}
    assert obeyed <= {record.sequence for record in records}


async def test_admins_who_dismiss_each_other_through_two_copies_leave_one(rig: Rig) -> None:
    await rig.start(copies=2)
    mine = (await log_in(rig.client, mail="admin@imewe.local", password="correct horse"))[
        "account_id"
    ]
    left = [mine]
    for number in range(5):
        person = {"mail": f"b{number}@x.org", "name": "B", "password": "long enough"}
        left.append(
            (await rig.send("OpenAccount", {**person, "role": "admin"}, f"o{number}"))["id"]
        )
    sent = [
        rig.send("RevokeRole", {"account_id": each, "role": "admin"}, f"r{number}")
        for number, each in enumerate(left)
    ]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, ImeweError)]
    assert {each.code for each in refused} <= {"ILLEGAL_TRANSITION", "CONFLICT"}
    assert 1 <= len(refused) < len(left)
    records = rig.records()
    gone = [record for record in records if record.topic == "imewe.organisation:AdminDismissed"]
    assert len(gone) == len(left) - len(refused)
    assert verify(records, last=len(records)) is None


async def test_a_killed_copy_loses_no_answered_command_and_obeys_none_twice(rig: Rig) -> None:
    await rig.start(copies=2)
    answered: dict[str, dict[str, Any]] = {}

    async def one(number: int) -> None:
        answered[f"j{number}"] = await rig.insist("SubmitJob", rig.job, f"j{number}")

    async with asyncio.TaskGroup() as burst:
        for number in range(60):
            burst.create_task(one(number))
            await asyncio.sleep(0.01)
            if number in {20, 40}:
                rig.copies[number // 20 - 1].kill()
                burst.create_task(rig.start())
    submitted = rig.submitted()
    assert {answer["id"]: answer["position"] for answer in answered.values()} == submitted
    assert len(submitted) == 60


async def test_a_killed_log_server_loses_no_answered_command(
    rig: Rig, fresh_nats: EmbeddedNats
) -> None:
    await rig.start()
    answered: dict[str, dict[str, Any]] = {}

    async def one(number: int) -> None:
        answered[f"j{number}"] = await rig.insist("SubmitJob", rig.job, f"j{number}")

    async with asyncio.TaskGroup() as burst:
        for number in range(40):
            burst.create_task(one(number))
            await asyncio.sleep(0.01)
            if number == 20:
                await asyncio.to_thread(_kill_and_start, fresh_nats)
    submitted = rig.submitted()
    assert {answer["id"]: answer["position"] for answer in answered.values()} == submitted
    assert len(submitted) == 40


def _kill_and_start(server: EmbeddedNats) -> None:
    server.kill()
    server.finish_stop(5)
    server.start()


async def test_a_stopped_copy_answers_what_it_took_and_ends_in_time(rig: Rig) -> None:
    await rig.start()
    sent = [
        asyncio.create_task(rig.send("SubmitJob", rig.job, f"j{number}")) for number in range(30)
    ]
    await asyncio.sleep(0.02)
    begun = time.monotonic()
    rig.copies[0].terminate()
    assert await asyncio.to_thread(rig.copies[0].wait, 30) == 0
    assert time.monotonic() - begun < 10
    answers = await asyncio.gather(*sent, return_exceptions=True)
    taken = {answer["id"] for answer in answers if isinstance(answer, dict)}
    assert taken == set(rig.submitted())
    assert all(isinstance(a, dict | UnavailableError) for a in answers)


@pytest.fixture
def small_nats(small_disk: Path, fresh_home: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(fresh_home, server_account(), store_bytes=LEAST_STORE_BYTES)
    server.start()
    yield server
    server.stop()


async def test_a_full_disk_is_told_and_forgotten_when_space_is_back(
    small_nats: EmbeddedNats, small_disk: Path, fresh_settings: Settings
) -> None:
    """24 MiB are below what the service keeps in reserve: it refuses before anything is written."""
    await prepare_streams(fresh_settings, store_bytes=small_nats.store_bytes)
    enlarge(small_disk)
    client = await connect(fresh_settings, "gateway")
    rig = Rig(fresh_settings, client)
    await rig.start()
    before = rig.submitted()
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes((100 << 20) - RESERVE))
    with pytest.raises(StorageFullError) as full:
        await rig.send("SubmitJob", rig.job, "j1")
    assert full.value.remedy
    assert rig.submitted() == before
    ballast.unlink()
    answer = await rig.send("SubmitJob", rig.job, "j1")
    assert set(rig.submitted()) == {answer["id"]}
    rig.stop()
    await client.close()

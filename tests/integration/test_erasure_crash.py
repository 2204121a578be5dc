"""An erasure that is killed at any step, or fought by the person it is about, ends as it should."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.tokens import Signer
from domain.shared.errors import ImeweError, UnauthenticatedError
from ops.clock import SystemClock
from ops.eventstore.chain import verify
from ops.eventstore.client import Client
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.secrets import SecretBucket
from ops.keys import token_keys
from ops.messaging.connection import address
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.integration.commands_rig import ROOT, Rig, commands_rig
from tests.needles import files_with

SCRIPT = Path(__file__).with_name("erasure_process.py")
MAIL, NAME = "ottilie.needle@example.org", "Ottilie Needle"
NOTE = "Ottilie heard the belt squeak"
PERSON = {"mail": MAIL, "name": NAME, "password": "correct horse", "role": "operator"}
STEPS = 11
"""The note of it (two), the order, tombstone, key, mail index (two), password, kept answer,
confirmation, the note again."""
SOME = (4, 9)
"""Between tombstone and key, and before the confirmation."""


@pytest.fixture
async def rig(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Rig]:
    async with commands_rig(fresh_settings) as rig:
        yield rig


async def test_an_erasure_killed_at_any_step_is_finished_by_the_next_start(
    rig: Rig, fresh_nats: EmbeddedNats, long_tests: bool
) -> None:
    await rig.start()
    people = []
    for step in range(STEPS) if long_tests else SOME:
        account_id = (await rig.send("OpenAccount", PERSON, f"open-{step}"))["id"]
        key = key_of(rig, account_id)
        people.append((account_id, key))
        ordered = await killed_at(rig, step, account_id)
        await rig.start()
        if not ordered:  # the kill came before the order was recorded: nothing was promised
            assert key_of(rig, account_id) == key
        else:
            await until_erased(rig, account_id)
        again = await rig.insist("EraseSubject", {"subject_id": account_id}, f"erase-{step}")
        assert again["certificate"]["subject_id"] == account_id
    for account_id, _ in people:
        topics = [record.topic for record in rig.records() if record.aggregate == account_id]
        assert topics.count("imewe.account:ErasureBegun") == 1
        assert topics.count("imewe.account:Erased") == 1
        assert key_of(rig, account_id) is None
        assert left_of(rig, account_id) == [f"gone.{account_id}"]
    assert verify(rig.records()) is None
    rig.stop()
    fresh_nats.stop()
    needles = [MAIL.encode(), NAME.encode(), *(key for _, key in people if key)]
    assert files_with(rig.settings.home, needles) == {}


async def test_a_person_who_goes_on_writing_leaves_no_key_and_no_word(
    rig: Rig, fresh_nats: EmbeddedNats
) -> None:
    await rig.start(copies=2)
    node_id = (await rig.send("RegisterNode", {"name": "one", "virtual": True}, "n"))["id"]
    account_id = (await rig.send("OpenAccount", PERSON, "open"))["id"]
    token = token_of(rig, account_id)
    key = key_of(rig, account_id)
    for number in range(26):  # beyond a snapshot of the machine, which holds the note
        await pause(rig, node_id, f"p{number}", token)
        await rig.send("ResumeNode", {"node_id": node_id}, f"r{number}")
    writing = [asyncio.create_task(write_on(rig, node_id, token, name)) for name in "abcd"]
    await asyncio.sleep(0)
    answer = await rig.insist("EraseSubject", {"subject_id": account_id}, "erase")
    assert answer["certificate"]["destroyed"]
    with pytest.raises(UnauthenticatedError):
        await pause(rig, node_id, "late", token)
    assert all(await asyncio.gather(*writing))
    assert left_of(rig, account_id) == [f"gone.{account_id}"]
    found = rig.records()
    assert verify(found) is None
    held = [record for record in found if record.topic == "imewe.node:Held"]
    assert len(held) >= 26
    assert all(b"sealed:A256GCM:" in record.body for record in held)
    assert snapshots(rig) > 0
    rig.stop()
    fresh_nats.stop()
    assert key is not None
    assert files_with(rig.settings.home, [NOTE.encode(), MAIL.encode(), key]) == {}


async def killed_at(rig: Rig, step: int, account_id: str) -> bool:
    """Order an erasure from a copy that is killed at that step; whether the log has the order."""
    rig.stop()
    rig.copies.clear()
    command = [sys.executable, str(SCRIPT), str(rig.settings.home), str(step)]
    doomed = spawned(command)
    rig.copies.append(doomed)
    await rig.start(copies=0)
    subject = {"subject_id": account_id}
    asking = asyncio.create_task(rig.send("EraseSubject", subject, f"erase-{step}"))
    await asyncio.to_thread(doomed.wait, 30)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert doomed.returncode == -signal.SIGKILL
    rig.copies.clear()
    topics = [record.topic for record in rig.records() if record.aggregate == account_id]
    return "imewe.account:ErasureBegun" in topics


def spawned(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


async def until_erased(rig: Rig, account_id: str) -> None:
    """The start of the service finishes it; nobody has to ask again."""
    async with asyncio.timeout(30):
        while True:
            topics = [r.topic for r in rig.records() if r.aggregate == account_id]
            if topics[-1] == "imewe.account:Erased":
                return
            await asyncio.sleep(0.05)


async def write_on(rig: Rig, node_id: str, token: str, name: str) -> bool:
    """Write notes until it is refused, and only because the account is closed."""
    for number in range(2000):
        try:
            await pause(rig, node_id, f"{name}{number}", token)
            await rig.send("ResumeNode", {"node_id": node_id}, f"{name}-{number}")
        except UnauthenticatedError:
            return True
        except ImeweError as error:
            if error.code not in {"CONFLICT", "ILLEGAL_TRANSITION", "UNAVAILABLE"}:
                raise
    return False


async def pause(rig: Rig, node_id: str, command_id: str, token: str) -> None:
    note = {"node_id": node_id, "reason": NOTE}
    await rig.send("PauseNode", note, command_id, token=token)


def token_of(rig: Rig, account_id: str) -> str:
    grants = [{"role": "operator", "organisation_id": rig.organisation_id}]
    return Signer(token_keys(rig.settings.home).private).sign(
        account_id=account_id,
        name="O",
        grants=grants,
        token_id="t",
        now=SystemClock().now(),
        ttl_s=900,
    )


def key_of(rig: Rig, account_id: str) -> bytes | None:
    """The wrapped key as the store holds it."""
    with contextlib.closing(Client(address(rig.settings, "log_commands"))) as client:
        kek = Keyring(rig.settings.home).current.id
        return SecretBucket(client).get(f"key.{kek}.{account_id}")


def left_of(rig: Rig, account_id: str) -> list[str]:
    """Every secret and every kept answer whose name speaks of the person."""
    with contextlib.closing(Client(address(rig.settings, "log_commands"))) as client:
        names = [
            name
            for word in ("key", "mail", "mails", "value", "gone", "erasing")
            for name in SecretBucket(client).names(word)
        ]
        names += SecretBucket(client, "IMEWE_ANSWERS").names(account_id)
        assert Secrets(SecretBucket(client), Keyring(rig.settings.home)).find_mail(MAIL) is None
        return [name for name in names if account_id in name]


def snapshots(rig: Rig) -> int:
    with contextlib.closing(Client(address(rig.settings, "log_commands"))) as client:
        answer = client.api("STREAM.INFO.IMEWE_SNAPSHOTS")
        return int(answer["state"]["messages"])

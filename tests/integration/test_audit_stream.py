"""The audit trail on a real nats-server: one chain, however many write and whatever is killed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from commands.auditing.entry import Entry
from commands.auditing.trail import BURST
from domain.account.roles import Role
from domain.shared.errors import (
    ForbiddenError,
    ImeweError,
    UnauthenticatedError,
    UnavailableError,
)
from ops.clock import SystemClock
from ops.eventstore.audit import STREAM, AuditStream
from ops.eventstore.chain import verify
from ops.eventstore.client import Client, Publication
from ops.eventstore.envelope import Record
from ops.eventstore.streams import ensure_streams
from ops.eventstore.wire import ConnectionLostError, Message
from ops.messaging.command_client import log_in, read_trail, report_denial
from ops.messaging.connection import address, connect
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.integration.commands_rig import Rig, commands_rig

Opener = Callable[[], AuditStream]
CLOCK = SystemClock()
WRITERS = 4
EACH = 40


@pytest.fixture
def opened(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[Opener]:
    """Opens the stream as the writer; each with a connection of its own."""
    with contextlib.closing(Client(address(fresh_settings, "log_supervisor"))) as client:
        ensure_streams(client)
    with contextlib.ExitStack() as stack:

        def open_one() -> AuditStream:
            client = Client(address(fresh_settings, "log_commands"))
            stack.callback(client.close)
            return AuditStream(client, now=CLOCK.now, patience=10.0)

        yield open_one


@pytest.fixture
async def rig(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Rig]:
    async with commands_rig(fresh_settings) as rig:
        yield rig


def entry(resource: str = "", **changes: Any) -> Entry:
    told = {"at": CLOCK.now(), "actor": "user/1", "action": "X", "outcome": "FORBIDDEN"}
    return Entry(**{**told, "resource": resource, **changes})


def test_entries_come_back_as_they_were_written_the_newest_first(opened: Opener) -> None:
    stream = opened()
    written = [entry(f"job/{n}", reason="ä\u2028 b", organisation_id="o") for n in range(5)]
    assert all(stream.append(each, name=each.resource) for each in written)
    assert [found.entry for found in stream.newest(before=None, limit=10)] == written[::-1]
    assert [found.sequence for found in stream.newest(before=4, limit=2)] == [3, 2]
    assert stream.newest(before=1, limit=2) == []


def test_an_empty_trail_can_be_read(opened: Opener) -> None:
    assert opened().newest(before=None, limit=10) == []
    assert list(opened().records()) == []


def test_many_writers_make_one_chain(opened: Opener) -> None:
    streams = [opened() for _ in range(WRITERS)]

    def write(number: int) -> None:
        for each in range(EACH):
            assert streams[number].append(entry(), name=f"{number}.{each}")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    records = list(opened().records())
    assert len(records) == WRITERS * EACH
    assert verify(records, last=WRITERS * EACH) is None


def test_a_name_is_recorded_once_whoever_says_it(opened: Opener) -> None:
    first, second = opened(), opened()
    assert first.append(entry(), name="a")
    assert not second.append(entry(), name="a")
    assert not first.append(entry(), name="a")
    assert second.append(entry(), name="b")
    assert verify(opened().records(), last=2) is None


class Unanswered(Client):
    """Publishes, and for the first time no answer comes back."""

    lost = False

    def publish(self, publications: Sequence[Publication]) -> Message:
        answer = super().publish(publications)
        if not self.lost:
            self.lost = True
            raise ConnectionLostError("the connection to nats-server ended")
        return answer


def test_an_entry_whose_answer_was_lost_is_written_once_and_known_as_ours(
    opened: Opener, fresh_settings: Settings
) -> None:
    with contextlib.closing(Unanswered(address(fresh_settings, "log_commands"))) as client:
        stream = AuditStream(client, now=CLOCK.now)
        assert stream.append(entry(), name="a")
        assert not stream.append(entry(), name="a")
        assert stream.append(entry(), name="b")
    assert verify(opened().records(), last=2) is None


def test_a_changed_or_missing_entry_is_found(opened: Opener) -> None:
    stream = opened()
    for number in range(4):
        stream.append(entry(f"job/{number}"), name=str(number))
    records = list(stream.records())
    forged = entry("job/1", actor="user/2").body()
    changed = Record(
        sequence=2, subject=records[1].subject, headers=records[1].headers, body=forged
    )
    found = verify([records[0], changed, *records[2:]])
    assert found is not None
    assert found.sequence == 2
    assert verify([records[0], *records[2:]]) is not None
    assert verify(records[2:], first=3) is None


def test_a_server_killed_while_entries_are_written_loses_none_and_breaks_no_chain(
    opened: Opener, fresh_nats: EmbeddedNats
) -> None:
    stream, told = opened(), 0
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(_write_many, stream)
        time.sleep(0.15)
        fresh_nats.kill()
        fresh_nats.finish_stop(5)
        fresh_nats.start()
        told = killing.result()
    records = list(opened().records())
    assert len(records) >= told >= EACH
    assert len({Entry.of(record.body).resource for record in records}) == len(records)
    assert verify(records, last=len(records)) is None


def _write_many(stream: AuditStream) -> int:
    until = time.monotonic() + 1.5
    number = 0
    while time.monotonic() < until or number < EACH:
        assert stream.append(entry(f"job/{number}"), name=str(number))
        number += 1
    return number


@pytest.mark.parametrize("user", ["log_commands", "log_supervisor"])
@pytest.mark.parametrize("verb", ["PURGE", "MSG.DELETE", "DELETE", "UPDATE"])
def test_neither_writer_nor_supervisor_can_change_or_erase_it(
    opened: Opener, fresh_settings: Settings, user: str, verb: str
) -> None:
    opened().append(entry(), name="a")
    with (
        contextlib.closing(Client(address(fresh_settings, user))) as client,
        pytest.raises(ForbiddenError),
    ):
        client.api(f"STREAM.{verb}.{STREAM}", {"seq": 1})
    assert len(list(opened().records())) == 1


async def test_logins_and_denials_reach_the_trail_before_the_answer(rig: Rig) -> None:
    await rig.start()
    with pytest.raises(UnauthenticatedError):
        await log_in(rig.client, mail="eve@example.org", password="x", address="10.0.0.9")
    designer = rig.token_of(Role.DESIGNER)
    with pytest.raises(ForbiddenError):
        await rig.send(
            "PauseNode", {"node_id": "x"}, "p1", token=designer, correlation="story", address="::1"
        )
    told = {"action": "read accounts", "outcome": "FORBIDDEN"}
    await report_denial(rig.client, told, token=designer)
    page = await read_trail(rig.client, first=10, before=None, token=rig.token)
    found = [(e["actor"][:6], e["action"], e["outcome"], e["address"]) for e in page["entries"]]
    assert found == [
        ("user/6", "read accounts", "FORBIDDEN", ""),
        ("user/6", "PauseNode", "FORBIDDEN", "::1"),
        ("nobody", "login", "UNAUTHENTICATED", "10.0.0.9"),
        ("user/" + page["entries"][3]["actor"][5], "login", "OK", ""),
    ]
    assert page["entries"][1]["correlation_id"] == "story"
    with pytest.raises(ForbiddenError):
        await read_trail(rig.client, first=10, before=None, token=designer)
    stored = b"".join(record.body for record in trail(rig))
    assert b"example.org" not in stored


async def test_two_copies_and_a_killed_one_leave_one_chain_and_every_first_line(rig: Rig) -> None:
    await rig.start(copies=2)
    refused: list[str] = []

    async def one(number: int) -> None:
        while True:
            try:
                await log_in(rig.client, mail=f"m{number}@example.org", password="x", timeout_s=3)
            except UnavailableError:
                await asyncio.sleep(0.1)
            except UnauthenticatedError:
                refused.append(f"m{number}")
                return

    async with asyncio.TaskGroup() as burst:
        for number in range(24):
            burst.create_task(one(number))
            await asyncio.sleep(0.01)
            if number == 12:
                rig.copies[0].kill()
    records = trail(rig)
    assert verify(records, last=len(records)) is None
    entries = [Entry.of(record.body) for record in records]
    assert len({each.resource for each in entries if each.actor == "nobody"}) == len(refused) == 24


async def test_a_flood_from_outside_writes_no_more_than_its_purse(rig: Rig) -> None:
    await rig.start()

    async def one(number: int) -> None:
        told = {"action": "graphql", "outcome": "UNAUTHENTICATED", "resource": f"{number}"}
        await report_denial(rig.client, told, token="forged")

    for begin in range(0, 400, 50):
        await asyncio.gather(*(one(begin + number) for number in range(50)))
    rig.copies[0].terminate()
    await asyncio.to_thread(rig.copies[0].wait, 5)
    entries = [Entry.of(record.body) for record in trail(rig)]
    strangers = [each for each in entries if each.actor == "nobody"]
    assert len(strangers) <= BURST + 1
    assert sum(each.count for each in strangers) == 400


@pytest.mark.parametrize("user", ["bridge", "processes", "projections"])
async def test_only_the_gateway_reports_and_reads(rig: Rig, user: str) -> None:
    await rig.start()
    other = await connect(rig.settings, user)
    with pytest.raises(ImeweError):
        await report_denial(other, {"action": "x", "outcome": "y"}, token="", timeout_s=0.3)
    with pytest.raises(ImeweError):
        await read_trail(other, first=1, before=None, token=rig.token, timeout_s=0.3)
    await other.close()
    assert len(trail(rig)) == 1


def trail(rig: Rig) -> list[Record]:
    """The trail as it is stored; the admin's login is its first record."""
    with contextlib.closing(Client(address(rig.settings, "log_commands"))) as client:
        return list(AuditStream(client, now=CLOCK.now).records())

"""Who may say what on the embedded nats-server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from nats.aio.client import Client

from ops.messaging.accounts import APP_USERS, LOG_GET, LOG_USERS
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ask
from ops.prepare import prepare_streams
from ops.settings import Settings

Opener = Callable[[str], Awaitable["Voice"]]
EVENT = "imewe.events.job.9b2f"
ALL_USERS = (*LOG_USERS, *APP_USERS)


class Voice:
    """One connected user, and what the server said against it."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.client: Client

    async def complain(self, error: Exception) -> None:
        self.refusals.append(str(error).lower())

    async def may_publish(self, subject: str) -> bool:
        before = len(self.refusals)
        await self.client.publish(subject, b"")
        await settled(self.client)
        return len(self.refusals) == before

    async def may_subscribe(self, subject: str) -> bool:
        before = len(self.refusals)
        await self.client.subscribe(subject)
        await settled(self.client)
        return len(self.refusals) == before


async def settled(client: Client) -> None:
    """Wait until the server has seen all: nats-py's first PING overtakes what is buffered."""
    await client.flush()
    await client.flush()


@pytest.fixture
async def voice(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Opener]:
    """Connects as a user of a server that has every stream."""
    await prepare_streams(fresh_settings, store_bytes=fresh_nats.store_bytes)
    opened: list[Client] = []

    async def open_as(user: str) -> Voice:
        made = Voice()
        made.client = await connect(fresh_settings, user, error_cb=made.complain)
        opened.append(made.client)
        return made

    yield open_as
    for client in opened:
        await client.close()


async def test_only_the_writer_may_publish_an_event(voice: Opener) -> None:
    allowed = [user for user in ALL_USERS if await (await voice(user)).may_publish(EVENT)]
    # in account APP the subject is another one: nothing there reaches the log
    assert allowed == ["log_commands", "supervisor"]
    log = await voice("log_commands")
    assert (await ask(log.client, "STREAM.INFO.IMEWE_EVENTS"))["state"]["messages"] == 1


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "PURGE", "RESTORE", "MSG.DELETE"])
async def test_nobody_may_change_or_erase_the_log(voice: Opener, verb: str) -> None:
    for user in LOG_USERS:
        assert not await (await voice(user)).may_publish(f"$JS.API.STREAM.{verb}.IMEWE_EVENTS")


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "PURGE", "RESTORE", "MSG.DELETE"])
async def test_nobody_may_change_or_erase_what_was_signed(voice: Opener, verb: str) -> None:
    for user in LOG_USERS:
        assert not await (await voice(user)).may_publish(f"$JS.API.STREAM.{verb}.IMEWE_HEADS")


async def test_only_the_notary_may_publish_a_head(voice: Opener) -> None:
    for subject in ("imewe.heads.head", "imewe.heads.keys"):
        allowed = [user for user in LOG_USERS if await (await voice(user)).may_publish(subject)]
        assert allowed == ["log_notary"]


async def test_the_notary_reads_log_and_heads_and_nothing_else_there(voice: Opener) -> None:
    notary = await voice("log_notary")
    for stream in ("IMEWE_EVENTS", "IMEWE_HEADS"):
        assert await notary.may_publish(f"$JS.API.DIRECT.GET.{stream}")
    for stream in ("IMEWE_AUDIT", "IMEWE_SNAPSHOTS", "KV_IMEWE_SECRETS"):
        assert not await notary.may_publish(f"$JS.API.DIRECT.GET.{stream}")
        assert not await notary.may_publish(f"$JS.API.STREAM.MSG.GET.{stream}")
    assert not await notary.may_subscribe("imewe.events.>")
    assert not await notary.may_publish(EVENT)


async def test_only_the_supervisors_may_make_streams(voice: Opener) -> None:
    subject = "$JS.API.STREAM.CREATE.STRAY"
    allowed = [user for user in ALL_USERS if await (await voice(user)).may_publish(subject)]
    assert allowed == ["log_supervisor", "supervisor"]


async def test_only_the_gateway_reports_to_the_audit_trail_and_reads_it(voice: Opener) -> None:
    for subject in ("imewe.audit.report", "imewe.audit.read"):
        allowed = [user for user in APP_USERS if await (await voice(user)).may_publish(subject)]
        assert allowed == ["gateway"]


async def test_the_writer_may_erase_a_secret(voice: Opener) -> None:
    log = await voice("log_commands")
    put = await log.client.request("$KV.IMEWE_SECRETS.key-1", b"needle")
    erase = {"seq": json.loads(put.data)["seq"], "no_erase": False}
    answer = await ask(log.client, "STREAM.MSG.DELETE.KV_IMEWE_SECRETS", erase)
    assert answer["success"] is True


async def test_process_managers_may_not_read_the_secrets(voice: Opener) -> None:
    processes = await voice("log_processes")
    for api in ("DIRECT.GET", "STREAM.MSG.GET", "CONSUMER.CREATE"):
        assert not await processes.may_publish(f"$JS.API.{api}.KV_IMEWE_SECRETS")
    assert not await processes.may_subscribe("$KV.IMEWE_SECRETS.>")


async def test_others_read_the_log_under_its_local_name_and_wake_up_on_it(voice: Opener) -> None:
    log, gateway = await voice("log_commands"), await voice("gateway")
    live = await gateway.client.subscribe("live.imewe.events.>")
    await settled(gateway.client)
    await log.client.request(EVENT, b"fact")
    assert (await live.next_msg(30)).subject == f"live.{EVENT}"
    answer = await gateway.client.request(LOG_GET, b'{"seq": 1}')
    assert answer.data == b"fact"


async def test_an_answer_cannot_be_turned_into_an_event(voice: Opener) -> None:
    log, gateway = await voice("log_commands"), await voice("gateway")
    await log.client.request(EVENT, b"fact")
    await gateway.client.publish(LOG_GET, b'{"seq": 1}', reply="imewe.events.job.forged")
    await settled(gateway.client)
    await asyncio.sleep(0.1)
    assert (await ask(log.client, "STREAM.INFO.IMEWE_EVENTS"))["state"]["messages"] == 1


async def test_the_account_of_the_services_does_not_see_the_log_streams(voice: Opener) -> None:
    supervisor = await voice("supervisor")
    answer = await ask(supervisor.client, "STREAM.INFO.IMEWE_EVENTS")
    assert answer["error"]["code"] == 404


@pytest.mark.parametrize(
    ("user", "own", "other"),
    [
        ("gateway", "imewe.command.service.gateway.X", "imewe.command.service.processes.X"),
        ("processes", "imewe.command.service.processes.X", "imewe.command.service.gateway.X"),
        ("bridge", "imewe.command.bridge.local.X", "imewe.command.bridge.other.X"),
        ("bridge", "imewe.telemetry.n1", "imewe.work.n1"),
        ("bridge", "$JS.API.CONSUMER.INFO.IMEWE_WORK.n1", "$JS.API.STREAM.INFO.IMEWE_WORK"),
        ("bridge", "$JS.API.DIRECT.GET.OBJ_IMEWE_ARTIFACTS", "imewe.log.get"),
        ("gateway", "imewe.stop.local.n1", "imewe.projected.jobs"),
        ("gateway", "imewe.audit.report", "imewe.audit.log"),
        ("gateway", "imewe.audit.read", "imewe.events.job.n1"),
        ("projections", "imewe.projected.jobs", "imewe.telemetry.n1"),
        ("projections", "imewe.audit.step.projections", "imewe.audit.step.notary"),
        ("projections", "imewe.projected.progress.jobs", "imewe.command.service.projections.X"),
        ("gateway", "imewe.admin.projections.switch", "imewe.audit.step.projections"),
        ("processes", "imewe.work.n1", "imewe.stop.local.n1"),
        ("notary", "imewe.audit.step.notary", "imewe.audit.step.projections"),
        ("gateway", "imewe.admin.notary.status", "imewe.audit.step.notary"),
    ],
)
async def test_a_service_speaks_only_in_its_own_name(
    voice: Opener, user: str, own: str, other: str
) -> None:
    speaker = await voice(user)
    assert await speaker.may_publish(own)
    assert not await speaker.may_publish(other)


async def test_nobody_hears_commands_or_answers_meant_for_others(voice: Opener) -> None:
    for user in APP_USERS:
        listener = await voice(user)
        assert await listener.may_subscribe("imewe.command.>") == (user == "commands")
        assert not await listener.may_subscribe("_INBOX_log_commands.>")
        assert not await listener.may_subscribe(f"_INBOX.{user}.>")
        assert not await listener.may_subscribe(">")


@pytest.mark.parametrize("login", [b"{}", b'{"user": "gateway", "pass": "guess"}'])
async def test_a_stranger_is_turned_away(fresh_nats: EmbeddedNats, login: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", fresh_nats.port)
    await reader.readline()
    writer.write(b"CONNECT " + login + b"\r\nPING\r\n")
    assert b"Authorization Violation" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_bridge_gets_its_work_through_the_one_consumer_it_may_make(voice: Opener) -> None:
    relay, bridge = await voice("processes"), await voice("bridge")
    await relay.client.jetstream().publish("imewe.work.n1", b"build")
    create = {
        "stream_name": "IMEWE_WORK",
        "config": {"durable_name": "n1", "ack_policy": "explicit"},
    }
    create["config"] |= {"filter_subject": "imewe.work.n1"}  # type: ignore[operator]
    made = await ask(bridge.client, "CONSUMER.CREATE.IMEWE_WORK.n1.imewe.work.n1", create)
    assert "error" not in made
    inbox = bridge.client.new_inbox()
    answers = await bridge.client.subscribe(inbox)
    pull = "$JS.API.CONSUMER.MSG.NEXT.IMEWE_WORK.n1"
    await bridge.client.publish(pull, b'{"batch": 1, "expires": 1000000000}', reply=inbox)
    pulled = await answers.next_msg(30)
    assert pulled.data == b"build"
    await bridge.client.request(pulled.reply, b"+ACK")
    assert bridge.refusals == []

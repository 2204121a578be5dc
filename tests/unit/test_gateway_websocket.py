"""graphql-transport-ws, spoken with a real websocket client to a real uvicorn."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateways.graphql import subscription, websocket
from gateways.graphql.live import TELEMETRY_EVERY_S
from tests.gateway_tools import PERSON, Bench

NODE = "3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e"
TELEMETRY = """subscription($id: ID!) { telemetry(nodeId: $id) {
  nodeId sequence dropped readings { channel at value } } }"""


class Talk:
    """One conversation."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return cast("dict[str, Any]", json.loads(await self.socket.recv()))

    async def greet(self, token: str) -> None:
        await self.say(type="connection_init", payload={"authorization": f"Bearer {token}"})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, query: str, *, id: str = "1") -> None:
        await self.say(type="subscribe", id=id, payload={"query": query})

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionClosed) as ended:
                while True:
                    await self.socket.recv()
        frame = ended.value.rcvd
        assert frame is not None
        return frame.code, frame.reason


class Served(Bench):
    """A bench behind a port."""

    port = 0

    @asynccontextmanager
    async def socket(self, protocol: str = "graphql-transport-ws") -> AsyncIterator[Talk]:
        address = f"ws://127.0.0.1:{self.port}/graphql"
        options: dict[str, Any] = {"subprotocols": [Subprotocol(protocol)], "proxy": None}
        async with connect(address, compression=None, **options) as socket:
            yield Talk(socket)

    @asynccontextmanager
    async def greeted(self, token: str | None = None) -> AsyncIterator[Talk]:
        async with self.socket() as talk:
            await talk.greet(self.token() if token is None else token)
            yield talk


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    async def known(info: Any, node_id: str) -> None:
        """Every machine is there and may be seen."""

    monkeypatch.setattr(subscription, "_node", known)
    bench = Served()
    config = uvicorn.Config(
        bench.app, port=0, log_config=None, ws="websockets-sansio", ws_per_message_deflate=False
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(0.01)
    bench.port = server.servers[0].sockets[0].getsockname()[1]
    yield bench
    server.should_exit = True
    await running


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 the condition lies in other tasks
            await asyncio.sleep(0.01)


async def test_nothing_is_acknowledged_before_the_token_is_checked(served: Served) -> None:
    for payload in ({}, {"authorization": "Bearer x.y.z"}, {"authorization": 7}, None):
        async with served.socket() as talk:
            await talk.say(type="connection_init", payload=payload)
            code, reason = await talk.closed()
        assert code == 4403
        assert reason.startswith("UNAUTHENTICATED")
    await served.gateway.denials.close()
    assert {(denial.action, denial.token) for denial, _ in served.trail.denials} == {
        ("websocket", "")
    }
    assert sum(count for _, count in served.trail.denials) == 4


async def test_a_query_and_a_mutation_run_over_the_socket_too(served: Served) -> None:
    async with served.greeted() as talk:
        await talk.subscribe("{ me { name } }")
        data = {"data": {"me": {"name": "Ada"}}}
        assert await talk.hear() == {"type": "next", "id": "1", "payload": data}
        assert await talk.hear() == {"type": "complete", "id": "1"}


async def test_an_id_is_free_again_once_its_operation_ended(served: Served) -> None:
    async with served.greeted() as talk:
        for _ in range(3):
            await talk.subscribe("{ me { name } }", id="same")
            assert (await talk.hear())["type"] == "next"
            assert (await talk.hear())["type"] == "complete"


@pytest.mark.parametrize(
    "query", ["{ me {", "{ wizard }", "subscription { eventTail(x: 1) { position } }"]
)
async def test_a_wrong_operation_ends_alone_and_the_others_go_on(
    served: Served, query: str
) -> None:
    async with served.greeted() as talk:
        await talk.subscribe(query, id="wrong")
        message = await talk.hear()
        assert (message["type"], message["id"]) == ("error", "wrong")
        assert message["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        await talk.subscribe("{ me { name } }", id="right")
        assert (await talk.hear())["payload"]["data"] == {"me": {"name": "Ada"}}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("[]", 4400),
        ("no json", 4400),
        ('"text"', 4400),
        ("{}", 4400),
        ('{"type": "unheard-of"}', 4400),
        ('{"type": "next", "id": "1"}', 4400),
        ('{"type": "subscribe", "payload": {"query": "{ me { name } }"}}', 4400),
        ('{"type": "subscribe", "id": "1"}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": {"query": 7}}', 4400),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": 7}}', 4400),
        ('{"type": "complete"}', 4400),
        ('{"type": "ping", "payload": 7}', 4400),
        ('{"type": "connection_init"}', 4429),
    ],
)
async def test_who_breaks_the_protocol_is_told_the_code(
    served: Served, frame: str, code: int
) -> None:
    async with served.greeted() as talk:
        await talk.socket.send(frame)
        assert (await talk.closed())[0] == code


async def test_nobody_subscribes_before_the_greeting(served: Served) -> None:
    async with served.socket() as talk:
        await talk.subscribe("{ me { name } }")
        assert await talk.closed() == (4401, "Unauthorized")


async def test_who_never_greets_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_WITHIN_S", 0.1)
    async with served.socket() as talk:
        assert (await talk.closed())[0] == 4408


async def test_another_protocol_is_not_spoken(served: Served) -> None:
    address = f"ws://127.0.0.1:{served.port}/graphql"
    async with connect(address, proxy=None) as socket:
        assert (await Talk(socket).closed())[0] == 4406


async def test_an_id_in_use_is_refused(served: Served) -> None:
    async with served.greeted() as talk:
        await watch(talk)
        await watch(talk)
        assert (await talk.closed())[0] == 4409


async def test_a_reason_longer_than_a_control_frame_still_closes_with_its_code(
    served: Served,
) -> None:
    async with served.greeted() as talk:
        for _ in range(2):
            await watch(talk, id="\u00e9" * 100)
        code, reason = await talk.closed()
        assert code == 4409
        assert reason.startswith("Subscriber for \u00e9")


async def test_ping_is_answered_before_and_after_the_greeting(served: Served) -> None:
    async with served.socket() as talk:
        await talk.say(type="ping")
        assert await talk.hear() == {"type": "pong"}
        await talk.greet(served.token())
        await talk.say(type="ping", payload={})
        assert await talk.hear() == {"type": "pong"}


async def test_the_socket_ends_with_the_token(served: Served) -> None:
    async with served.greeted(served.token(ttl_s=1)) as talk:
        code, reason = await talk.closed()
    assert (code, reason) == (4403, "UNAUTHENTICATED: the token has expired")


async def test_the_socket_ends_with_the_account(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "TOKEN_AGAIN_S", 0.01)
    async with served.greeted() as talk:
        served.gone.add(PERSON)
        assert await talk.closed() == (4403, "UNAUTHENTICATED: this account is closed")


async def test_telemetry_reaches_two_clients_over_one_subscription(served: Served) -> None:
    async with served.greeted() as one, served.greeted() as two:
        for talk in (one, two):
            await watch(talk)
        await until(lambda: len(served.gateway.live._taps[NODE]) == 2)
        served.telemetry.takers[NODE](sample(5))
        for talk in (one, two):
            shown = (await talk.hear())["payload"]["data"]["telemetry"]
            assert shown["sequence"] == 5
            assert shown["readings"] == [
                {"channel": "hotend_c", "at": "2026-01-12T10:30:00.000Z", "value": 215.5},
                {"channel": "bed_c", "at": "2026-01-12T10:30:00.500Z", "value": None},
            ]
    await until(lambda: served.telemetry.takers == {})


async def test_complete_ends_a_subscription_and_leaves_nothing_behind(served: Served) -> None:
    async with served.greeted() as talk:
        await watch(talk)
        await until(lambda: NODE in served.telemetry.takers)
        await talk.say(type="complete", id="1")
        await until(lambda: served.telemetry.takers == {})
        await talk.subscribe("{ me { name } }")
        assert (await talk.hear())["type"] == "next"


async def test_a_subscriber_gets_the_newest_of_each_channel_and_is_told_what_was_left_out(
    served: Served,
) -> None:
    async with served.greeted() as talk:
        await watch(talk)
        await until(lambda: NODE in served.telemetry.takers)
        for number in range(50):
            served.telemetry.takers[NODE](sample(number))
        first = (await talk.hear())["payload"]["data"]["telemetry"]
        assert (first["sequence"], first["dropped"]) == (49, 98)
        assert len(first["readings"]) == 2


async def test_telemetry_is_shown_at_most_four_times_a_second(served: Served) -> None:
    loop = asyncio.get_running_loop()
    async with served.greeted() as talk:
        await watch(talk)
        await until(lambda: NODE in served.telemetry.takers)
        begun, shown = loop.time(), []
        for number in range(3):
            served.telemetry.takers[NODE](sample(number))
            shown.append((await talk.hear())["payload"]["data"]["telemetry"]["sequence"])
        assert shown == [0, 1, 2]
        assert loop.time() - begun >= 2 * TELEMETRY_EVERY_S


async def test_an_operation_over_the_limit_closes_the_socket(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "OPERATIONS_LIMIT", 2)
    async with served.greeted() as talk:
        for number in range(3):
            await watch(talk, id=str(number))
        assert (await talk.closed())[0] == 4400


async def test_a_client_that_takes_nothing_is_closed_with_its_last_position() -> None:
    socket = websocket.Socket(cast("Any", Blocked()), cast("Any", None), Bench().gateway, 0.05)
    with pytest.raises(WebSocketDisconnect):
        await socket._send("x", last="41")
    closing = await socket._ended
    assert (closing.code, closing.reason) == (1013, "SUBSCRIBER_LAGGING last=41")


class Blocked:
    """A socket whose buffers are full."""

    async def send_text(self, text: str) -> None:
        await asyncio.sleep(60)


async def watch(talk: Talk, *, id: str = "1") -> None:
    payload = {"query": TELEMETRY, "variables": {"id": NODE}}
    await talk.say(type="subscribe", id=id, payload=payload)


def sample(number: int) -> dict[str, Any]:
    """As the bridge publishes it."""
    return {
        "node_id": NODE,
        "build_id": "",
        "epoch": 3,
        "seq": number,
        "channels": ["hotend_c", "bed_c"],
        "t": [1768213800000, 1768213800500],
        "c": [0, 1],
        "v": [215.5, None],
    }

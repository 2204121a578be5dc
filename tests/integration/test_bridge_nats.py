"""The bridge and the virtual shop as services, on a real nats-server with its real permissions."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats.errors
import orjson
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from device_bridge.machines import write_machines
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from device_bridge.virtual.shop import configs
from domain.shared.errors import (
    ConflictError,
    NodeUnavailableError,
    NotFoundError,
    UnavailableError,
)
from ops.artifacts.store import JetStreamArtifactStore
from ops.messaging.connection import connect
from ops.messaging.gateway_links import NatsFaultClearing
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ensure_app_streams
from ops.messaging.work import NatsWorkQueue
from ops.services.bridge import serve
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.bridge_rig import printed

NODE = "0b0e8a54-6d0b-4f2e-9a51-111111111111"


class Core:
    """Answers commands as the commands service would, and remembers them."""

    def __init__(self) -> None:
        self.obeyed: list[tuple[str, dict[str, Any]]] = []
        self.order: dict[str, Any] = {}
        self.came = asyncio.Event()

    async def answer(self, message: Msg) -> None:
        name = message.subject.rsplit(".", 1)[1]
        self.obeyed.append((name, orjson.loads(message.data)))
        told = self.order if name == "AcceptBuild" else {}
        await message.respond(orjson.dumps({"ok": True, "position": 1, **told}))
        self.came.set()

    async def told(self, name: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                for told, payload in self.obeyed:
                    if told == name:
                        return payload
                self.came.clear()
                await self.came.wait()


async def _content(data: bytes) -> AsyncIterator[bytes]:
    yield data


@asynccontextmanager
async def users(settings: Settings, *names: str) -> AsyncIterator[list[Client]]:
    clients = [await connect(settings, name) for name in names]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()


@asynccontextmanager
async def running_bridge(settings: Settings) -> AsyncIterator[None]:
    serving = asyncio.create_task(serve(settings))
    try:
        yield
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def clear_by(faults: NatsFaultClearing) -> None:
    otto: dict[str, Any] = {"by": "user/otto", "keep_stop": False}
    with pytest.raises(UnavailableError, match="not connected"):
        await faults.clear_fault(bridge="elsewhere", node_id=NODE, **otto)
    with pytest.raises(NotFoundError):
        await faults.clear_fault(bridge="local", node_id="elsewhere", **otto)
    with pytest.raises(NodeUnavailableError, match="emergency stop is latched"):
        await faults.clear_fault(bridge="local", node_id=NODE, by="user/vera", keep_stop=True)
    cleared = await faults.clear_fault(bridge="local", node_id=NODE, **otto)
    assert (cleared["execution"], cleared["emergency_stop"]) == ("READY", "ARMED")


async def test_a_sent_build_runs_and_a_stop_is_answered_with_the_rights_of_each_user(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    home = fresh_settings.home
    plan = MachinePlan(name="m1", dialect="marlin", node_id=NODE, speed=400.0)
    core = Core()
    names = ("supervisor", "commands", "processes", "gateway")
    async with users(fresh_settings, *names) as (supervisor, commands, processes, gateway):
        await ensure_app_streams(supervisor, store_bytes=LEAST_STORE_BYTES)
        await commands.subscribe("imewe.command.>", cb=core.answer)
        machine = VirtualMachine(plan, folder=home / "run")
        machine.start()
        write_machines(home / "machines.json", configs([plan], folder=home / "run"))
        try:
            async with running_bridge(fresh_settings):
                ref = await JetStreamArtifactStore(processes).put(
                    _content(printed(100).encode()), organisation_id="o1", name="a.gcode"
                )
                core.order = {"node_id": NODE, "epoch": 1, "digest": ref.digest}
                work = {
                    "build_id": "b1",
                    "node_id": NODE,
                    "epoch": 1,
                    "organisation_id": "o1",
                    "artifact": {"digest": ref.digest, "size": ref.size, "format": "gcode"},
                    "command": "start",
                }
                await processes.publish(f"imewe.work.{NODE}", json.dumps(work).encode())
                finished = await core.told("FinishBuild")
                assert finished["build_id"] == "b1"
                assert machine.ledger.counts.starts == 1
                answer = await gateway.request(
                    f"imewe.stop.local.{NODE}", b'{"stopped_by": "operator-1"}', timeout=2
                )
                receipt = orjson.loads(answer.data)
                assert receipt["confirmed"]
                assert (await core.told("RecordEmergencyStop"))["stopped_by"] == "operator-1"
                state = await gateway.request(
                    "imewe.bridge.local.status", json.dumps({"node_id": NODE}).encode(), timeout=2
                )
                assert orjson.loads(state.data)["emergency_stop"] == "TRIGGERED"
                await clear_by(NatsFaultClearing(gateway))
        finally:
            machine.stop()
        info = await supervisor.jetstream().stream_info("IMEWE_TELEMETRY")
        assert info.state.messages > 0


async def test_a_second_bridge_of_the_same_home_refuses_and_disturbs_nobody(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    async with users(fresh_settings, "supervisor") as (supervisor,):
        await ensure_app_streams(supervisor, store_bytes=LEAST_STORE_BYTES)
    lock = fresh_settings.home / "bridge" / "lock"
    async with running_bridge(fresh_settings):
        async with asyncio.timeout(30):
            while not lock.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(ConflictError, match="another bridge works"):
            await serve(fresh_settings)
    async with running_bridge(fresh_settings):
        pass


async def test_the_queue_delivers_again_what_was_not_acknowledged_and_survives_its_server(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    names = ("supervisor", "processes", "bridge")
    async with users(fresh_settings, *names) as (supervisor, processes, bridge):
        await ensure_app_streams(supervisor, store_bytes=LEAST_STORE_BYTES)
        queue = NatsWorkQueue(bridge)
        pulling = asyncio.create_task(queue.pull(NODE))
        await asyncio.sleep(0.2)
        await processes.publish(f"imewe.work.{NODE}", b"one")
        first = await asyncio.wait_for(pulling, 30)
        await first.retry(0.1)
        again = await asyncio.wait_for(queue.pull(NODE), 30)
        assert (first.body, again.body) == (b"one", b"one")
        await again.acknowledge()
        pulling = asyncio.create_task(queue.pull(NODE))
        await asyncio.sleep(0.2)
        fresh_nats.stop()
        fresh_nats.start()
        await asyncio.sleep(1.0)  # every connection has noticed
        stored = await _stored(processes, b"two")
        assert "error" not in orjson.loads(stored.data)
        second = await asyncio.wait_for(pulling, 30)
        assert second.body == b"two"
        await second.acknowledge()


async def _stored(processes: Client, body: bytes) -> Msg:
    """Sent again while the server that was started anew does not yet take it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(nats.errors.Error):
                return await processes.request(f"imewe.work.{NODE}", body, timeout=5)
            await asyncio.sleep(0.1)

"""The link to the hub is gone in mid-build: the part goes on, and afterwards everything is there,
in order and once, on the hub's real nats-server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from device_bridge.machines import write_machines
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from device_bridge.virtual.shop import configs
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ask, ensure_app_streams
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.bridge_rig import printed, until
from tests.integration.test_bridge_nats import NODE, Core, running_bridge, users

AWAY_MS = 2000


async def test_a_link_that_is_down_in_mid_build_costs_nothing_but_time(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    home = fresh_settings.home
    plan = MachinePlan(name="m1", dialect="marlin", node_id=NODE, speed=12.0)
    core = Core()
    async with users(fresh_settings, "supervisor", "commands", "processes") as clients:
        supervisor, commands, processes = clients
        await ensure_app_streams(supervisor, store_bytes=LEAST_STORE_BYTES)
        await commands.subscribe("imewe.command.>", cb=core.answer)
        machine = VirtualMachine(plan, folder=home / "run")
        machine.start()
        write_machines(home / "machines.json", configs([plan], folder=home / "run"))
        try:
            async with running_bridge(fresh_settings):
                await _order(core, processes, printed(500, feed=1800))
                await core.told("ReportProgress")
                fresh_nats.stop()
                away = [_now()]
                await asyncio.sleep(0.3)  # what the hub had handed over arrives
                heard = len(core.obeyed)
                await until(lambda: machine.ledger.counts.ends == 1, within_s=60)
                assert away[0] + AWAY_MS < _now(), "the build was too short for this test"
                assert len(core.obeyed) == heard
                away.append(_now())
                fresh_nats.start()
                await core.told("FinishBuild")
                await _drained(supervisor)
        finally:
            machine.stop()
        messages = await _stored(supervisor)
    _expect_all(messages, since=away[0], until=away[1])
    assert machine.ledger.counts.starts == 1
    said = [name for name, told in core.obeyed if told.get("build_id") == "b1"]
    assert [said.count(name) for name in ("StartBuild", "FinishBuild")] == [1, 1]
    percents = [told["percent"] for name, told in core.obeyed if name == "ReportProgress"]
    assert percents == sorted(percents)


async def _content(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _order(core: Core, processes: Client, gcode: str) -> None:
    ref = await JetStreamArtifactStore(processes).put(
        _content(gcode.encode()), organisation_id="o1", name="a.gcode"
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


async def _drained(supervisor: Client) -> None:
    """Readings that were taken after the return are in the stream: so are all before them."""
    back = await _last(supervisor)
    async with asyncio.timeout(60):
        while await _last(supervisor) < back + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _last(supervisor: Client) -> int:
    while True:
        with suppress(nats.errors.Error):
            info = await ask(supervisor, "STREAM.INFO.IMEWE_TELEMETRY")
            if "state" in info:
                return int(info["state"]["last_seq"])
        await asyncio.sleep(0.2)


async def _stored(supervisor: Client) -> list[dict[str, Any]]:
    arrived: list[Msg] = []

    async def take(message: Msg) -> None:
        arrived.append(message)

    last = await _last(supervisor)
    js = supervisor.jetstream()
    subscription = await js.subscribe("imewe.telemetry.>", cb=take, ordered_consumer=True)
    await until(lambda: len(arrived) >= last)
    await subscription.unsubscribe()
    return [orjson.loads(message.data) for message in arrived]


def _expect_all(messages: list[dict[str, Any]], *, since: int, until: int) -> None:
    names = [(message["epoch"], message["seq"]) for message in messages]
    assert names == [(1, seq) for seq in range(1, len(names) + 1)]
    assert not [message for message in messages if message.get("gap")]
    times = [at for message in messages if message["build_id"] == "b1" for at in message["t"]]
    assert times == sorted(times)
    meanwhile = {at for at in times if since < at < until}
    assert len(meanwhile) > (until - since) / 4000, "readings of the time without a hub are missing"


def _now() -> int:
    return int(SystemClock().now().timestamp() * 1000)

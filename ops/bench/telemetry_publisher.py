"""The machines' side of the telemetry bench, in a process of its own."""

import asyncio
import time
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import orjson
from nats.aio.client import Client

from ops.messaging.connection import connect
from ops.settings import Settings

NODES: Final = 20
CHANNELS: Final = 10
_HOME: Final = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
_WINDOW: Final = 256


class Published(NamedTuple):
    """Seconds of wall and of processor time, encoding included."""

    wall_s: float
    cpu_s: float


def node_id(number: int) -> str:
    """A machine of the bench."""
    return str(uuid5(_HOME, f"bench machine {number}"))


def message(number: int, readings: int, *, begun: int, epoch: int) -> dict[str, Any]:
    """Message `number` of a fleet: each machine takes its channels a hundred times a second."""
    machine, seq = number % NODES, number // NODES
    rows = readings // CHANNELS
    at = begun + seq * rows * 10
    return {
        "node_id": node_id(machine),
        "build_id": "",
        "epoch": epoch,
        "seq": seq + 1,
        "channels": [f"temperature.zone{channel}.actual_c" for channel in range(CHANNELS)],
        "t": [at + row * 10 for row in range(rows) for _ in range(CHANNELS)],
        "c": list(range(CHANNELS)) * rows,
        "v": [200 + ((number + row) % 97) / 8 for row in range(rows) for _ in range(CHANNELS)],
    }


def publish(settings: Settings, messages: int, readings: int, epoch: int) -> Published:
    """Publish as fast as the stream acknowledges, many at once."""
    return asyncio.run(_publish(settings, messages, readings, epoch))


def pace(settings: Settings, messages: int, readings: int, epoch: int, rate: float) -> list[float]:
    """Publish at a rate per second, each acknowledged; seconds to each acknowledgement."""
    return asyncio.run(_pace(settings, messages, readings, epoch, rate))


async def _publish(settings: Settings, messages: int, readings: int, epoch: int) -> Published:
    begun = time.time_ns() // 1_000_000 - 3_600_000
    ready = [message(n, readings, begun=begun, epoch=epoch) for n in range(messages)]
    client = await connect(settings, "bridge", allow_reconnect=False)
    stream = client.jetstream(publish_async_max_pending=_WINDOW)
    wall, cpu = time.perf_counter(), time.process_time()
    for each in ready:
        await stream.publish_async(
            f"imewe.telemetry.{each['node_id']}", orjson.dumps(each), wait_stall=60
        )
    await stream.publish_async_completed()
    spent = Published(time.perf_counter() - wall, time.process_time() - cpu)
    await client.close()
    return spent


async def _pace(
    settings: Settings, messages: int, readings: int, epoch: int, rate: float
) -> list[float]:
    begun = time.time_ns() // 1_000_000
    client = await connect(settings, "bridge", allow_reconnect=False)
    next_at = time.perf_counter()
    waited = []
    for number in range(messages):
        each = message(number, readings, begun=begun, epoch=epoch)
        await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
        waited.append(await _acknowledged(client, each))
        next_at += 1 / rate
    await client.close()
    return waited


async def _acknowledged(client: Client, each: dict[str, Any]) -> float:
    since = time.perf_counter()
    await client.request(f"imewe.telemetry.{each['node_id']}", orjson.dumps(each), timeout=30)
    return time.perf_counter() - since

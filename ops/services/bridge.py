"""The device bridge as a service: its ports on NATS, its journal and machines in the home."""

import asyncio
import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from device_bridge.agent import Agent
from device_bridge.safety.warden import ProcessWarden
from domain.shared.errors import ConflictError, UnavailableError
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.hosting.service_loop import until_cancelled
from ops.hosting.service_manager import announced
from ops.messaging.accounts import EMBEDDED_BRIDGE, bridge_user
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.connection import connect
from ops.messaging.live_feed import NatsTelemetryFeed
from ops.messaging.services import register
from ops.messaging.work import NatsWorkQueue
from ops.settings import Settings

ANSWER_S = 5.0
"""Then the same command is sent again, under the same name."""

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(until_cancelled(serve(settings, bridge_id=settings.bridge_id)))


async def serve(settings: Settings, *, bridge_id: str = EMBEDDED_BRIDGE) -> None:
    """Serve until cancelled. Machines at rest are left as they are when it ends; one at work is
    made safe by the watcher.

    Raises ``ConflictError`` when another bridge works in the home.
    """
    with _alone(settings.home / "bridge"):
        async with announced(settings):
            await _serve(settings, bridge_id)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two would share one journal, and one would answer for machines that the other holds."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                "another bridge works in this home", remedy="stop it, or choose another home"
            ) from None
        yield


async def _serve(settings: Settings, bridge_id: str) -> None:
    client = await connect(settings, bridge_user(bridge_id))
    try:
        agent = Agent(
            bridge_id,
            settings.home,
            queue=NatsWorkQueue(client),
            commands=NatsCommandClient(
                client, kind="bridge", principal_id=bridge_id, timeout_s=ANSWER_S
            ),
            artifacts=JetStreamArtifactStore(client),
            feed=NatsTelemetryFeed(client),
            clock=SystemClock(),
            heartbeat=Heartbeat(client, bridge_id).send,
            warden=ProcessWarden(settings.home / "bridge"),
        )
        desk = Desk(agent)
        await client.subscribe(f"imewe.stop.{bridge_id}.*", cb=desk.stop)
        await client.subscribe(f"imewe.bridge.{bridge_id}.*", cb=desk.control)
        registered = await register(client, settings, "bridge", metadata={"bridge": bridge_id})
        log.info("bridge_runs", bridge_id=bridge_id)
        try:
            await agent.run()
        finally:
            await registered.stop()
    finally:
        await client.close()


class Heartbeat:
    """Says on ``imewe.heartbeat.<bridge>`` that the bridge lives; nobody need listen."""

    def __init__(self, client: Client, bridge_id: str) -> None:
        self._client = client
        self._subject = f"imewe.heartbeat.{bridge_id}"

    async def send(self, beat: dict[str, Any]) -> None:
        """Publish one beat. Raises ``UnavailableError``."""
        try:
            await self._client.publish(self._subject, orjson.dumps(beat))
        except nats.errors.Error as problem:
            raise UnavailableError(f"no heartbeat: {problem}") from problem


class Desk:
    """Answers what the core asks of the bridge; each request in a task of its own, so that an
    emergency stop waits for none."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self, message: Msg) -> None:
        """``imewe.stop.<bridge>.<node>``"""
        self._begin(self._stop(message))

    async def control(self, message: Msg) -> None:
        """``imewe.bridge.<bridge>.<verb>``"""
        self._begin(self._control(message))

    def _begin(self, answering: Any) -> None:
        task = asyncio.get_running_loop().create_task(answering)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self, message: Msg) -> None:
        node_id = message.subject.rsplit(".", 1)[1]
        stopped_by = str(_read(message).get("stopped_by", "unknown"))
        await _answer(message, await self._agent.emergency_stop(node_id, stopped_by))

    async def _control(self, message: Msg) -> None:
        verb = message.subject.rsplit(".", 1)[1]
        await _answer(message, await self._agent.control(verb, _read(message)))


def _read(message: Msg) -> dict[str, Any]:
    try:
        request = orjson.loads(message.data or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return request if isinstance(request, dict) else {}


async def _answer(message: Msg, answer: dict[str, Any]) -> None:
    if message.reply:
        await message.respond(orjson.dumps(answer))

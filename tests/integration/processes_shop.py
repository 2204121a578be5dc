"""Commands and processes on a real log, with a bridge that the test plays itself."""

import asyncio
import contextlib
import itertools
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import orjson
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from commands.tokens import Signer
from domain.shared.recorded import RecordedEvent
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import ensure_streams
from ops.hosting.entrance import first_admin
from ops.keys import token_keys
from ops.messaging.command_client import NatsCommandClient, log_in
from ops.messaging.connection import address, connect
from ops.messaging.streams import ensure_app_streams
from ops.messaging.work import NatsWorkQueue
from ops.services import processes
from ops.settings import CHECKOUT, LEAST_STORE_BYTES, Settings

PROGRAM = b"M104 S205\nM140 S60\nG28\nG90\nM83\nG1 Z0.2 F600\n" + b"".join(
    b"G1 X%d Y%d E0.5 F1200\n" % (20 + n % 40, 20 + n // 40) for n in range(800)
)
_COMMANDS = """
import asyncio, sys
from pathlib import Path
from ops.services.commands import serve
from ops.settings import Settings
asyncio.run(serve(Settings(home=Path(sys.argv[1])), asyncio.Event()))
"""
PROFILE = {
    "process": "fdm",
    "materials": ["PLA"],
    "max_size": {"x": 220.0, "y": 220.0, "z": 250.0},
    "inspection": "automatic",
}
FIGURES = {
    "duration_ms": 1000,
    "energy_j": 20,
    "energy_source": "virtual meter",
    "material_mm3": 900,
    "material_mg": 1100,
}


class Shop:
    """A person and a bridge at the entrances of a running shop."""

    def __init__(self, gateway: NatsClient, bridge: NatsClient, reader: LogReader, token: str):
        self.person = NatsCommandClient(gateway, kind="service", principal_id="gateway")
        self.bridge = NatsCommandClient(bridge, kind="bridge", principal_id="local")
        self.store = JetStreamArtifactStore(gateway)
        self.work = NatsWorkQueue(bridge)
        self.asked: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self._reader = reader
        self._token = token
        self._number = itertools.count()
        self.organisation_id = ""

    async def do(self, name: str, /, **payload: Any) -> str:
        """A command by the admin; the id of what it changed."""
        number = f"test-{next(self._number)}"
        answer = await self.person.send(name, payload, command_id=number, token=self._token)
        return str(answer["id"])

    async def say(self, name: str, /, **payload: Any) -> dict[str, Any]:
        """A report of the bridge."""
        return await self.bridge.send(name, payload, command_id=f"bridge-{next(self._number)}")

    async def printer(self, name: str, /, **profile: Any) -> str:
        """A connected virtual printer with a clear bed and a kilogram of PLA."""
        node_id = await self.do("RegisterNode", name=name, bridge="local", virtual=True)
        await self.do("ConfigureNode", node_id=node_id, profile={**PROFILE, **profile})
        await self.say("ConnectMachine", node_id=node_id, identity={"firmware": "Marlin"})
        await self.do("ClearBed", node_id=node_id, by="anna")
        await self.do(
            "ReceiveMaterial", node_id=node_id, material="PLA", lot="1", quantity_mg=1_000_000
        )
        return node_id

    async def order(self, *, quantity: int = 1, data: bytes = PROGRAM) -> str:
        """A job of one part from an uploaded file."""

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        ref = await self.store.put(
            chunks(), organisation_id=self.organisation_id, name="cube.gcode"
        )
        part = {
            "name": "cube",
            "artifact_digest": ref.digest,
            "material": "PLA",
            "quantity": quantity,
        }
        return await self.do("SubmitJob", name="cubes", parts=[part])

    async def take_work(self, node_id: str) -> dict[str, Any]:
        """The next work message of a node, acknowledged."""
        item = await asyncio.wait_for(self.work.pull(node_id), 60)
        await item.acknowledge()
        message: dict[str, Any] = orjson.loads(item.body)
        return message

    async def make(self, node_id: str) -> dict[str, Any]:
        """Take work and do it without trouble."""
        work = await self.take_work(node_id)
        build = {"build_id": work["build_id"]}
        await self.say("AcceptBuild", **build, node_id=node_id, epoch=work["epoch"])
        await self.say("StartBuild", **build, epoch=work["epoch"])
        await self.say("FinishBuild", **build, **FIGURES)
        return work

    def events(self) -> list[RecordedEvent]:
        """The whole log."""
        found: list[RecordedEvent] = []
        while more := self._reader.read(found[-1].position if found else 0, 1000):
            found += more
        return found

    def topics(self) -> list[str]:
        """What happened, by name."""
        return [event.topic.removeprefix("imewe.") for event in self.events()]

    async def until(self, check: Callable[[list[str]], bool], within: float = 15.0) -> list[str]:
        """Wait until the log says so; the log's topics."""
        async with asyncio.timeout(within):
            while True:
                topics = await asyncio.to_thread(self.topics)
                if check(topics):
                    return topics
                await asyncio.to_thread(self._reader.wait, 0.5)

    async def hear(self, message: Msg) -> None:
        """What the core asks of the bridge."""
        verb = message.subject.rsplit(".", 1)[1]
        self.asked.put_nowait((verb, orjson.loads(message.data)))
        await message.respond(b'{"ok": true}')


@contextlib.asynccontextmanager
async def running_shop(settings: Settings) -> AsyncIterator[Shop]:
    """Streams, the commands service, a person and a bridge; the processes are begun apart."""
    maker = log_client(settings, "log_supervisor")
    ensure_streams(maker)
    maker.close()
    supervisor = await connect(settings, "supervisor")
    await ensure_app_streams(supervisor, store_bytes=LEAST_STORE_BYTES)
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COMMANDS, str(settings.home), cwd=CHECKOUT
    )
    gateway, bridge = await connect(settings, "gateway"), await connect(settings, "bridge")
    files = log_client(settings, "log_processes")
    reader = LogReader(files)
    try:
        account = await _logged_in(gateway, settings)
        shop = Shop(gateway, bridge, reader, _token(settings, account))
        shop.organisation_id = account["grants"][0]["organisation_id"]
        await bridge.subscribe("imewe.bridge.local.*", cb=shop.hear)
        yield shop
    finally:
        reader.close()
        files.close()
        for client in (gateway, bridge, supervisor):
            await client.close()
        serving.terminate()
        await serving.wait()


@contextlib.asynccontextmanager
async def running_processes(
    settings: Settings, *, accept_within: timedelta = timedelta(seconds=30)
) -> AsyncIterator[asyncio.Task[None]]:
    """The processes service as a task of this loop."""
    task = asyncio.create_task(processes.serve(settings, accept_within=accept_within))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def log_client(settings: Settings, user: str) -> Client:
    """A blocking connection to the log's account."""
    return Client(address(settings, user))


async def _logged_in(gateway: NatsClient, settings: Settings) -> dict[str, Any]:
    admin = first_admin(settings)
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Exception):
                return await log_in(gateway, mail=admin.mail, password=admin.password)
            await asyncio.sleep(0.1)


def _token(settings: Settings, account: dict[str, Any]) -> str:
    signer = Signer(token_keys(settings.home).private)
    return signer.sign(
        account_id=account["account_id"],
        name=account["name"],
        grants=account["grants"],
        token_id=uuid.uuid4().hex,
        now=SystemClock().now(),
        ttl_s=600,
    )

"""Copies of the commands service on a real nats-server, and an admin at the gateway."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient

from commands.tokens import Signer
from domain.account.roles import Role
from domain.shared.errors import UnavailableError
from ops.artifacts.store import JetStreamArtifactStore
from ops.clock import SystemClock
from ops.eventstore.client import Client
from ops.eventstore.envelope import Record
from ops.eventstore.reader import LogReader
from ops.keys import token_keys
from ops.messaging.command_client import NatsCommandClient, log_in
from ops.messaging.connection import address, connect
from ops.messaging.services import ping_all
from ops.prepare import prepare_streams
from ops.settings import LEAST_STORE_BYTES, Settings

SOMEBODY = "6a5b4c3d-2e1f-5a0b-9c8d-7e6f5a4b3c2d"
SCRIPT = Path(__file__).with_name("commands_process.py")
ROOT = Path(__file__).parents[2]
GCODE = b"G28\nG1 X10 Y10 E1\nM104 S0\n"


class Rig:
    """Copies of the service on one home, and the first admin at the gateway. ``points``: the folder
    of fail points, if there is one."""

    def __init__(self, settings: Settings, client: NatsClient) -> None:
        self.settings = settings
        self.client = client
        self.port = NatsCommandClient(client, kind="service", principal_id="gateway")
        self.copies: list[subprocess.Popen[bytes]] = []
        self.points: list[str] = []
        self.token = ""
        self.organisation_id = ""
        self.job: dict[str, Any] = {}

    async def start(self, copies: int = 1) -> None:
        """Start copies and wait until all answer; the admin signs in and uploads a file."""
        self.copies += [_spawned(self.settings.home, *self.points) for _ in range(copies)]
        for _ in range(60):
            pids = {copy.pid for copy in self.copies if copy.poll() is None}
            found = await ping_all(self.client, wait=0.25)
            if {each.pid for each in found if each.name == "commands"} >= pids:
                break
        else:
            pytest.fail("the commands service does not answer")
        if not self.token:
            await self._sign_in()

    async def _sign_in(self) -> None:
        admin = await log_in(self.client, mail="admin@imewe.local", password="correct horse")
        self.organisation_id = admin["grants"][0]["organisation_id"]
        self.token = Signer(token_keys(self.settings.home).private).sign(
            **admin, token_id="t", now=SystemClock().now(), ttl_s=900
        )
        ref = await JetStreamArtifactStore(self.client).put(
            _chunks(GCODE), organisation_id=self.organisation_id, name="hook.gcode"
        )
        part = {"name": "Hook", "artifact_digest": ref.digest, "material": "PLA"}
        self.job = {"name": "Hooks", "parts": [part]}

    async def send(
        self, name: str, payload: dict[str, Any], command_id: str, **more: str
    ) -> dict[str, Any]:
        """Send as the admin."""
        told = {"token": self.token, **more}
        return await self.port.send(name, payload, command_id=command_id, **told)

    async def insist(self, name: str, payload: dict[str, Any], command_id: str) -> dict[str, Any]:
        """Send again while nobody answers, as a good client does."""
        while True:
            with contextlib.suppress(UnavailableError):
                return await self.send(name, payload, command_id)
            await asyncio.sleep(0.1)

    def token_of(self, role: Role) -> str:
        """Somebody's token with one role in the organisation."""
        return Signer(token_keys(self.settings.home).private).sign(
            account_id=SOMEBODY,
            name="Bob",
            grants=[{"role": role.value, "organisation_id": self.organisation_id}],
            token_id="t",
            now=SystemClock().now(),
            ttl_s=900,
        )

    def records(self) -> list[Record]:
        """The whole log as it is stored."""
        client = Client(address(self.settings, "log_commands"))
        reader = LogReader(client)
        found: list[Record] = []
        while more := reader.read_raw(len(found), 500):
            found += more
        reader.close()
        client.close()
        return found

    def submitted(self) -> dict[str, int]:
        """Position by job."""
        topic = "imewe.job:Submitted"
        return {
            record.aggregate: record.sequence for record in self.records() if record.topic == topic
        }

    def stop(self) -> None:
        for copy in self.copies:
            copy.terminate()
        for copy in self.copies:
            copy.wait(30)


def _spawned(home: Path, *points: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(home), *points]
    return subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


async def _chunks(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


@contextlib.asynccontextmanager
async def commands_rig(settings: Settings) -> AsyncIterator[Rig]:
    """A rig on the server of these settings, without a copy of the service yet."""
    await prepare_streams(settings, store_bytes=LEAST_STORE_BYTES)
    client = await connect(settings, "gateway")
    rig = Rig(settings, client)
    rig.port = NatsCommandClient(client, kind="service", principal_id="gateway", timeout_s=8)
    yield rig
    rig.stop()
    await client.close()

"""A whole installation, started as a person starts it."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from commands.tokens import Signer
from ops.cli.client import Client
from ops.cli.main import COMMANDS, GROUPS, application
from ops.keys import token_keys
from ops.messaging.connection import connect
from ops.messaging.services import ping_all
from ops.settings import CHECKOUT, Settings
from tests.processes import alive

START_S = 60.0
STOP_S = 60.0
GCODE = CHECKOUT / "ops/demo/models/cable_clip.gcode"
PROBLEMS = "problems { __typename code message field remedy }"
SUBMIT = f"""mutation($input: SubmitJobInput!, $commandId: ID) {{
  submitJob(input: $input, commandId: $commandId) {{ jobId position commandId {PROBLEMS} }} }}"""
REGISTER = f"""mutation($name: String!, $bridge: String!) {{
  registerNode(name: $name, bridge: $bridge, virtual: true) {{ nodeId position {PROBLEMS} }} }}"""

JOB = "query($id: ID!, $at: Position) { job(id: $id, atLeast: $at) { id name priority status } }"
PRIORITY = f"""mutation($id: ID!, $priority: Int!) {{
  reprioritizeJob(jobId: $id, priority: $priority) {{ position {PROBLEMS} }} }}"""
HISTORY = """query($after: Position) { eventHistory(first: 100, afterSequence: $after) {
  edges { node { position topic } } pageInfo { hasNextPage } } }"""


class Stack:
    """A running installation."""

    def __init__(self, home: Path, ready: dict[str, Any]) -> None:
        self.home = home
        self.url: str = ready["url"]
        self.admin: dict[str, str] = ready["admin"]
        self.settings = Settings(home=home)

    def client(self) -> Client:
        """The first admin's client."""
        return Client.signed_in(self.url, **self.admin)

    def run(self, group: str, *words: str) -> Result:
        """A client command, with this home."""
        app = application((*COMMANDS, *GROUPS))
        return CliRunner().invoke(app, [group, "--home", str(self.home), *words])

    def token(self, *roles: str, place: str, ttl_s: int = 900) -> str:
        """A token of somebody with these roles, signed with the home's own key."""
        return Signer(token_keys(self.home).private).sign(
            account_id="6a5b4c3d-2e1f-5a0b-9c8d-7e6f5a4b3c2d",
            name="Bob",
            grants=[{"role": role, "organisation_id": place} for role in roles],
            token_id="t",
            now=datetime.now(UTC),
            ttl_s=ttl_s,
        )

    def pid(self, service: str) -> int:
        """The process that runs a service now."""
        return asyncio.run(self._pid(service))

    async def _pid(self, service: str) -> int:
        asking = await connect(self.settings, "supervisor")
        try:
            while True:
                for each in await ping_all(asking, wait=0.2):
                    if each.name == service and alive(each.pid):
                        return each.pid
        finally:
            await asking.close()


def running_stack() -> Iterator[Stack]:
    """``imewe up`` in a home of its own; about three seconds."""
    outer = Path(tempfile.mkdtemp(prefix="imewe-gateway-"))
    if os.geteuid() == 0:
        outer.chmod(0o711)
    try:
        with up(outer / "home", told=outer / "up.json") as stack:
            yield stack
    finally:
        shutil.rmtree(outer)


@contextmanager
def up(home: Path, *options: str, told: Path) -> Iterator[Stack]:
    """``imewe up`` on a home until the end of the block; ``told`` takes what it prints."""
    words = ["up", "--home", str(home), "--json", *options]
    command = [sys.executable, "-P", "-m", "ops.cli.main", *words]
    with told.open("w") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, cwd=CHECKOUT)
    try:
        until = time.monotonic() + START_S
        while not told.read_text().endswith("\n"):
            assert running.poll() is None, "imewe up ended"
            assert time.monotonic() < until, "imewe up takes too long"
            time.sleep(0.05)
        yield Stack(home, json.loads(told.read_text()))
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(STOP_S)


def order(digest: str, **changes: Any) -> dict[str, Any]:
    """An order for one clip."""
    part = {"name": "clip", "artifactDigest": digest, "materialType": "PLA"}
    return {"name": "clips", "parts": [part], **changes}


def submitted(client: Client, digest: str, **changes: Any) -> dict[str, Any]:
    """An order that was taken."""
    return client.command(SUBMIT, {"input": order(digest, **changes)})


def end_of_log(client: Client) -> str:
    """The newest position."""
    query = "{ eventHistory(first: 1, newestFirst: true) { edges { node { position } } } }"
    edges = client.execute(query)["eventHistory"]["edges"]
    return str(edges[0]["node"]["position"])


def history_after(client: Client, position: str) -> list[str]:
    """Every position behind one, from the history."""
    found: list[str] = []
    after, more = position, True
    while more:
        page = client.execute(HISTORY, {"after": after})["eventHistory"]
        found += [edge["node"]["position"] for edge in page["edges"]]
        more = page["pageInfo"]["hasNextPage"]
        after = found[-1] if found else after
    return found


def home_of(client: Client) -> str:
    """The organisation that the client acts in."""
    return str(
        client.execute("{ me { grants { organisationId } } }")["me"]["grants"][0]["organisationId"]
    )

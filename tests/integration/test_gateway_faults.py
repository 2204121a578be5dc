"""The gateway under kills, and a stop that goes through it to machines."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect as connect_socket

from domain.shared.errors import ConflictError, UnavailableError
from ops.cli.client import SUBPROTOCOL, Client, SubscriptionLostError
from ops.demo.shop import furnish
from ops.hosting.units import service_command
from ops.settings import CHECKOUT
from tests.gateway_stack import (
    GCODE,
    JOB,
    PRIORITY,
    Stack,
    end_of_log,
    history_after,
    home_of,
    running_stack,
    submitted,
)

TAIL = "subscription($after: Position) { eventTail(afterSequence: $after) { position topic } }"
NODES = "{ nodes { edges { node { id connected stopped emergencyStop execution } } } }"
STOP = """mutation($id: ID!) { emergencyStop(nodeId: $id) {
  receipt { confirmed nativeText roundTripMs } problems { __typename message } } }"""
STOP_ALL = """mutation { emergencyStopAll { problems { code } stops { nodeId outcome } } }"""
CLEAR = "mutation($id: ID!) { clearEmergencyStop(nodeId: $id) { position problems { code } } }"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    yield from running_stack()


@pytest.fixture
def admin(stack: Stack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def digest(stack: Stack) -> str:
    with stack.client() as client:
        return str(client.upload(GCODE)["digest"])


@pytest.fixture
def shop(stack: Stack, admin: Client) -> Iterator[list[str]]:
    """The ids of virtual machines that are connected."""
    wanted = furnish(admin, stack.home)
    command = [w for w in service_command(stack.settings, "virtual-shop") if w != "--supervised"]
    running = subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not all(node["connected"] for node in machines(admin)):
        assert time.monotonic() < until, "the virtual machines do not connect"
        time.sleep(0.1)
    yield list(wanted)
    running.terminate()
    running.wait(30)


def machines(client: Client) -> list[dict[str, Any]]:
    return [edge["node"] for edge in client.execute(NODES)["nodes"]["edges"]]


def test_an_emergency_stop_halts_every_kind_of_machine_and_stays_until_it_is_cleared(
    admin: Client, shop: list[str]
) -> None:
    for node_id in shop:
        payload = admin.execute(STOP, {"id": node_id})["emergencyStop"]
        assert payload["problems"] == []
        assert payload["receipt"]["confirmed"] is True
        assert payload["receipt"]["nativeText"]
    until = time.monotonic() + 30
    while not all(node["stopped"] for node in machines(admin)):
        assert time.monotonic() < until, "the stops are not recorded"
        time.sleep(0.05)
    for node_id in shop:
        admin.command(CLEAR, {"id": node_id})
    ready = ("ARMED", "READY", False)
    while any(
        (node["emergencyStop"], node["execution"], node["stopped"]) != ready
        for node in machines(admin)
    ):
        assert time.monotonic() < until + 30, "the bridge still holds a machine latched"
        time.sleep(0.05)
    fleet = admin.execute(STOP_ALL)["emergencyStopAll"]
    assert fleet["problems"] == []
    assert {stop["nodeId"]: stop["outcome"] for stop in fleet["stops"]} == dict.fromkeys(
        shop, "CONFIRMED"
    )


def test_a_killed_database_is_unavailable_for_a_moment_and_no_longer(
    stack: Stack, admin: Client, digest: str
) -> None:
    made = submitted(admin, digest)
    asked = {"id": made["jobId"], "at": made["position"]}
    admin.execute(JOB, asked)
    postmaster = int((stack.home / "pgdata" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            assert admin.execute(JOB, asked)["job"]["id"] == made["jobId"]
            return
        except UnavailableError:
            time.sleep(0.1)
    pytest.fail("the gateway does not read any more")


def test_the_log_is_followed_without_gap_or_duplicate_through_a_killed_gateway(
    stack: Stack, digest: str
) -> None:
    with stack.client() as admin:
        begin = end_of_log(admin)
        job_id = submitted(admin, digest)["jobId"]
        writing = threading.Thread(target=write_forty, args=(stack, job_id))
        writing.start()
        seen: list[str] = []
        killed = False
        while len(seen) < 41:
            after = seen[-1] if seen else begin
            try:
                for message in admin.subscribe(TAIL, {"after": after}):
                    seen.append(message["eventTail"]["position"])
                    if len(seen) == 10 and not killed:
                        killed = True
                        os.kill(stack.pid("gateway"), signal.SIGKILL)
                    if len(seen) >= 41:
                        break
            except SubscriptionLostError:
                time.sleep(0.1)
        writing.join()
        assert killed
        assert seen == history_after(admin, begin)[: len(seen)]


def write_forty(stack: Stack, job_id: str) -> None:
    with stack.client() as client:
        done = 0
        while done < 40:
            try:
                asked = {"id": job_id, "priority": done % 2 + 1}
                client.command(PRIORITY, asked)
                done += 1
            except UnavailableError:
                time.sleep(0.1)
            except ConflictError:
                continue


def test_a_gateway_that_is_told_to_stop_ends_soon_and_says_come_back(
    stack: Stack, admin: Client
) -> None:
    process = psutil.Process(stack.pid("gateway"))
    address = "ws" + stack.url.removeprefix("http") + "/graphql"
    with connect_socket(address, subprotocols=[SUBPROTOCOL], proxy=None) as socket:
        token = stack.token("admin", place=home_of(admin))
        greeting = {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}
        socket.send(json.dumps(greeting))
        assert json.loads(socket.recv()) == {"type": "connection_ack"}
        asked = {"type": "subscribe", "id": "1", "payload": {"query": TAIL}}
        socket.send(json.dumps(asked))
        process.terminate()
        began = time.monotonic()
        with pytest.raises(ConnectionClosedError) as ended:
            socket.recv(timeout=30)
    process.wait(30)
    assert time.monotonic() - began < 10
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1012
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if httpx.get(f"{stack.url}/healthz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the gateway did not come back at its address")

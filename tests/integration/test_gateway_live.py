"""The gateway in front of real commands, projections, NATS and PostgreSQL."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from domain.shared.errors import ImeweError, UnavailableError
from ops.cli.client import Client
from ops.messaging.connection import connect
from ops.messaging.live_feed import NatsTelemetryFeed
from tests.gateway_stack import (
    GCODE,
    HISTORY,
    JOB,
    PRIORITY,
    PROBLEMS,
    REGISTER,
    SUBMIT,
    Stack,
    end_of_log,
    home_of,
    order,
    running_stack,
    submitted,
)

NODE = "query($id: ID!, $at: Position) { node(id: $id, atLeast: $at) { name } }"
CANCEL = f"mutation($id: ID!) {{ cancelJob(jobId: $id) {{ position {PROBLEMS} }} }}"
STOP = (
    f"mutation($id: ID!) {{ emergencyStop(nodeId: $id) {{ receipt {{ confirmed }} {PROBLEMS} }} }}"
)
WATCH = "subscription($id: ID!) { jobUpdated(jobId: $id) { status priority cancelRequested } }"
ELSEWHERE = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"


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


def test_one_reads_ones_own_write(admin: Client, digest: str) -> None:
    for number in range(10):
        made = submitted(admin, digest, name=f"own {number}", priority=number + 1)
        job = admin.execute(JOB, {"id": made["jobId"], "at": made["position"]})["job"]
        assert (job["name"], job["priority"]) == (f"own {number}", number + 1)


def test_a_position_that_nobody_has_reached_is_told_in_time(admin: Client) -> None:
    with pytest.raises(UnavailableError, match="was not reached"):
        admin.execute(JOB, {"id": ELSEWHERE, "at": "999999999"})


def test_the_same_command_id_orders_once_even_at_the_same_moment(
    stack: Stack, admin: Client, digest: str
) -> None:
    asked = {"input": order(digest), "commandId": "order-once"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: admin.command(SUBMIT, asked), range(8)))
    assert len({answer["jobId"] for answer in answers}) == 1
    assert len({answer["position"] for answer in answers}) == 1
    other = {"input": order(digest, name="something else"), "commandId": "order-once"}
    problem = admin.execute(SUBMIT, other)["submitJob"]["problems"][0]
    assert problem["__typename"] == "CommandIdReused"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parts": []}, "parts"),
        ({"priority": 0}, "priority"),
        ({"priority": 11}, "priority"),
        ({"name": ""}, "name"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"artifactDigest": "f" * 64}, "artifactDigest"),
    ],
)
def test_a_wrong_order_is_a_typed_problem_and_leaves_nothing(
    admin: Client, digest: str, change: dict[str, Any], field: str
) -> None:
    wrong = order(digest)
    wrong["parts"][0] |= {k: v for k, v in change.items() if k in {"quantity", "artifactDigest"}}
    wrong |= {k: v for k, v in change.items() if k in {"parts", "priority", "name"}}
    before = end_of_log(admin)
    payload = admin.execute(SUBMIT, {"input": wrong})["submitJob"]
    assert payload["jobId"] is None
    assert payload["problems"][0]["__typename"] in {"InvalidInput", "NotFound"}
    assert field in payload["problems"][0]["field"]
    assert end_of_log(admin) == before


@pytest.mark.parametrize("role", ["operator", "vendor", "viewer", "auditor"])
def test_a_role_that_may_not_is_forbidden(
    stack: Stack, admin: Client, digest: str, role: str
) -> None:
    with Client(stack.url, stack.token(role, place=home_of(admin))) as client:
        payload = client.execute(SUBMIT, {"input": order(digest)})["submitJob"]
    assert payload["problems"][0]["__typename"] == "Forbidden"


def test_another_organisations_object_is_as_one_that_does_not_exist(
    stack: Stack, admin: Client, digest: str
) -> None:
    made = submitted(admin, digest)
    with Client(stack.url, stack.token("admin", place=ELSEWHERE)) as stranger:
        seen = stranger.execute(JOB, {"id": made["jobId"], "at": made["position"]})
        assert seen == {"job": None}
        payload = stranger.execute(CANCEL, {"id": made["jobId"]})["cancelJob"]
        assert payload["problems"][0]["__typename"] == "NotFound"
        assert stranger.execute(HISTORY)["eventHistory"]["edges"] == []


def test_a_stranger_cannot_watch_what_he_may_not_see(
    stack: Stack, admin: Client, digest: str
) -> None:
    made = submitted(admin, digest)
    with (
        Client(stack.url, stack.token("admin", place=ELSEWHERE)) as stranger,
        pytest.raises(ImeweError, match="there is no order"),
    ):
        next(stranger.subscribe(WATCH, {"id": made["jobId"]}))


def test_an_order_is_watched_from_its_newest_state_on(admin: Client, digest: str) -> None:
    made = submitted(admin, digest, priority=3)
    watched = admin.subscribe(WATCH, {"id": made["jobId"]})
    assert next(watched)["jobUpdated"]["priority"] == 3
    admin.command(PRIORITY, {"id": made["jobId"], "priority": 8})
    for message in watched:
        if message["jobUpdated"]["priority"] == 8:
            break
    watched.close()


def test_pages_never_slip_while_others_order(admin: Client, digest: str) -> None:
    query = """query($after: String) { jobs(first: 2, after: $after, priority: [10]) {
      edges { node { name } } pageInfo { hasNextPage endCursor } } }"""
    for number in range(5):
        last = submitted(admin, digest, name=f"page {number}", priority=10)
    admin.execute(JOB, {"id": last["jobId"], "at": last["position"]})
    names: list[str] = []
    page: dict[str, Any] = {"pageInfo": {"endCursor": None, "hasNextPage": True}}
    while page["pageInfo"]["hasNextPage"]:
        page = admin.execute(query, {"after": page["pageInfo"]["endCursor"]})["jobs"]
        names += [edge["node"]["name"] for edge in page["edges"]]
        submitted(admin, digest, name="meanwhile", priority=10)
    assert [name for name in names if name.startswith("page")] == [
        f"page {number}" for number in (4, 3, 2, 1, 0)
    ]


async def test_telemetry_comes_through_as_the_bridge_publishes_it(
    stack: Stack, admin: Client
) -> None:
    made = admin.command(REGISTER, {"name": "sampled", "bridge": "local"})
    node_id = made["nodeId"]
    admin.execute(NODE, {"id": node_id, "at": made["position"]})
    query = """subscription($id: ID!) { telemetry(nodeId: $id) {
      sequence readings { channel value } } }"""
    heard: list[dict[str, Any]] = []

    def listen() -> None:
        heard.append(next(admin.subscribe(query, {"id": node_id})))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    bridge = await connect(stack.settings, "bridge")
    feed = NatsTelemetryFeed(bridge)
    for number in range(100):
        columns = {"channels": ["bed_c"], "t": [1768213800000], "c": [0], "v": [60.5]}
        about = {"node_id": node_id, "build_id": "", "epoch": 1, "seq": number}
        await feed.publish(node_id, {**about, **columns})
        listening.join(0.05)
        if heard:
            break
    await bridge.close()
    assert heard[0]["telemetry"]["readings"] == [{"channel": "bed_c", "value": 60.5}]


def test_an_emergency_stop_without_a_bridge_says_what_to_do_at_once(admin: Client) -> None:
    made = admin.command(REGISTER, {"name": "far away", "bridge": "elsewhere"})
    admin.execute(NODE, {"id": made["nodeId"], "at": made["position"]})
    began = time.monotonic()
    payload = admin.execute(STOP, {"id": made["nodeId"]})["emergencyStop"]
    assert time.monotonic() - began < 5
    assert payload["receipt"] is None
    assert payload["problems"][0]["__typename"] == "Unavailable"
    assert "own emergency stop" in payload["problems"][0]["remedy"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"solid a\nfacet normal 0 0 1\n", "cut off"),
        (b"\x00" * 84 + b"junk", "no triangle"),
        (b"%PDF-1.7 not a part", "PDF"),
    ],
)
def test_a_file_that_is_no_part_is_refused_with_the_reason(
    stack: Stack, admin: Client, content: bytes, words: str
) -> None:
    token = stack.token("designer", place=home_of(admin))
    answer = httpx.post(
        f"{stack.url}/v1/artifacts",
        files={"file": ("part.stl", content)},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_a_large_upload_does_not_grow_the_gateway(stack: Stack, admin: Client) -> None:
    process = psutil.Process(stack.pid("gateway"))
    token = stack.token("designer", place=home_of(admin))
    line = b"G1 X10.000 Y10.000 F1200\n" * 2621  # about 64 KiB
    size = len(line) * 1000

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.gcode"\r\n\r\n'
        for _ in range(1000):
            yield line
        yield b"\r\n--x--\r\n"

    before = process.memory_info().rss
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    answer = httpx.post(
        f"{stack.url}/v1/artifacts", content=body(), headers=headers, timeout=60, trust_env=False
    )
    assert answer.json()["data"]["size"] == size
    assert process.memory_info().rss - before < size / 2
    place = {"Authorization": f"Bearer {token}"}
    with httpx.stream(
        "GET", stack.url + answer.headers["location"], headers=place, trust_env=False
    ) as back:
        assert sum(len(chunk) for chunk in back.iter_bytes()) == size

"""Bridges beside the embedded one: each logs in for its own machines and nothing else."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from typer.testing import CliRunner, Result

from domain.shared.errors import InvalidInputError
from ops.cli.main import application
from ops.messaging.bridges import enrol, enrolled, wait_until_known
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats, credentials
from ops.messaging.services import ping_all
from ops.prepare import prepare_streams
from ops.services.bridge import serve
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.integration.shop import Shop

MINE = "0c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70"
MORE = "1c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70"
THEIRS = "2c5e6f7a-8b9c-5d0e-9f1a-2b3c4d5e6f70"
USER = "bridge_hall-2"
API = "$JS.API.CONSUMER"

OWN = [
    "imewe.command.bridge.hall-2.AcceptBuild",
    "imewe.heartbeat.hall-2",
    f"imewe.telemetry.{MINE}",
    f"{API}.CREATE.IMEWE_WORK.{MINE}.imewe.work.{MINE}",
    f"{API}.INFO.IMEWE_WORK.{MINE}",
    f"{API}.MSG.NEXT.IMEWE_WORK.{MINE}",
    f"$JS.ACK.IMEWE_WORK.{MINE}.1.1.1.1.1",
    "$JS.API.DIRECT.GET.OBJ_IMEWE_ARTIFACTS",
]
FOREIGN = [
    "imewe.command.bridge.local.AcceptBuild",
    "imewe.command.service.gateway.SubmitJob",
    "imewe.heartbeat.local",
    f"imewe.telemetry.{THEIRS}",
    f"imewe.work.{MINE}",
    f"{API}.CREATE.IMEWE_WORK.{THEIRS}.imewe.work.{THEIRS}",
    f"{API}.CREATE.IMEWE_WORK.{MINE}.imewe.work.{THEIRS}",
    f"{API}.CREATE.IMEWE_WORK.{MINE}",
    f"{API}.MSG.NEXT.IMEWE_WORK.{THEIRS}",
    f"$JS.ACK.IMEWE_WORK.{THEIRS}.1.1.1.1.1",
    "$JS.API.STREAM.CREATE.STRAY",
    f"imewe.stop.hall-2.{MINE}",
    "imewe.bridge.hall-2.status",
    "imewe.auth.login",
    "imewe.audit.report",
    "imewe.log.get",
]


@asynccontextmanager
async def connected(settings: Settings, user: str, **options: Any) -> AsyncIterator[Client]:
    client = await connect(settings, user, **options)
    try:
        yield client
    finally:
        await client.close()


async def refused(client: Client, refusals: list[str], act: Callable[[], Any]) -> bool:
    before = len(refusals)
    await act()
    await client.flush()
    await client.flush()
    return len(refusals) > before


@pytest.fixture
async def settings(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Settings:
    await prepare_streams(fresh_settings, store_bytes=LEAST_STORE_BYTES)
    return fresh_settings


async def test_a_bridge_enrolled_while_the_server_runs_speaks_for_its_machines_only(
    settings: Settings, fresh_nats: EmbeddedNats
) -> None:
    enrol(settings.home, "hall-2", [MINE])
    assert fresh_nats.read_bridges()
    await asyncio.to_thread(wait_until_known, settings, USER, [MINE])
    refusals: list[str] = []

    async def complain(error: Exception) -> None:
        refusals.append(str(error))

    async with connected(settings, USER, error_cb=complain) as bridge:
        for subject in OWN:
            assert not await refused(bridge, refusals, lambda s=subject: bridge.publish(s, b""))
        for subject in FOREIGN:
            assert await refused(bridge, refusals, lambda s=subject: bridge.publish(s, b"")), (
                subject
            )
        for subject in ("imewe.stop.hall-2.*", "imewe.bridge.hall-2.*"):
            assert not await refused(bridge, refusals, lambda s=subject: bridge.subscribe(s))
        for subject in ("imewe.stop.local.*", "imewe.bridge.>", "_INBOX_bridge.>", ">"):
            assert await refused(bridge, refusals, lambda s=subject: bridge.subscribe(s))


async def test_nobody_elses_connection_ends_and_the_log_stays_closed(
    settings: Settings, fresh_nats: EmbeddedNats
) -> None:
    lost: list[str] = []

    async def on_lost() -> None:
        lost.append("lost")

    watched = {"disconnected_cb": on_lost}
    async with (
        connected(settings, "gateway", **watched) as gateway,
        connected(settings, "log_commands", **watched) as log,
    ):
        assert not fresh_nats.read_bridges()
        enrol(settings.home, "hall-2", [MINE])
        assert fresh_nats.read_bridges()
        assert not fresh_nats.read_bridges()
        await asyncio.to_thread(wait_until_known, settings, USER, [MINE])
        await log.request("imewe.events.job.1", b"fact", timeout=2)
        answer = await gateway.request("imewe.log.get", b'{"seq": 1}', timeout=2)
        assert answer.data == b"fact"
        assert lost == []


async def test_more_machines_come_to_a_bridge_and_a_restarted_server_still_knows_it(
    settings: Settings, fresh_nats: EmbeddedNats
) -> None:
    enrol(settings.home, "hall-2", [MINE])
    fresh_nats.read_bridges()
    await asyncio.to_thread(wait_until_known, settings, USER, [MINE])
    password = credentials(settings.home)[USER]
    assert enrol(settings.home, "hall-2", [MORE]) == [MINE, MORE]
    fresh_nats.read_bridges()
    await asyncio.to_thread(wait_until_known, settings, USER, [MINE, MORE])
    fresh_nats.stop()
    fresh_nats.start()
    await asyncio.to_thread(wait_until_known, settings, USER, [MINE, MORE])
    assert credentials(settings.home)[USER] == password


async def test_a_second_bridge_serves_beside_the_first(
    settings: Settings, fresh_nats: EmbeddedNats, tmp_path: Path
) -> None:
    enrol(settings.home, "hall-2", [MINE])
    fresh_nats.read_bridges()
    await asyncio.to_thread(wait_until_known, settings, USER, [MINE])
    file = tmp_path / "hall-2.json"
    file.write_text(json.dumps({USER: credentials(settings.home)[USER]}))
    own = Settings(home=tmp_path, nats_url=fresh_nats.url, nats_credentials=file)
    serving = asyncio.create_task(serve(own, bridge_id="hall-2"))
    async with connected(settings, "gateway") as gateway:
        async with asyncio.timeout(30):
            while not (found := await ping_all(gateway, wait=0.2)):
                assert not serving.done()
        assert [each.metadata["bridge"] for each in found] == ["hall-2"]
        asked = json.dumps({"node_id": MINE}).encode()
        answer = await gateway.request("imewe.bridge.hall-2.status", asked, timeout=3)
        assert json.loads(answer.data)["error"]["code"] == "NOT_FOUND"
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


@pytest.mark.parametrize(
    ("bridge_id", "node", "field"),
    [
        ("local", MINE, "bridge"),
        ("hall.2", MINE, "bridge"),
        ("*", MINE, "bridge"),
        ("", MINE, "bridge"),
        ("hall-2", "*", "node"),
        ("hall-2", "prusa-1", "node"),
        ("hall-2", THEIRS, "node"),
    ],
)
def test_what_would_give_a_bridge_too_much_is_refused(
    tmp_path: Path, bridge_id: str, node: str, field: str
) -> None:
    enrol(tmp_path, "hall-3", [THEIRS])
    with pytest.raises(InvalidInputError) as wrong:
        enrol(tmp_path, bridge_id, [node])
    assert wrong.value.field == field
    assert enrolled(tmp_path) == {"hall-3": [THEIRS]}


@pytest.fixture
def running(fresh_home: Path) -> Iterator[Path]:
    shop = Shop(fresh_home).wait_ready()
    yield fresh_home
    shop.end(15)


def told(home: Path, *words: str) -> Result:
    found = CliRunner().invoke(application(["bridge"]), ["bridge", *words, "--home", str(home)])
    return found


def test_imewe_up_takes_an_enrolled_bridge_in_without_a_restart(running: Path) -> None:
    said = json.loads(told(running, "enrol", "hall-2", "--node", MINE, "--json").stdout)
    assert (said["known"], said["nodes"]) == (True, [MINE])
    path = Path(said["credentials"])
    assert list(json.loads(path.read_text())) == [USER]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asyncio.run(_unanswered(Settings(home=running, nats_credentials=path)))


async def _unanswered(settings: Settings) -> None:
    """Its command is let through, and nobody is there to take it."""
    async with connected(settings, USER) as bridge:
        with pytest.raises(nats.errors.NoRespondersError):
            await bridge.request("imewe.command.bridge.hall-2.AcceptBuild", b"", timeout=1)


def test_a_bridge_can_be_enrolled_before_the_first_start(fresh_home: Path) -> None:
    said = json.loads(told(fresh_home, "enrol", "hall-2", "--json").stdout)
    assert said["known"] is False
    assert told(fresh_home, "enrol", "local").exit_code == 1

"""The service as it runs under the supervisor: a real log, a real database, real signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from commands.application import Imewe
from ops.eventstore.client import Client
from ops.eventstore.jetstream import environment_of
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import ensure_streams
from ops.messaging.connection import address, connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.services import ping_all
from ops.settings import Settings
from projections.catalogue import CATALOGUE
from tests.projecting import dumped, migrated, positions, project, until_all_at
from tests.stories import Shop, Story

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.stack


@dataclass
class LoggedStory(Story):
    """Tells its events to the real log."""

    application: Imewe | None = None
    position: int = 0

    def tell(self, *aggregates: Any) -> None:
        assert self.application is not None
        for aggregate in aggregates:
            if aggregate.pending_events:
                self.position = self.application.record(aggregate, envelope=self.envelope())


def log_client(settings: Settings, user: str) -> Client:
    return Client(address(settings, user))


@pytest.fixture
def story(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[LoggedStory]:
    with closing(log_client(fresh_settings, "log_supervisor")) as client:
        ensure_streams(client)
    application = Imewe(environment_of(address(fresh_settings, "log_commands")))
    yield LoggedStory(application=application)
    application.close()


@contextmanager
def service(settings: Settings, database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "ops.cli.main", "run", "projections", "--home", str(settings.home)],
        cwd=ROOT,
        env={**os.environ, "IMEWE_DATABASE_URL": database_url, "IMEWE_LOG_FORMAT": "json"},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def test_the_service_follows_announces_and_stops(
    story: LoggedStory, fresh_settings: Settings, database_url: str
) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(message: Msg) -> None:
        heard.append({"on": message.subject, **json.loads(message.data)})

    client = await connect(fresh_settings, "gateway", allow_reconnect=False)
    await client.subscribe("imewe.projected.>", cb=hear)
    await client.flush()
    shop = await asyncio.to_thread(Shop.opened, story)
    job = await asyncio.to_thread(shop.make)
    with service(fresh_settings, database_url) as child, migrated(database_url) as connection:
        await asyncio.to_thread(until_all_at, connection, story.position)
        began = time.monotonic()
        second = await asyncio.to_thread(shop.make)
        await asyncio.to_thread(until_all_at, connection, story.position)
        assert time.monotonic() - began < 30
        found = await ping_all(client)
        assert [each.name for each in found] == ["projections"]
        child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(child.wait, 30) == 0
        assert time.monotonic() - began < 10
    keys = {key for said in heard if said["on"] == "imewe.projected.jobs" for key in said["keys"]}
    assert keys == {str(job.id), str(second.id)}
    assert {said["on"].rpartition(".")[2] for said in heard} == set(positions_of(database_url))
    await client.close()


def positions_of(database_url: str) -> dict[str, int]:
    with migrated(database_url) as connection:
        return positions(connection)


def test_kills_and_restarts_lose_and_repeat_nothing(
    story: LoggedStory, fresh_nats: EmbeddedNats, fresh_settings: Settings, database_url: str
) -> None:
    shop = Shop.opened(story)
    with migrated(database_url) as connection:
        with service(fresh_settings, database_url):
            shop.make()
        with service(fresh_settings, database_url) as child:
            shop.make()
            until_all_at(connection, story.position)
            fresh_nats.kill()
            fresh_nats.stop()
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            fresh_nats.start()
            shop.make()
            until_all_at(connection, story.position)
            assert child.poll() is None
        served = dumped(connection)
        with closing(log_client(fresh_settings, "projections")) as client:
            events = LogReader.through_import(client)
            everything = events.read(0, 5000)
            events.close()
        connection.execute("DROP SCHEMA imewe, telemetry CASCADE")
        for each in CATALOGUE:
            connection.execute(f"DROP SCHEMA {each.name}_v{each.version} CASCADE".encode())
    with migrated(database_url) as connection:
        project(connection, everything)
        assert dumped(connection) == served

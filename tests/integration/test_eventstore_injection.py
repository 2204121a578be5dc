"""Nobody outside the LOG account writes to the log, whatever reply subject is tried.

nats-server answers a request wherever its reply subject points, and a stream that listens there
stores the answer. The wall between the accounts is what stops that; the first test shows that the
same tricks do work inside it, so the others prove something.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
import pytest

from domain.shared.errors import ImeweError
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.eventstore.streams import LogNames, ensure_streams
from ops.eventstore.wire import Connection, publication
from ops.messaging.accounts import APP_USERS, LOG_USERS
from ops.messaging.server import EmbeddedNats, credentials
from ops.settings import Settings
from tests.eventlog import OwnLog, fact

TARGET = "imewe.events.job.injected"
HEAD = "imewe.heads.head"
CHANGES = ("UPDATE", "DELETE", "PURGE", "RESTORE", "MSG.DELETE")


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[OwnLog]:
    shop = OwnLog(server=fresh_nats, passwords=credentials(fresh_settings.home), names=LogNames())
    supervisor = Client(shop.address("log_supervisor"))
    ensure_streams(supervisor)
    supervisor.close()
    shop.factory().application_recorder().insert_events([fact(uuid4(), 1)])
    yield shop
    for factory in shop.factories:
        factory.close()


def tell(shop: OwnLog, user: str, *frames: bytes) -> None:
    """Send one after the other and do not mind what the server thinks of it."""
    connection = Connection(shop.address(user), time.monotonic() + 5)
    for frame in frames:
        connection.send(frame)
        with contextlib.suppress(ImeweError):
            connection.flush(time.monotonic() + 5)
    connection.close()


def asking_for(subject: str, payload: Any = None, *, target: str) -> bytes:
    """A request whose answer shall land in the log."""
    body = b"" if payload is None else orjson.dumps(payload)
    return publication(subject, body, reply=target)


def making(subject: str, payload: Any) -> bytes:
    return publication(subject, orjson.dumps(payload), reply="_INBOX.nobody")


def logged(shop: OwnLog) -> int:
    client = Client(shop.address("log_commands"))
    reader = LogReader(client)
    time.sleep(0.1)
    position = reader.last_position()
    client.close()
    return position


def tricks(target: str = TARGET) -> dict[str, list[bytes]]:
    asking = partial(asking_for, target=target)
    api = "$JS.API"
    stream = {"name": "MINE", "subjects": ["mine.>"], "storage": "memory"}
    pull = {"stream_name": "MINE", "config": {"durable_name": "C", "ack_policy": "none"}}
    push = {
        "stream_name": "MINE",
        "config": {"durable_name": "P", "ack_policy": "none", "deliver_subject": target},
    }
    seed = [making(f"{api}.STREAM.CREATE.MINE", stream), publication("mine.x", b"forged")]
    republish = {**stream, "republish": {"src": "mine.>", "dest": target}}
    into = {"name": "MINE", "subjects": ["imewe.events.>", "imewe.heads.>"], "storage": "memory"}
    return {
        "publish": [publication(target, b"forged")],
        "account info": [asking(f"{api}.INFO")],
        "stream info": [asking("imewe.log.info"), asking(f"{api}.STREAM.INFO.IMEWE_EVENTS")],
        "direct get": [
            asking("imewe.log.get", {"seq": 1}),
            asking(f"{api}.DIRECT.GET.IMEWE_EVENTS", {"seq": 1}),
            *seed,
            asking(f"{api}.DIRECT.GET.MINE", {"seq": 1}),
        ],
        "consumer info": [
            *seed,
            making(f"{api}.CONSUMER.CREATE.MINE.C", pull),
            asking(f"{api}.CONSUMER.INFO.MINE.C"),
        ],
        "pull": [
            *seed,
            making(f"{api}.CONSUMER.CREATE.MINE.C", pull),
            asking(f"{api}.CONSUMER.MSG.NEXT.MINE.C", {"batch": 1}),
        ],
        "push consumer": [*seed, making(f"{api}.CONSUMER.CREATE.MINE.P", push)],
        "republish": [
            making(f"{api}.STREAM.CREATE.MINE", republish),
            publication("mine.x", b"forged"),
        ],
        "a stream of the same subjects": [
            making(f"{api}.STREAM.CREATE.MINE", into),
            publication(target, b"forged"),
        ],
        "service ping": [asking("$SRV.PING")],
    }


@pytest.mark.parametrize("trick", ["account info", "direct get", "stream info"])
def test_inside_the_account_of_the_log_the_trick_works(shop: OwnLog, trick: str) -> None:
    tell(shop, "log_commands", *tricks()[trick])
    assert logged(shop) > 1


@pytest.mark.parametrize("user", APP_USERS)
def test_no_trick_works_from_the_other_account(shop: OwnLog, user: str) -> None:
    for frames in tricks().values():
        tell(shop, user, *frames)
    assert logged(shop) == 1


@pytest.mark.parametrize("user", APP_USERS)
def test_no_trick_puts_anything_among_the_signed_heads(shop: OwnLog, user: str) -> None:
    for frames in tricks(HEAD).values():
        tell(shop, user, *frames)
    time.sleep(0.1)
    client = Client(shop.address("log_notary"))
    assert client.api("STREAM.INFO.IMEWE_HEADS")["state"]["last_seq"] == 0
    client.close()


@pytest.mark.parametrize("user", [*LOG_USERS, *APP_USERS])
def test_nobody_can_change_or_erase_the_log(shop: OwnLog, user: str) -> None:
    payload = {"name": "IMEWE_EVENTS", "max_msgs": 1, "seq": 1}
    for verb in CHANGES:
        client = Client(shop.address(user), timeout=0.5)
        with pytest.raises(ImeweError):
            client.api(f"STREAM.{verb}.IMEWE_EVENTS", payload)
        client.close()
    assert logged(shop) == 1


@pytest.mark.parametrize("user", ["log_processes", "log_supervisor"])
def test_only_the_writer_may_publish_to_the_log(shop: OwnLog, user: str) -> None:
    tell(shop, user, publication(TARGET, b"forged"))
    assert logged(shop) == 1

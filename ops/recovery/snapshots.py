"""Whole streams in and out: JetStream's own snapshot, which keeps sequences and timestamps.

A snapshot is what nats-server sends for ``STREAM.SNAPSHOT`` (NATS ADR-8): chunks, of which
the server has some acknowledged, so that it does not run ahead. It is taken while the stream goes
on, and holds what was stored when it was asked for.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.shared.errors import UnavailableError
from ops.messaging.streams import ask

CHUNK_BYTES = 128 << 10
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One stream in a file: what the server needs beside its bytes, and their digest."""

    stream: str
    config: dict[str, Any]
    state: dict[str, Any]
    size: int
    sha256: str

    @property
    def last_sequence(self) -> int:
        """The newest message in it."""
        return int(self.state.get("last_seq", 0))


async def take(client: Client, stream: str, file: BinaryIO) -> Snapshot:
    """Write a snapshot of ``stream`` to ``file``. Raises ``UnavailableError``."""
    inbox = client.new_inbox()
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=arrived.put)
    try:
        request = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "no_consumers": True}
        answer = await ask(client, f"STREAM.SNAPSHOT.{stream}", request)
        if "error" in answer:
            raise UnavailableError(f"stream {stream}: {answer['error'].get('description')}")
        size, digest = await _receive(arrived, stream, file)
    finally:
        await subscription.unsubscribe()
    return Snapshot(
        stream=stream,
        config=answer["config"],
        state=answer["state"],
        size=size,
        sha256=digest,
    )


async def give(client: Client, snapshot: Snapshot, chunks: Iterable[bytes]) -> None:
    """Make the stream again from its snapshot; there must be none of that name."""
    wanted = {"config": snapshot.config, "state": snapshot.state}
    answer = await ask(client, f"STREAM.RESTORE.{snapshot.stream}", wanted)
    if "error" in answer:
        raise UnavailableError(f"stream {snapshot.stream}: {answer['error'].get('description')}")
    target = answer["deliver_subject"]
    for chunk in chunks:
        told = await _say(client, target, chunk)
        if told.startswith(b"-ERR"):
            raise UnavailableError(f"stream {snapshot.stream}: {told.decode(errors='replace')}")
    made = json.loads(await _say(client, target, b""))
    if "error" in made:
        raise UnavailableError(f"stream {snapshot.stream}: {made['error'].get('description')}")


async def _receive(arrived: asyncio.Queue[Msg], stream: str, file: BinaryIO) -> tuple[int, str]:
    size, digest = 0, sha256()
    while True:
        try:
            message = await asyncio.wait_for(arrived.get(), PATIENCE_S)
        except TimeoutError as error:
            raise UnavailableError(f"the snapshot of {stream} stopped at {size} bytes") from error
        if not message.data:
            status = (message.headers or {}).get("Status", "204")
            if status != "204":
                raise UnavailableError(f"the snapshot of {stream} ended with {status}")
            return size, digest.hexdigest()
        file.write(message.data)
        size += len(message.data)
        digest.update(message.data)
        if message.reply:  # the server asks for a sign now and then
            await message.respond(b"")


async def _say(client: Client, subject: str, body: bytes) -> bytes:
    try:
        return (await client.request(subject, body, timeout=PATIENCE_S)).data
    except (nats.errors.Error, OSError) as error:
        raise UnavailableError(f"nats-server stopped taking the snapshot: {error}") from error

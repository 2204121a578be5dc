"""``imewe backup``: copies log, artifacts and keys while everything goes on.

Streams are copied in an order in which a later one can only know more than an earlier one needs:
the processes' position before the log they have read, the log before the files that its events
name, keys last. So a backup never holds an event whose file is missing.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from nats.aio.client import Client

from domain.shared.errors import ConflictError, InvalidInputError
from ops.eventstore.client import Client as LogClient
from ops.eventstore.envelope import time_text
from ops.eventstore.keyring import key_encryption_key
from ops.eventstore.reader import LogReader
from ops.messaging.accounts import ARTIFACTS
from ops.messaging.connection import address, connect
from ops.messaging.serving import demand_home, runs, served
from ops.recovery.manifest import Copy, Manifest, digest_of
from ops.recovery.snapshots import Snapshot, take
from ops.settings import Settings

LOG_PART = ("KV_IMEWE_LEASES", "IMEWE_TIMERS", "IMEWE_HEADS", "IMEWE_EVENTS", "IMEWE_AUDIT")
"""In this order: what was signed is never ahead of the events that it covers."""
ARTIFACTS_PART = (f"OBJ_{ARTIFACTS}",)
KEYS_PART = ("KV_IMEWE_SECRETS",)
JOURNAL = "bridge/journal.db"
PLAIN = ("machines.json",)
SECRET = ("kek", "admin.json", "notary.json")

Told = Callable[[str, int], None]
"""Hears the name of each part and its size in bytes once it is there."""


async def back_up(
    settings: Settings, folder: Path, *, keys: Path, told: Told = lambda _name, _size: None
) -> Manifest:
    """Copy a running or a stopped installation to an empty ``folder``; the keys go to ``keys``.

    Raises ``InvalidInputError`` when a folder is not empty, and what ``served`` does.
    """
    if not runs(settings):
        demand_home(settings.home)
    for each in (folder, keys):
        _make_empty(each)
    with served(settings):
        return await _copy(settings, folder, keys, told)


async def _copy(settings: Settings, folder: Path, keys: Path, told: Told) -> Manifest:
    snapshots: dict[str, Snapshot] = {}
    parts = (
        ("log_backup", folder / "log", LOG_PART),
        ("backup", folder / "artifacts", ARTIFACTS_PART),
        ("log_backup", keys, KEYS_PART),
    )
    kek = key_encryption_key(settings.home)
    for user, place, streams in parts:
        place.mkdir(mode=0o700, exist_ok=True)
        part = "keys" if place == keys else place.name
        client = await connect(settings, user, allow_reconnect=False)
        try:
            for stream in streams:
                snapshot = await _take(client, stream, place / f"{stream}.snapshot")
                snapshots[f"{part}/{stream}.snapshot"] = snapshot
                told(stream, snapshot.size)
        finally:
            await client.close()
    files = _plain_files(settings.home, folder / "log") | _secret_files(settings.home, keys)
    if key_encryption_key(settings.home) != kek:
        raise ConflictError(
            "the key-encryption key was rotated meanwhile; this is no backup",
            remedy="back up again into a new folder",
        )
    last = snapshots["log/IMEWE_EVENTS.snapshot"].last_sequence
    manifest = Manifest(
        taken_at=time_text(datetime.now(UTC)),
        version=version("imewe"),
        last_sequence=last,
        last_hash=_hash_at(settings, last),
        kek_id=kek_id(kek),
        snapshots=snapshots,
        files=files,
    )
    manifest.write(folder)
    return manifest


async def _take(client: Client, stream: str, place: Path) -> Snapshot:
    with _private(place) as file:
        return await take(client, stream, file)


def _private(place: Path) -> BinaryIO:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def kek_id(kek: bytes) -> str:
    """Names a key-encryption key without telling it."""
    return hashlib.sha256(b"imewe backup kek" + kek).hexdigest()[:16]


def _hash_at(settings: Settings, sequence: int) -> str:
    if sequence == 0:
        return ""
    with (
        closing(LogClient(address(settings, "log_processes"))) as client,
        closing(LogReader(client)) as reader,
    ):
        return reader.read_raw(sequence - 1, 1)[0].hash


def _plain_files(home: Path, folder: Path) -> dict[str, Copy]:
    files = {}
    journal = home / JOURNAL
    if journal.exists():
        place = folder / "journal.db"
        with closing(sqlite3.connect(journal)) as live, closing(sqlite3.connect(place)) as copied:
            live.backup(copied)
        files["log/journal.db"] = _described(JOURNAL, place)
    for name in PLAIN:
        if (home / name).exists():
            shutil.copyfile(home / name, folder / name)
            files[f"log/{name}"] = _described(name, folder / name)
    return files


def _secret_files(home: Path, keys: Path) -> dict[str, Copy]:
    files = {}
    found = [*SECRET, *(f"keys/{each.name}" for each in sorted((home / "keys").glob("[!.]*")))]
    for name in found:
        place = keys / name.replace("/", "-")
        if (home / name).exists():
            shutil.copyfile(home / name, place)
            place.chmod(0o600)
            files[f"keys/{place.name}"] = _described(name, place)
    return files


def _described(name: str, place: Path) -> Copy:
    size, digest = digest_of(place)
    return Copy(name=name, size=size, sha256=digest)


def _make_empty(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidInputError(
            f"{folder} is not empty", field="output", remedy="choose a new folder"
        )

"""``imewe restore``: makes an installation from a backup, and believes nothing of it unseen.

Every file is compared with the manifest before anything is made. The streams come back with their
sequences and timestamps; then the hash chain is checked over the whole log, and every artifact
against its digest. The keys must be the very ones of the manifest. Read models are not in a backup:
the first start folds them from the log.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from domain.shared.errors import ImeweError
from ops.artifacts.checking import damaged_artifacts
from ops.eventstore.chain import ChainCheck
from ops.eventstore.client import Client as LogClient
from ops.eventstore.reader import LogReader
from ops.hosting.account import server_account
from ops.hosting.errors import HostingError
from ops.hosting.home import held, make_home
from ops.messaging.accounts import APP, LOG
from ops.messaging.connection import address
from ops.recovery.backup import kek_id
from ops.recovery.manifest import DamagedBackupError, Manifest, chunks_of
from ops.recovery.server import RecoveryNats
from ops.recovery.snapshots import give
from ops.settings import Settings

STRETCH = 1000
Told = Callable[[str, int], None]
"""Hears what was done, and a count: bytes of a stream, events checked, artifacts checked."""


class WrongKeyError(ImeweError):
    """These keys do not open what this backup holds."""

    code = "WRONG_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored and checked."""

    home: str
    taken_at: str
    events: int
    last_hash: str
    artifacts: int


async def restore(
    settings: Settings, folder: Path, *, keys: Path, told: Told = lambda _what, _count: None
) -> Restored:
    """Make ``settings.home``, which must be empty or not there.

    Raises ``InvalidInputError`` (no backup), ``DamagedBackupError``, ``WrongKeyError`` before
    anything was made. What fails later leaves a home that must be thrown away, and says so.
    """
    manifest = Manifest.read(folder)
    places = {path: _place(path, folder, keys) for path in (*manifest.snapshots, *manifest.files)}
    _check_kek(manifest, places)
    for path, place in places.items():
        manifest.check(path, place)
    home = settings.home
    if home.exists() and any(home.iterdir()):
        raise HostingError(
            f"{home} is not empty", field="home", remedy="restore into a new folder with --home"
        )
    make_home(home)
    with held(home):
        _put_files(manifest, places, home)
        server = RecoveryNats(
            home, server_account(settings.server_account), store_bytes=settings.store_bytes
        )
        server.start()
        try:
            await _put_streams(server, manifest, places, told)
            return await _checked(settings, server, manifest, told)
        finally:
            server.stop()


def _place(path: str, folder: Path, keys: Path) -> Path:
    part, _, name = path.partition("/")
    return keys / name if part == "keys" else folder / part / name


def _check_kek(manifest: Manifest, places: Mapping[str, Path]) -> None:
    text = b"".join(chunks_of(places["keys/kek"])).decode(errors="replace")
    try:
        found = kek_id(bytes.fromhex(text))
    except ValueError:
        found = "no key at all"
    if found != manifest.kek_id:
        raise WrongKeyError(
            f"these keys ({found}) are not those of this backup ({manifest.kek_id})",
            field="keys",
            remedy="name the folder with its own keys: --keys",
        )


def _put_files(manifest: Manifest, places: Mapping[str, Path], home: Path) -> None:
    for path, copy in manifest.files.items():
        target = home / copy.name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(places[path], target)
        target.chmod(0o600)


async def _put_streams(
    server: RecoveryNats, manifest: Manifest, places: Mapping[str, Path], told: Told
) -> None:
    for path, snapshot in manifest.snapshots.items():
        account = APP if path.startswith("artifacts/") else LOG
        async with server.connected(account) as client:
            await give(client, snapshot, chunks_of(places[path]))
        told(snapshot.stream, snapshot.size)


async def _checked(
    settings: Settings, server: RecoveryNats, manifest: Manifest, told: Told
) -> Restored:
    with (
        closing(LogClient(address(settings, "log_commands"))) as client,
        closing(LogReader(client)) as reader,
    ):
        last_hash = _check_log(reader, manifest)
    told("events checked", manifest.last_sequence)
    async with server.connected(APP) as app:
        count, damaged = await damaged_artifacts(app)
    if damaged:
        raise DamagedBackupError(f"artifact {damaged[0]} is not what its name says")
    told("artifacts checked", count)
    return Restored(
        home=str(settings.home),
        taken_at=manifest.taken_at,
        events=manifest.last_sequence,
        last_hash=last_hash,
        artifacts=count,
    )


def _check_log(reader: LogReader, manifest: Manifest) -> str:
    check, position, last_hash = ChainCheck(), 0, ""
    while records := reader.read_raw(position, STRETCH):
        for record in records:
            if flaw := check.take(record):
                raise DamagedBackupError(f"event {flaw.sequence}: {flaw.reason}")
            last_hash = record.hash
        position = records[-1].sequence
    if flaw := check.end(manifest.last_sequence):
        raise DamagedBackupError(f"event {flaw.sequence}: {flaw.reason}")
    if last_hash != manifest.last_hash:
        raise DamagedBackupError(f"the log does not end with {manifest.last_hash}")
    return last_hash

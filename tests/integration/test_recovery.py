"""Backups of a running and of a stopped installation, and what is made of them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.shared.errors import ConflictError
from ops.cli.client import Client
from ops.eventstore.keyring import Keyring
from ops.recovery.backup import back_up
from ops.settings import CHECKOUT, Settings
from tests.gateway_stack import GCODE, Stack, history_after, submitted, up

EVENTS = "log/IMEWE_EVENTS.snapshot"


@pytest.fixture(scope="module")
def outer() -> Iterator[Path]:
    """A folder that the servers' account may enter."""
    made = Path(tempfile.mkdtemp(prefix="imewe-recovery-"))
    if os.geteuid() == 0:
        made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def backed_up(outer: Path) -> dict[str, Any]:
    """A backup taken while orders came in: what it says, and what had been acknowledged before."""
    with up(outer / "home", told=outer / "up.json") as stack, stack.client() as client:
        digest = str(client.upload(GCODE)["digest"])
        made = [submitted(client, digest) for _ in range(3)]
        signed = _signed(stack)
        stop = threading.Event()
        writer = threading.Thread(target=_keep_ordering, args=(stack, digest, stop))
        writer.start()
        try:
            told = imewe("backup", outer / "backup", "--home", stack.home, "--json")
        finally:
            stop.set()
            writer.join()
        return {
            "manifest": json.loads(told.stdout),
            "jobs": [each["jobId"] for each in made],
            "digest": digest,
            "signed": signed,
            "admin": stack.admin,
            "end": _end(client, at_least=submitted(client, digest)["position"]),
            "history": history_after(client, "0"),
        }


def _end(client: Client, *, at_least: str) -> int:
    """The newest position, once the history has come to ``at_least``."""
    query = """query($at: Position) { eventHistory(first: 1, newestFirst: true, atLeast: $at) {
      edges { node { position } } } }"""
    edges = client.execute(query, {"at": at_least})["eventHistory"]["edges"]
    return int(edges[0]["node"]["position"])


def _signed(stack: Stack) -> int:
    """How many events are signed, once the notary was made to sign."""
    assert stack.run("login").exit_code == 0
    _until_following(stack)
    assert stack.run("audit", "rotate").exit_code == 0
    return int(_until_following(stack)["sizeSigned"])


def _until_following(stack: Stack) -> dict[str, Any]:
    until = time.monotonic() + 30
    while (status := json.loads(stack.run("audit", "status", "--json").stdout))[
        "phase"
    ] != "following":
        assert time.monotonic() < until, status
        time.sleep(0.1)
    return dict(status)


def _keep_ordering(stack: Stack, digest: str, stop: threading.Event) -> None:
    with stack.client() as client:
        while not stop.is_set():
            submitted(client, digest)


def imewe(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ops.cli.main", *map(str, words)]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def copied(outer: Path, name: str) -> Path:
    """The backup again, to be damaged."""
    shutil.copytree(outer / "backup", outer / name)
    return outer / name


def test_a_backup_taken_under_load_is_a_prefix_of_the_log_and_holds_all_acknowledged_before(
    backed_up: dict[str, Any],
) -> None:
    last = backed_up["manifest"]["last_sequence"]
    assert len(backed_up["jobs"]) <= last <= backed_up["end"]
    assert backed_up["manifest"]["last_hash"].startswith("sha256:")


def test_keys_lie_apart_and_only_their_owner_reads_them(
    outer: Path, backed_up: dict[str, Any]
) -> None:
    keys = outer / "backup" / "keys"
    names = {each.name for each in keys.iterdir()}
    assert {"kek", "admin.json", "KV_IMEWE_SECRETS.snapshot", "keys-token-private.pem"} <= names
    assert all(each.stat().st_mode & 0o077 == 0 for each in keys.iterdir())
    kek = (keys / "kek").read_bytes()
    others = [each for part in ("log", "artifacts") for each in (outer / "backup" / part).iterdir()]
    assert others
    assert all(kek not in each.read_bytes() for each in others)


def test_a_restored_installation_has_the_same_log_files_people_and_orders(
    outer: Path, backed_up: dict[str, Any]
) -> None:
    home = outer / "again"
    told = json.loads(imewe("restore", outer / "backup", "--home", home, "--json").stdout)
    assert told["events"] == backed_up["manifest"]["last_sequence"]
    assert told["artifacts"] >= 1
    with up(home, told=outer / "again.json") as stack:
        assert stack.admin == backed_up["admin"]
        with stack.client() as client:
            for job_id in backed_up["jobs"]:
                asked = {"id": job_id, "at": str(told["events"])}
                query = "query($id: ID!, $at: Position) { job(id: $id, atLeast: $at) { name } }"
                assert client.execute(query, asked)["job"] == {"name": "clips"}
            assert _end(client, at_least=str(told["events"])) >= told["events"]
            kept = [p for p in backed_up["history"] if int(p) <= told["events"]]
            assert history_after(client, "0")[: len(kept)] == kept
            assert submitted(client, backed_up["digest"])["jobId"]
        assert _signed(stack) > backed_up["signed"] > 0
        notary = _until_following(stack)
        assert (notary["flaw"], notary["keyNumber"]) == (None, 3)


def test_a_stopped_installation_is_backed_up_too(outer: Path, backed_up: dict[str, Any]) -> None:
    told = imewe("backup", outer / "cold", "--home", outer / "home", "--json")
    manifest = json.loads(told.stdout)
    assert manifest["last_sequence"] >= backed_up["end"]
    assert manifest["kek_id"] == backed_up["manifest"]["kek_id"]


def test_the_wrong_keys_are_named_as_such_and_nothing_is_made(
    outer: Path, backed_up: dict[str, Any]
) -> None:
    other = copied(outer, "other-keys") / "keys"
    (other / "kek").write_text("ab" * 32)
    done = imewe("restore", outer / "backup", "--keys", other, "--home", outer / "none", code=1)
    assert "not those of this backup" in done.stderr
    assert not (outer / "none").exists()


@pytest.mark.parametrize("path", [EVENTS, "artifacts/OBJ_IMEWE_ARTIFACTS.snapshot", "keys/kek"])
def test_one_flipped_bit_is_named_and_nothing_is_made(
    outer: Path, backed_up: dict[str, Any], path: str
) -> None:
    damaged = copied(outer, f"flipped-{path.replace('/', '-')}")
    body = bytearray((damaged / path).read_bytes())
    body[len(body) // 2] ^= 1
    (damaged / path).write_bytes(body)
    done = imewe("restore", damaged, "--home", outer / "none", code=1)
    assert "not what was backed up" in done.stderr or "not those of this backup" in done.stderr
    assert not (outer / "none").exists()


def test_a_missing_file_an_unfinished_backup_and_a_full_home_are_refused(
    outer: Path, backed_up: dict[str, Any]
) -> None:
    part = copied(outer, "part")
    (part / EVENTS).unlink()
    assert "is missing" in imewe("restore", part, "--home", outer / "none", code=1).stderr
    (part / "manifest.json").unlink()
    refused = imewe("restore", part, "--home", outer / "none", code=1)
    assert "no finished backup" in refused.stderr
    taken = imewe("restore", outer / "backup", "--home", outer / "home", code=1)
    assert "is not empty" in taken.stderr
    assert (
        "is not empty" in imewe("backup", outer / "backup", "--home", outer / "home", code=1).stderr
    )


async def test_a_rotation_of_the_key_encryption_key_meanwhile_makes_no_backup(
    outer: Path, backed_up: dict[str, Any]
) -> None:
    keyring = Keyring(outer / "home")

    def rotate(_name: str, _size: int) -> None:
        keyring.begin_rotation()

    folder = outer / "rotated"
    with pytest.raises(ConflictError, match="rotated meanwhile"):
        await back_up(Settings(home=outer / "home"), folder, keys=folder / "keys", told=rotate)
    assert not (folder / "manifest.json").exists()

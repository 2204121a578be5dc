"""Attacks on the log's own files while the server is down: the check of the log names the event."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli.main import application
from ops.hosting.account import server_account
from ops.hosting.home import held
from ops.messaging.server import EmbeddedNats
from ops.notary.verify_imewe import verify
from tests.proving import proved_log


class Store:
    """A stopped home with a signed log."""

    def __init__(self, home: Path, size: int, job: str) -> None:
        self.home = home
        self.job = job
        self.size = size
        found = list(home.glob("nats/js/**/IMEWE_EVENTS/msgs/*.blk"))
        (self.block,) = found

    def place_of(self, sequence: int) -> int:
        """Where, in the block's file, the body of a message begins to be its own."""
        data = self.block.read_bytes()
        marks = [at for at in range(len(data)) if data.startswith(b"NATS/1.0", at)]
        return marks[sequence - 1]

    def change(self, sequence: int, found: bytes, instead: bytes) -> None:
        data = bytearray(self.block.read_bytes())
        at = data.index(found, self.place_of(sequence))
        assert at < (self.place_of(sequence + 1) if sequence < self.size else len(data))
        data[at : at + len(found)] = instead
        self.block.write_bytes(data)

    def verify(self, *words: str) -> tuple[int, dict[str, Any]]:
        command = ["audit", "--home", str(self.home), "verify", "--json", *words]
        done = CliRunner().invoke(application(("audit", "up")), command)
        assert done.stdout.startswith("{"), done.output
        return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def original() -> Iterator[Store]:
    outer = Path(tempfile.mkdtemp(prefix="imewe-test-"))
    if os.geteuid() == 0:
        outer.chmod(0o711)  # the servers' account must be able to enter
    home = outer / "home"
    server = EmbeddedNats(home, server_account())
    server.start()
    with proved_log(server, home) as log:
        size, job = log.size, log.jobs[0]
    server.stop()
    yield Store(home, size, job)
    shutil.rmtree(outer)


@pytest.fixture
def store(original: Store, fresh_home: Path) -> Store:
    """A copy of the stopped home, whose files belong to the same accounts."""
    subprocess.run(["cp", "-a", str(original.home), str(fresh_home)], check=True)
    return Store(fresh_home, original.size, original.job)


def test_an_untouched_log_is_verified(store: Store) -> None:
    code, found = store.verify()
    assert (code, found["verified"], found["checked"]) == (0, True, store.size)
    assert found["unsigned_tail"] > 0


def test_a_changed_header_in_the_block_file_is_named(store: Store) -> None:
    store.change(77, b"Imewe-Actor:anna", b"Imewe-Actor:mary")
    code, found = store.verify()
    assert (code, found["first_bad"]) == (1, 77)


@pytest.mark.parametrize("sequence", [2, 120])
def test_one_bit_of_a_body_in_the_block_file_is_named(store: Store, sequence: int) -> None:
    data = bytearray(store.block.read_bytes())
    data[data.index(b"{", store.place_of(sequence)) + 1] ^= 1
    store.block.write_bytes(data)
    code, found = store.verify()
    assert (code, found["first_bad"]) == (1, sequence)


def test_a_truncated_block_file_is_named_where_it_ends(store: Store) -> None:
    data = store.block.read_bytes()
    store.block.write_bytes(data[: store.place_of(200) + 40])
    code, found = store.verify()
    assert (code, found["first_bad"]) == (1, 200)
    assert "missing" in found["reason"]


def test_a_log_without_its_block_file_is_missing_from_the_first_event(store: Store) -> None:
    store.block.unlink()
    code, found = store.verify()
    assert (code, found["first_bad"]) == (1, 1)


def test_heads_that_were_removed_are_missed(store: Store) -> None:
    for each in store.home.glob("nats/js/**/IMEWE_HEADS/msgs/*"):
        each.unlink()
    code, found = store.verify()
    assert (code, found["verified"]) == (1, False)
    assert "heads" in found["reason"]


def test_a_head_that_was_kept_must_be_among_those_that_signed_the_log(
    store: Store, tmp_path: Path
) -> None:
    exported = tmp_path / "log.jsonl"
    command = ["audit", "--home", str(store.home), "export", "--offline", "--output", str(exported)]
    assert CliRunner().invoke(application(("audit",)), command).exit_code == 0
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    note = next(line["head"] for line in lines if "head" in line)
    kept = tmp_path / "kept.txt"
    kept.write_text(note)
    assert store.verify("--head", str(kept))[0] == 0
    size = note.split("\n")[1]
    kept.write_text(note.replace(f"\n{size}\n", f"\n{int(size) - 1}\n", 1))
    code, told = store.verify("--head", str(kept))
    assert (code, told["verified"]) == (1, False)
    assert "that you kept" in told["reason"]


def test_a_check_that_was_stopped_goes_on_where_it_was(store: Store) -> None:
    place = store.home.parent / "state.json"
    code, _ = store.verify("--state", str(place))
    assert (code, json.loads(place.read_text())["checked"]) == (0, store.size)
    store.change(77, b"Imewe-Actor:anna", b"Imewe-Actor:mary")
    assert store.verify("--state", str(place))[1]["checked"] == store.size, "not read again"
    assert store.verify("--state", str(place), "--afresh")[1]["first_bad"] == 77


def test_a_stopped_home_gives_a_proof_file(store: Store) -> None:
    output = store.home.parent / "log.jsonl.gz"
    command = ["audit", "--home", str(store.home), "export", "--offline", "--output", str(output)]
    done = CliRunner().invoke(application(("audit", "up")), command)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        application(("audit", "up")), ["audit", "verify", str(output), "--json"]
    )
    assert (done.exit_code, json.loads(done.stdout)["events"]) == (0, store.size)


def test_a_proof_needs_nothing_that_the_notary_kept(store: Store) -> None:
    shutil.rmtree(store.home / "notary")
    output = store.home.parent / "log.jsonl"
    command = ["audit", "--home", str(store.home), "export", "--offline", "--output", str(output)]
    for more in (["--from", "60"], ["--job", store.job]):
        output.unlink(missing_ok=True)
        done = CliRunner().invoke(application(("audit", "up")), [*command, *more])
        assert done.exit_code == 0, done.output
        assert verify(output)["verified"]


def test_a_home_that_runs_is_not_exported_offline(store: Store) -> None:
    command = ["audit", "--home", str(store.home), "export", "--offline"]
    with held(store.home):
        done = CliRunner().invoke(
            application(("audit", "up")), [*command, "--output", str(store.home / "x")]
        )
    assert (done.exit_code, "in use" in done.output) == (3, True)

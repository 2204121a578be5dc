"""What somebody may do to the log, to what was signed, and to the notary itself."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.eventstore.client import Client
from ops.eventstore.envelope import HASH, Record, hash_of
from ops.eventstore.streams import LogNames, heads_config
from ops.messaging.server import EmbeddedNats
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head, fingerprint, sign_head
from ops.notary.keys import load_key
from ops.notary.log_source import LogSource
from ops.notary.merkle import entry_of, leaf_hash, root
from ops.notary.sorted_map import MapEntry, map_root
from ops.notary.state import NotaryState
from ops.settings import CHECKOUT
from tests.eventlog import records
from tests.notarial import DEADLINE_S, Shop, following, opened_shop

SIGNED = 20
FIRST_HEAD = 10
AT = 8
"""The sequence that the attacks are about."""


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_home: Path) -> Iterator[Shop]:
    with opened_shop(fresh_nats, fresh_home) as opened:
        yield opened


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    """Of a notary that signed twenty events and stopped."""
    shop.write(SIGNED)
    with following(shop, tmp_path) as notary:
        notary.until_signed(SIGNED)
    return tmp_path


def rehashed(record: Record, **changes: str) -> Record:
    headers = record.headers | changes
    return replace(record, headers=headers | {HASH: hash_of(record.subject, headers, record.body)})


def changed_body(log: list[Record]) -> list[Record]:
    return [replace(r, body=r.body + b" ") if r.sequence == AT else r for r in log]


def changed_and_hashed_again(log: list[Record]) -> list[Record]:
    return [rehashed(r, **{"Imewe-Actor": "eve"}) if r.sequence == AT else r for r in log]


def changed_time(log: list[Record]) -> list[Record]:
    time_header = {"Nats-Time-Stamp": " 2026-11-22T00:00:00Z"}
    return [replace(r, headers=r.headers | time_header) if r.sequence == AT else r for r in log]


def dropped(log: list[Record]) -> list[Record]:
    return [record for record in log if record.sequence != AT]


def dropped_and_moved_up(log: list[Record]) -> list[Record]:
    return [replace(r, sequence=r.sequence - 1) if r.sequence > AT else r for r in dropped(log)]


def swapped(log: list[Record]) -> list[Record]:
    found = list(log)
    one, other = found[AT - 1], found[AT]
    found[AT - 1] = replace(other, sequence=AT)
    found[AT] = replace(one, sequence=AT + 1)
    return found


def cut(log: list[Record]) -> list[Record]:
    return log[: AT - 1]


ATTACKS = [
    changed_body,
    changed_and_hashed_again,
    changed_time,
    dropped,
    dropped_and_moved_up,
    swapped,
    cut,
]


class LyingSource(LogSource):
    """A log server that somebody has in hand: it gives out another log than it was told."""

    lie: Callable[[list[Record]], list[Record]]

    def read_raw(self, after: int, limit: int) -> list[Record]:
        whole = type(self).lie(super().read_raw(0, 1000))
        return [record for record in whole if record.sequence > after][:limit]

    def last_position(self) -> int:
        whole = self.read_raw(0, 1000)
        return whole[-1].sequence if whole else 0


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kept", ["with its files", "without its files"])
def test_a_log_that_was_changed_behind_its_back_is_refused_and_named(
    shop: Shop,
    home: Path,
    attack: Callable[[list[Record]], list[Record]],
    kept: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kept == "without its files":
        shutil.rmtree(home / "notary")
    shop.write(3)
    monkeypatch.setattr(LyingSource, "lie", staticmethod(attack), raising=False)
    monkeypatch.setattr("tests.notarial.LogSource", LyingSource)
    with following(shop, home) as notary:
        flaw = notary.until_flawed()
    assert notary.flaws == [flaw]
    if kept == "with its files" or attack in {changed_body, dropped, cut}:
        assert flaw.sequence == AT
    else:  # only chains and signed roots are left to compare with
        assert flaw.sequence <= FIRST_HEAD
    assert [head.size for head in shop.heads()][-1] == SIGNED


def test_a_flaw_in_what_is_new_stops_signing_at_once(
    shop: Shop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(3)

    def lie(log: list[Record]) -> list[Record]:
        return [replace(r, body=b"{}") if r.sequence == SIGNED + 2 else r for r in log]

    monkeypatch.setattr(LyingSource, "lie", staticmethod(lie), raising=False)
    monkeypatch.setattr("tests.notarial.LogSource", LyingSource)
    with following(shop, home) as notary:
        assert notary.until_flawed() == (SIGNED + 2, "content does not match its hash")
    assert [head.size for head in shop.heads()][-1] == SIGNED


def test_a_byte_changed_in_the_servers_files_is_found(
    shop: Shop, home: Path, fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    fresh_nats.stop()
    (block,) = fresh_home.glob("nats/**/IMEWE_EVENTS/msgs/*.blk")
    raw = bytearray(block.read_bytes())
    at = raw.index(f'"number":{AT - 1}'.encode()) + len('"number":')
    raw[at] ^= 1
    block.write_bytes(raw)
    fresh_nats.start()
    with following(shop, home) as notary:
        assert notary.until_flawed().sequence <= AT
    assert [head.size for head in shop.heads()][-1] == SIGNED


def test_another_log_in_the_place_of_the_signed_one_is_refused(
    shop: Shop, home: Path, fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    fresh_nats.stop()
    (folder,) = fresh_home.glob("nats/**/IMEWE_EVENTS")
    shutil.rmtree(folder)
    fresh_nats.start()
    with opened_shop(fresh_nats, fresh_home) as other:
        other.write(SIGNED + 5)
        with following(other, home) as notary:
            assert notary.until_flawed() == (1, "is not the event that was here before")


def test_heads_that_were_taken_away_are_missed(
    shop: Shop, home: Path, fresh_nats: EmbeddedNats, fresh_home: Path
) -> None:
    fresh_nats.stop()
    (folder,) = fresh_home.glob("nats/**/IMEWE_HEADS")
    shutil.rmtree(folder)
    fresh_nats.start()
    with opened_shop(fresh_nats, fresh_home) as again:
        again.write(1)
        with following(again, home) as notary:
            assert "newest head" in notary.until_flawed().reason
        assert again.heads() == []


def test_a_second_history_signed_by_a_stolen_key_is_a_flaw(shop: Shop, home: Path) -> None:
    """Whoever has the key and the stream can sign a lie, but not beside the truth."""
    client = Client(shop.address("log_notary"))
    stream = HeadStream(client)
    log = records(shop)
    entries = {r.subject: MapEntry(r.version, sequence=AT, hash="another") for r in log}
    *_, newest = stream.after(0)
    lie = Head(
        origin=shop.heads()[0].origin,
        size=SIGNED + 2,
        root=root([leaf_hash(b"another")] * (SIGNED + 2)),
        map_root=map_root(entries.items()),
        time="2026-11-22T10:00:00.000Z",
        before=fingerprint(newest.note),
    )
    stolen = load_key(home, lie.origin, 1)
    stream.append(sign_head(lie, stolen), is_key=False, after=newest.sequence)
    client.close()
    shop.write(5)
    with following(shop, home) as notary:
        assert notary.until_flawed().reason == "up to 22 is not what was signed"


def test_a_head_that_does_not_name_the_one_before_is_a_flaw(shop: Shop, home: Path) -> None:
    shop.write(1)
    log = records(shop)
    last = {r.subject: MapEntry(r.version, sequence=r.sequence, hash=r.hash) for r in log}
    client = Client(shop.address("log_notary"))
    stream = HeadStream(client)
    *_, newest = stream.after(0)
    head = replace(
        Head.read(newest.note.rpartition("\n\n")[0] + "\n"),
        size=len(log),
        root=root([leaf_hash(entry_of(record)) for record in log]),
        map_root=map_root(last.items()),
        before="ab" * 32,
    )
    note = sign_head(head, load_key(home, head.origin, 1))
    stream.append(note, is_key=False, after=newest.sequence)
    client.close()
    with following(shop, home) as notary:
        assert (
            notary.until_flawed().reason == "two heads that were signed do not follow one another"
        )


def test_an_old_head_that_is_put_into_the_stream_again_is_a_flaw(shop: Shop, home: Path) -> None:
    client = Client(shop.address("log_notary"))
    stream = HeadStream(client)
    *_, newest = stream.after(0)
    stream.append(newest.note, is_key=False, after=newest.sequence)
    client.close()
    with following(shop, home) as notary:
        assert "do not follow one another" in notary.until_flawed().reason


def test_the_stream_of_heads_is_as_lasting_as_the_log() -> None:
    config = heads_config(LogNames())
    assert (config["deny_delete"], config["deny_purge"], config["max_bytes"]) == (True, True, -1)


def test_a_notary_that_is_killed_again_and_again_leaves_trees_that_fit(
    shop: Shop, fresh_home: Path, long_tests: bool
) -> None:
    environment = os.environ | {"IMEWE_HEAD_EVENTS": "7", "IMEWE_HEAD_SECONDS": "1"}
    command = [sys.executable, "-P", "-m", "ops.cli.main", "run", "notary"]
    chance = random.Random(7)
    shop.write(50)
    for _ in range(40 if long_tests else 3):
        running = subprocess.Popen(
            [*command, "--home", str(fresh_home)],
            env=environment,
            cwd=CHECKOUT,
            stderr=subprocess.DEVNULL,
        )
        signed = len(shop.heads())
        until = time.monotonic() + DEADLINE_S
        while len(shop.heads()) == signed and time.monotonic() < until:
            shop.write(9)
        for _ in range(chance.randrange(20)):
            shop.write(1)
        running.send_signal(signal.SIGKILL)
        running.wait()
    last = records(shop)[-1].sequence
    with following(shop, fresh_home, events=7) as notary:
        status = notary.until_signed(last)
    assert status.flaw is None
    leaves = [leaf_hash(entry_of(record)) for record in records(shop)]
    heads = shop.heads()
    assert len(heads) > 3
    assert [head.root for head in heads] == [root(leaves[: head.size]) for head in heads]
    state = NotaryState(fresh_home)
    assert state.map.root() == heads[-1].map_root
    state.close()

"""The notary on a real log: what it signs, what it refuses, and how it goes on after an end."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.shared.errors import ConflictError
from ops.eventstore.client import Client
from ops.messaging.server import EmbeddedNats
from ops.notary.heads import fingerprint, open_note
from ops.notary.keys import key_path, open_rotation
from ops.notary.merkle import entry_of, leaf_hash, root
from ops.notary.sorted_map import MapEntry, map_root
from ops.notary.state import NotaryState
from tests.eventlog import records
from tests.notarial import Shop, following, opened_shop


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_home: Path) -> Iterator[Shop]:
    with opened_shop(fresh_nats, fresh_home) as opened:
        yield opened


def test_a_head_covers_the_log_and_every_aggregates_last_event(shop: Shop, tmp_path: Path) -> None:
    shop.write(7)
    with following(shop, tmp_path) as notary:
        notary.until_signed(7)
    log = records(shop)
    last = {r.subject: MapEntry(r.version, r.sequence, r.hash) for r in log}
    head = shop.heads()[-1]
    assert (head.size, head.before == "") == (7, len(shop.heads()) == 1)
    assert head.root == root([leaf_hash(entry_of(record)) for record in log])
    assert head.map_root == map_root(last.items())


def test_heads_come_after_so_many_events_and_name_the_one_before(
    shop: Shop, tmp_path: Path
) -> None:
    shop.write(25)
    with following(shop, tmp_path, seconds=3600) as notary:
        notary.until_signed(20)
        shop.write(5)
        notary.until_signed(30)
        *_, first, second, third = notary.stream.after(0)
    assert [head.size for head in shop.heads()] == [10, 20, 30]
    assert shop.heads()[1].before == fingerprint(first.note)
    assert shop.heads()[2].before == fingerprint(second.note)
    assert third.sequence == 4


def test_nothing_is_signed_where_nothing_is_new(shop: Shop, tmp_path: Path) -> None:
    shop.write(3)
    with following(shop, tmp_path, seconds=0.05) as notary:
        notary.until_signed(3)
    with following(shop, tmp_path, seconds=0.05) as notary:
        notary.until(lambda status: status.phase == "following")
        shop.write(1)
        notary.until_signed(4)
    assert [head.size for head in shop.heads()] == [3, 4]


def test_a_new_key_signs_after_a_rotation_that_both_keys_signed(shop: Shop, tmp_path: Path) -> None:
    shop.write(4)
    with following(shop, tmp_path) as notary:
        notary.until_signed(4)
        notary.notary.rotate()
        shop.write(2)
        notary.until_signed(6)
        first, head, second, *_, newest = notary.stream.after(0)
        keys = notary.notary.known_keys()
    old = open_rotation(first.note, None)
    new = open_rotation(second.note, old.key)
    assert (
        [(key.number, key.size) for key, _ in keys]
        == [(1, 0), (2, 5)]
        == [(key.number, key.size) for key in (old, new)]
    )
    assert open_note(head.note, [old.key])
    assert open_note(newest.note, [new.key])
    assert key_path(tmp_path, 2).stat().st_mode & 0o777 == 0o600
    with following(shop, tmp_path) as notary:
        shop.write(1)
        assert notary.until_signed(7).flaw is None


def test_lost_files_are_made_again_from_the_log(shop: Shop, tmp_path: Path) -> None:
    shop.write(30)
    with following(shop, tmp_path) as notary:
        notary.until_signed(30)
    before = shop.heads()
    shutil.rmtree(tmp_path / "notary")
    with following(shop, tmp_path) as notary:
        shop.write(1)
        status = notary.until_signed(31)
    assert (status.flaw, status.taken) == (None, 31)
    assert shop.heads()[:-1] == before


@pytest.mark.parametrize("name", ["level-00", "level-01", "level-03"])
def test_damaged_hash_files_are_made_again_from_the_log(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    shop.write(20)
    with following(shop, tmp_path) as notary:
        notary.until_signed(20)
    path = tmp_path / "notary" / "tree" / name
    path.write_bytes(b"x" * path.stat().st_size)
    with following(shop, tmp_path) as notary:
        shop.write(1)
        assert notary.until_signed(21).flaw is None
    leaves = [leaf_hash(entry_of(record)) for record in records(shop)]
    assert shop.heads()[-1].root == root(leaves)


def test_what_was_not_saved_together_is_taken_again(shop: Shop, tmp_path: Path) -> None:
    shop.write(20)
    log = records(shop)
    state = NotaryState(tmp_path)
    assert state.take(log[:5]) is None
    state.save()
    assert state.take(log[5:12]) is None
    state.close()
    again = NotaryState(tmp_path)
    assert again.size == 5
    assert again.take(log[5:]) is None
    assert again.tree.root() == root([leaf_hash(entry_of(record)) for record in log])
    last = {r.subject: MapEntry(r.version, r.sequence, r.hash) for r in log}
    assert again.map.root() == map_root(last.items())
    again.close()


def test_leaves_that_were_lost_are_taken_again_with_the_map(shop: Shop, tmp_path: Path) -> None:
    shop.write(20)
    log = records(shop)
    state = NotaryState(tmp_path)
    state.take(log)
    state.save(head="a head")
    state.close()
    os.truncate(tmp_path / "notary" / "tree" / "level-00", 7 * 32)
    again = NotaryState(tmp_path)
    assert (again.size, again.kept("head")) == (0, "a head")
    assert again.take(log) is None
    again.close()


def test_a_home_without_the_key_signs_nothing_and_says_why(shop: Shop, tmp_path: Path) -> None:
    shop.write(3)
    with following(shop, tmp_path) as notary:
        notary.until_signed(3)
    key_path(tmp_path, 1).unlink()
    shop.write(1)
    with following(shop, tmp_path) as notary:
        notary.until(lambda status: "no key of the notary" in status.trouble)
        with pytest.raises(ConflictError, match="not signing"):
            notary.notary.rotate()
    assert [head.size for head in shop.heads()] == [3]


def test_two_notaries_of_one_home_do_not_both_open_its_files(shop: Shop, tmp_path: Path) -> None:
    shop.write(3)
    with following(shop, tmp_path) as first, following(shop, tmp_path) as second:
        busy, waiting = first, second
        first.until(
            lambda _: (
                "another notary" in (first.notary.status().trouble + second.notary.status().trouble)
            )
        )
        if first.notary.status().trouble:
            busy, waiting = second, first
        busy.until_signed(3)
        assert waiting.notary.status().phase == "starting"


def test_two_notaries_at_once_never_fork(shop: Shop, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    shop.write(3)
    with following(shop, one) as first:
        first.until_signed(3)
    shutil.copytree(one / "keys", other / "keys")
    with (
        following(shop, one, events=2, seconds=0.05) as first,
        following(shop, other, events=2, seconds=0.05) as second,
    ):
        for _ in range(20):
            shop.write(5)
        first.until_signed(103)
        second.until(lambda status: status.taken == 103)
        assert first.flaws == second.flaws == []
        notes = [each.note for each in first.stream.after(0) if not each.is_key]
    heads = shop.heads()
    assert [head.before for head in heads[1:]] == [fingerprint(note) for note in notes[:-1]]
    log = records(shop)
    leaves = [leaf_hash(entry_of(record)) for record in log]
    assert [head.root for head in heads] == [root(leaves[: head.size]) for head in heads]


def test_a_note_that_nobody_signed_counts_for_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.write(3)
    with following(shop, tmp_path) as notary:
        notary.until_signed(3)
        client = Client(shop.address("log_notary"))
        client.request("imewe.heads.head", b"a forged head\n\n\xe2\x80\x94 me AAAAAAAA\n")
        client.close()
        shop.write(1)
        assert notary.until_signed(4).flaw is None


def test_the_notary_goes_on_when_the_server_was_away(
    shop: Shop, fresh_nats: EmbeddedNats, tmp_path: Path
) -> None:
    shop.write(3)
    with following(shop, tmp_path) as notary:
        notary.until_signed(3)
        fresh_nats.stop()
        fresh_nats.start()
        shop.write(2)
        assert notary.until_signed(5).flaw is None

"""The tree over the log: the vectors of certificate transparency, and its files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.shared.errors import InvalidInputError
from ops.eventstore.envelope import Record
from ops.notary.merkle import (
    EMPTY,
    HashStore,
    entry_of,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the first one to eight leaves, from the certificate transparency test vectors."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HashStore]:
    made = HashStore(tmp_path / "tree")
    yield made
    made.close()


def test_the_roots_are_those_of_certificate_transparency(store: HashStore) -> None:
    assert root([]) == store.root() == EMPTY
    for count, wanted in enumerate(ROOTS, 1):
        store.append([LEAVES[count - 1]])
        assert root(LEAVES[:count]).hex() == store.root().hex() == wanted


def test_the_proofs_are_those_of_certificate_transparency(store: HashStore) -> None:
    store.append(LEAVES)
    inclusion = store.inclusion(0, 8)
    assert [each.hex() for each in inclusion] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [each.hex() for each in store.inclusion(2, 3)] == [ROOTS[1]]
    assert [each.hex() for each in store.consistency(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_an_old_size_keeps_its_root_and_its_proofs(store: HashStore) -> None:
    store.append(LEAVES)
    assert [store.root(size).hex() for size in range(1, 9)] == ROOTS
    proof = store.inclusion(4, 5)
    assert verify_inclusion(LEAVES[4], proof, index=4, size=5, root=store.root(5))


def test_a_store_that_is_cut_and_grows_again_has_the_same_root(store: HashStore) -> None:
    store.append(LEAVES[:3])
    store.append(LEAVES[:5])
    store.truncate(3)
    store.append(LEAVES[3:])
    assert store.root().hex() == ROOTS[-1]


def test_a_store_that_is_opened_again_goes_on(tmp_path: Path, store: HashStore) -> None:
    store.append(LEAVES[:7])
    again = HashStore(tmp_path / "tree")
    again.append(LEAVES[7:])
    reader = HashStore(tmp_path / "tree", read_only=True)
    assert reader.root().hex() == ROOTS[-1]
    assert reader.leaves(2, 4) == LEAVES[2:4]
    again.close()
    reader.close()


def test_nodes_can_be_made_again_from_the_leaves(tmp_path: Path, store: HashStore) -> None:
    store.append(LEAVES)
    (tmp_path / "tree" / "level-02").write_bytes(bytes(64))
    (tmp_path / "tree" / "level-03").write_bytes(b"")
    store.rebuild()
    assert store.root().hex() == ROOTS[-1]


def test_what_is_not_there_is_refused(store: HashStore) -> None:
    store.append(LEAVES[:4])
    for ask in (
        lambda: store.root(5),
        lambda: store.inclusion(4, 4),
        lambda: store.inclusion(0, 5),
        lambda: store.consistency(4, 3),
        lambda: store.truncate(5),
    ):
        with pytest.raises(InvalidInputError):
            ask()


def test_no_history_is_consistent_with_another_of_the_same_size() -> None:
    same = root(LEAVES[:3])
    other = root(LEAVES[1:4])
    sizes = {"old_size": 3, "new_size": 3}
    assert verify_consistency([], **sizes, old_root=same, new_root=same)
    assert not verify_consistency([], **sizes, old_root=same, new_root=other)
    assert not verify_consistency([same], **sizes, old_root=same, new_root=same)


def test_a_leaf_covers_sequence_time_subject_and_hash() -> None:
    def entry(
        sequence: int = 7, time: str = " t", subject: str = "s", hash_text: str = "h"
    ) -> bytes:
        headers = {"Nats-Time-Stamp": time, "Imewe-Hash": hash_text}
        return entry_of(Record(sequence=sequence, subject=subject, headers=headers, body=b"x"))

    assert entry() == b"".join(
        bytes(7) + bytes([len(part)]) + part for part in (b"7", b"t", b"s", b"h")
    )
    changed = [entry(8), entry(time="u"), entry(subject="st"), entry(hash_text="hh")]
    assert len({entry(), *changed}) == 5

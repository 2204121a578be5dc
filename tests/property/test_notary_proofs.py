"""Proofs over both trees hold for what is so, and for nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.notary.merkle import HashStore, leaf_hash, root, verify_consistency, verify_inclusion
from ops.notary.sorted_map import (
    EMPTY,
    MapEntry,
    MapProof,
    OtherLeaf,
    SortedMap,
    map_root,
    verify_map,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines of tests are busy."""
LARGEST = 70
LEAVES = [leaf_hash(b"%d" % number) for number in range(LARGEST)]

ENTRIES = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.builds(
        MapEntry, st.integers(1, 10**6), sequence=st.integers(1, 10**9), hash=st.text(max_size=8)
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HashStore]:
    made = HashStore(tmp_path_factory.mktemp("tree"))
    made.append(LEAVES)
    yield made
    made.close()


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


def test_every_leaf_of_every_size_is_proved(store: HashStore) -> None:
    for size in range(1, LARGEST + 1):
        whole = root(LEAVES[:size])
        assert store.root(size) == whole
        for index in range(size):
            proof = store.inclusion(index, size)
            assert verify_inclusion(LEAVES[index], proof, index=index, size=size, root=whole)


def test_every_older_size_is_proved_to_be_a_prefix(store: HashStore) -> None:
    for new in range(LARGEST + 1):
        for old in range(new + 1):
            assert verify_consistency(
                store.consistency(old, new),
                old_size=old,
                new_size=new,
                old_root=store.root(old),
                new_root=store.root(new),
            )


@UNHURRIED
@given(st.data())
def test_a_proof_of_inclusion_with_one_bit_changed_is_refused(
    store: HashStore, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    parts = [store.root(size), LEAVES[index], *store.inclusion(index, size)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    whole, leaf, *proof = parts
    assert not verify_inclusion(leaf, proof, index=index, size=size, root=whole)


@UNHURRIED
@given(st.data())
def test_a_proof_of_inclusion_holds_at_its_own_place_and_size_only(
    store: HashStore, data: st.DataObject
) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index, other = data.draw(
        st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True)
    )
    proof, whole = store.inclusion(index, size), store.root(size)
    assert not verify_inclusion(LEAVES[index], proof, index=other, size=size, root=whole)
    assert not verify_inclusion(LEAVES[index], proof[:-1], index=index, size=size, root=whole)
    longer = [*proof, whole]
    assert not verify_inclusion(LEAVES[index], longer, index=index, size=size, root=whole)


@UNHURRIED
@given(st.data())
def test_a_proof_of_consistency_with_one_bit_changed_is_refused(
    store: HashStore, data: st.DataObject
) -> None:
    new = data.draw(st.integers(2, LARGEST))
    old = data.draw(st.integers(1, new - 1))
    parts = [store.root(old), store.root(new), *store.consistency(old, new)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    old_root, new_root, *proof = parts
    assert not verify_consistency(
        proof, old_size=old, new_size=new, old_root=old_root, new_root=new_root
    )


@UNHURRIED
@given(ENTRIES, st.integers(0, 9), st.randoms())
def test_the_map_does_not_depend_on_the_order_of_coming(entries, top_bits, chance) -> None:
    order = list(entries.items())
    chance.shuffle(order)
    made = SortedMap(top_bits=top_bits)
    for number, (subject, entry) in enumerate(order):
        if chance.random() < 0.5:
            made.set(subject, MapEntry(entry.version + 1, number, "older"))
            made.root()
        made.set(subject, entry)
    assert made.root() == map_root(entries.items())
    made.close()


@UNHURRIED
@given(ENTRIES.filter(bool), st.integers(0, 9), st.data())
def test_the_map_proves_what_it_holds_and_what_it_does_not(entries, top_bits, data) -> None:
    made = SortedMap(top_bits=top_bits)
    for subject, entry in entries.items():
        made.set(subject, entry)
    whole = made.root()
    for subject, entry in entries.items():
        proof = made.prove(subject)
        assert proof.end == entry
        assert verify_map(subject, proof, root=whole)
        assert not verify_map(subject + "x", proof, root=whole)
        other = replace(proof, end=entry._replace(version=entry.version + 1))
        assert not verify_map(subject, other, root=whole)
        assert not verify_map(subject, replace(proof, end=None), root=whole)
    absent = data.draw(st.text(max_size=8).filter(lambda text: text not in entries))
    proof = made.prove(absent)
    assert not isinstance(proof.end, MapEntry)
    assert verify_map(absent, proof, root=whole)
    made.close()


@UNHURRIED
@given(ENTRIES.filter(bool), st.data())
def test_a_proof_of_the_map_with_one_bit_changed_is_refused(entries, data) -> None:
    made = SortedMap(top_bits=3)
    for subject, entry in entries.items():
        made.set(subject, entry)
    asked = data.draw(st.sampled_from([*entries, "absent", "also absent"]))
    proof, whole = made.prove(asked), made.root()
    made.close()
    parts = [whole, *proof.siblings]
    if isinstance(proof.end, OtherLeaf):
        parts += [proof.end.key, proof.end.value]
    at, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 10**4))
    parts[at] = flipped(parts[at], bit)
    end = OtherLeaf(*parts[-2:]) if isinstance(proof.end, OtherLeaf) else proof.end
    siblings = tuple(parts[1 : len(proof.siblings) + 1])
    assert not verify_map(asked, MapProof(siblings=siblings, end=end), root=parts[0])


def test_an_empty_map_holds_nothing() -> None:
    made = SortedMap()
    assert made.root() == EMPTY == map_root([])
    assert verify_map("anything", made.prove("anything"), root=EMPTY)
    assert made.get("anything") is None
    made.close()


def test_the_own_leaf_is_no_proof_of_absence() -> None:
    made = SortedMap()
    made.set("job", MapEntry(1, 1, "h"))
    proof = made.prove("another")
    assert isinstance(proof.end, OtherLeaf)
    assert not verify_map("job", proof, root=made.root())
    made.close()


def test_what_was_committed_is_there_for_the_next_and_the_rest_is_not(tmp_path: Path) -> None:
    made = SortedMap(tmp_path / "map.db")
    made.set("job", MapEntry(1, 1, "h"))
    made.keep("size", "1")
    made.commit()
    kept = made.root()
    made.set("job", MapEntry(2, 2, "i"))
    made.keep("size", "2")
    made.root()
    made.close()
    again = SortedMap(tmp_path / "map.db", read_only=True)
    assert (again.root(), again.kept("size"), again.get("job")) == (kept, "1", MapEntry(1, 1, "h"))
    again.close()

"""Three programs of the sorted map, written apart from one another, agree on every root."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.notary.map_tree import MapTree
from ops.notary.sorted_map import MapEntry, map_root

ENTRIES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=80)


@given(ENTRIES)
@settings(max_examples=60, deadline=None)
def test_a_root_follows_from_the_contents_alone(entries: list[tuple[int, int]]) -> None:
    tree, contents = MapTree(), {}
    for number, version in entries:
        subject, entry = f"imewe.events.job.{number}", MapEntry(version, number + 1, "sha256:x")
        contents[subject] = entry
        tree.set(subject, entry)
        if version == 5:
            tree.root()
    assert tree.root() == map_root(contents.items())

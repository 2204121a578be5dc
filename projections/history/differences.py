"""The difference of two JSON values as a list of changed paths (JSON pointers, RFC 6901). Pure."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class How(StrEnum):
    """What became of the value at a path."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path; ``before`` is ``None`` where it was added, ``after`` where it was removed."""

    path: str
    how: How
    before: Any
    after: Any


def changes(before: Any, after: Any) -> list[Change]:
    """What leads from one value to the other. No path lies inside another one."""
    return list(_changes("", before, after))


def applied(changed: Iterable[Change], value: Any) -> Any:
    """The other value: what ``changes`` told, done to a copy of the first."""
    box = {"": deepcopy(value)}
    listed = list(changed)
    removed = [change for change in listed if change.how is How.REMOVED]
    for change in [*(c for c in listed if c.how is not How.REMOVED), *reversed(removed)]:
        *way, last = ["", *(_unescaped(word) for word in change.path.split("/")[1:])]
        place: Any = box
        for word in way:
            place = place[_key(place, word)]
        if change.how is How.REMOVED:
            del place[_key(place, last)]
        elif isinstance(place, list) and change.how is How.ADDED:
            place.append(deepcopy(change.after))
        else:
            place[_key(place, last)] = deepcopy(change.after)
    return box[""]


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif type(before) is not type(after) or before != after:
        yield Change(path=path, how=How.CHANGED, before=before, after=after)


def _of_objects(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        here = f"{path}/{_escaped(name)}"
        if name not in before:
            yield Change(path=here, how=How.ADDED, before=None, after=after[name])
        elif name not in after:
            yield Change(path=here, how=How.REMOVED, before=before[name], after=None)
        else:
            yield from _changes(here, before[name], after[name])


def _of_lists(path: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    both = min(len(before), len(after))
    for place in range(both):
        yield from _changes(f"{path}/{place}", before[place], after[place])
    for place in range(both, len(after)):
        yield Change(path=f"{path}/{place}", how=How.ADDED, before=None, after=after[place])
    for place in range(both, len(before)):
        yield Change(path=f"{path}/{place}", how=How.REMOVED, before=before[place], after=None)


def _key(place: Any, word: str) -> Any:
    return int(word) if isinstance(place, list) else word


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(word: str) -> str:
    return word.replace("~1", "/").replace("~0", "~")

"""What was released stays: a manifest of schema files, and the check that holds us to it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from eventsourcing.utils import get_topic

from domain.aggregates import AGGREGATES
from domain.shared.aggregate import Fact
from domain.shared.errors import ConflictError
from ops.schema_differences import differences
from ops.schema_files import (
    FOLDER,
    RELEASED,
    all_events,
    event_schema,
    event_version,
    file_name,
    released,
    same_meaning,
    schema_text,
    stem,
    version_name,
)
from schema.registry import Upcasters, known_upcasters

Aggregates = Iterable[type[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that must not be released: the version, what is wrong, what to do."""

    name: str
    problem: str
    remedy: str


def findings(
    folder: Path = FOLDER,
    *,
    aggregates: Aggregates = AGGREGATES,
    upcasters: Upcasters | None = None,
) -> list[Finding]:
    """Whatever breaks the promise that every released version can be read for ever."""
    steps = upcasters or known_upcasters()
    events = {stem(get_topic(event)): event for event in all_events(aggregates)}
    known = released(folder)
    found = [each for name in known if (each := _file(folder, name, known[name]))]
    found += _without_class(known, events)
    for event in events.values():
        found += _class(folder, known, event)
        found += _steps(event, steps)
    return found


def release(
    folder: Path = FOLDER,
    *,
    aggregates: Aggregates = AGGREGATES,
    upcasters: Upcasters | None = None,
) -> list[str]:
    """Add the present version of every event to the manifest; the names that are new in it.

    From now on their files may not change. Raises ``ConflictError`` when the check finds anything.
    """
    events = list(all_events(aggregates))
    known = released(folder)
    stale = [e for e in events if version_name(e) not in known and not _written_as_is(folder, e)]
    if stale:
        raise ConflictError(
            f"{file_name(stale[0])} is not what its class says", remedy="imewe schema generate"
        )
    if wrong := findings(folder, aggregates=aggregates, upcasters=upcasters):
        first = wrong[0]
        raise ConflictError(f"{first.name}: {first.problem}", remedy=first.remedy)
    fresh = [version_name(event) for event in events if version_name(event) not in known]
    listed = known | {name: _digest(folder / "events" / f"{name}.json") for name in fresh}
    if fresh:
        text = json.dumps(dict(sorted(listed.items())), indent=2) + "\n"
        (folder / RELEASED).write_text(text)
    return sorted(fresh)


def _file(folder: Path, name: str, digest: str) -> Finding | None:
    path = folder / "events" / f"{name}.json"
    if not path.exists():
        problem = "was released and its file is gone"
    elif _digest(path) != digest:
        problem = "was released and its file changed"
    else:
        return None
    return Finding(name=name, problem=problem, remedy=f"take {path.name} back from the last tag")


def _without_class(known: dict[str, str], events: dict[str, type[Fact]]) -> list[Finding]:
    return [
        Finding(
            name=name,
            problem="was released and no class reads it",
            remedy="keep the class, even if nothing writes it any more: old logs hold such events",
        )
        for name in known
        if _split(name)[0] not in events
    ]


def _class(folder: Path, known: dict[str, str], event: type[Fact]) -> list[Finding]:
    """A class against the versions of its event that were released."""
    name, version = version_name(event), event_version(event)
    newest = max((n for base, n in map(_split, known) if base == _split(name)[0]), default=0)
    if version < newest or (newest and version > newest + 1):
        problem = f"the class writes version {version}, version {newest} was released last"
        remedy = f"set class_version to {newest}, or {newest + 1} if it is different"
        return [Finding(name=name, problem=problem, remedy=remedy)]
    if name not in known or _file(folder, name, known[name]):
        return []
    old = json.loads((folder / "events" / f"{name}.json").read_text())
    new = event_schema(event)
    if same_meaning(old, new):
        return []
    told = differences(old, new)
    words = "; ".join(each.words for each in told) or "something"
    fits = "still fit" if told and all(each.old_reads for each in told) else "do not fit any more"
    return [
        Finding(
            name=name,
            problem=f"was released and its class differs: {words} (old records {fits})",
            remedy=f"set class_version to {version + 1}, run imewe schema generate, and register an"
            f" upcaster from version {version} in schema/upcasters",
        )
    ]


def _steps(event: type[Fact], upcasters: Upcasters) -> list[Finding]:
    topic = get_topic(event)
    return [
        Finding(
            name=version_name(event),
            problem=f"no upcaster leads from version {version} to {version + 1}",
            remedy=f'register one in schema/upcasters: step("{topic}", from_version={version})',
        )
        for version in range(1, event_version(event))
        if not upcasters.has(topic, from_version=version)
    ]


def _written_as_is(folder: Path, event: type[Fact]) -> bool:
    path = folder / "events" / file_name(event)
    return path.exists() and path.read_text() == schema_text(event_schema(event))


def _split(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition(".v")
    return base, int(number)


def _digest(path: Path) -> str:
    return f"sha256:{sha256(path.read_bytes()).hexdigest()}"

"""The contracts in ``schema/``, generated from the code that keeps them.

One JSON Schema for every version of every event, and the gateway's SDL. A test generates them
again and compares, so that ``schema`` needs to import nobody. A version that ``RELEASED`` lists is
never written again and never removed, whatever becomes of its class.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from eventsourcing.utils import get_topic

from domain.aggregates import AGGREGATES
from domain.shared.aggregate import Created, Fact
from gateways.graphql.schema import schema
from ops.settings import CHECKOUT

SDL = "graphql/schema.graphql"
FOLDER = CHECKOUT / "schema"
RELEASED = "events/released.json"
"""Names of released versions, ``job.assigned.v1``, with the SHA-256 of their files."""
VERSIONS = "*.v*.json"
"""The files of ``schema/events`` that describe events."""

_JSON_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}
_IN_HEADERS = frozenset(get_type_hints(Created)) | frozenset(get_type_hints(Fact))
_PERSONAL_MARK = re.compile(r"``x-personal``:\s*([a-z_]+(?:,\s*[a-z_]+)*)")
_SEALED = {
    "type": "object",
    "required": ["enc", "key", "nonce", "ct"],
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in ("enc", "key", "nonce", "ct")},
}


def contracts(
    folder: Path = FOLDER, *, aggregates: Iterable[type[Any]] = AGGREGATES
) -> dict[str, str]:
    """Every generated file: its path below ``schema/`` and its text."""
    files = {SDL: schema.as_str() + "\n"}
    known = released(folder)
    for event in all_events(aggregates):
        path = f"events/{file_name(event)}"
        wanted = event_schema(event)
        if version_name(event) in known and (folder / path).exists():
            kept = (folder / path).read_text()
            if same_meaning(json.loads(kept), wanted):
                files[path] = kept  # its description may have been worded anew
                continue
        files[path] = schema_text(wanted)
    return files


def write_contracts(
    folder: Path = FOLDER, *, aggregates: Iterable[type[Any]] = AGGREGATES
) -> list[Path]:
    """Write the files, remove schemas of events that are gone, and say what became different.

    Released ones stay as they are; ``ops.schema_releases.findings`` says what is wrong then.
    """
    wanted = contracts(folder, aggregates=aggregates)
    kept = {f"events/{name}.json" for name in released(folder)}
    changed = []
    for name, text in wanted.items():
        path = folder / name
        if name not in kept and (not path.exists() or path.read_text() != text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(path)
    for path in (folder / "events").glob(VERSIONS):
        if f"events/{path.name}" not in wanted.keys() | kept:
            path.unlink()
            changed.append(path)
    return changed


def released(folder: Path = FOLDER) -> dict[str, str]:
    """The manifest of what was released; empty before the first release."""
    path = folder / RELEASED
    return dict(json.loads(path.read_text())) if path.exists() else {}


def schema_text(described: dict[str, Any]) -> str:
    """The text of a schema's file."""
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def same_meaning(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two schemas take the same bodies; their descriptions do not count."""
    return {**one, "description": ""} == {**other, "description": ""}


def all_events(aggregates: Iterable[type[Any]] = AGGREGATES) -> Iterator[type[Fact]]:
    """The events of every aggregate, in the order in which they are written down."""
    for aggregate in aggregates:
        for value in vars(aggregate).values():
            if inspect.isclass(value) and issubclass(value, Fact) and _written(value):
                yield value


def file_name(event: type[Fact]) -> str:
    """``imewe.job:CancelRequested`` is described by ``job.cancel-requested.v1.json``."""
    return f"{version_name(event)}.json"


def version_name(event: type[Fact]) -> str:
    """``job.cancel-requested.v1``: the event and the version that its class writes."""
    return f"{stem(get_topic(event))}.v{event_version(event)}"


def stem(topic: str) -> str:
    """``imewe.job:CancelRequested`` as a file is named, ``job.cancel-requested``."""
    kind, name = topic.removeprefix("imewe.").split(":")
    return f"{kind}.{re.sub(r'(?<!^)(?=[A-Z])', '-', name).lower()}"


def event_schema(event: type[Fact]) -> dict[str, Any]:
    """The stored body of an event: its own fields and nothing more.

    A field marked ``x-personal`` is sealed under its data subject's key.
    """
    words = inspect.cleandoc(_written(event)[0].__doc__ or "").replace("\n", " ")
    mark = _PERSONAL_MARK.search(words)
    personal = {name.strip() for name in mark[1].split(",")} if mark else set()
    fields = {k: v for k, v in get_type_hints(event).items() if k not in _IN_HEADERS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": get_topic(event),
        "description": words,
        "type": "object",
        "additionalProperties": False,
        "required": list(fields),
        "properties": {
            name: {**_SEALED, "x-personal": "originator"} if name in personal else _shape(hint)
            for name, hint in fields.items()
        },
    }


def _written(event: type[Fact]) -> list[type[Any]]:
    """The classes that stand in the source: the library derives its own from them."""
    return [each for each in event.__mro__ if "TOPIC" in vars(each)]


def _shape(hint: Any) -> dict[str, Any]:
    if hint in _JSON_TYPES:
        return dict(_JSON_TYPES[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return {"type": "array", "items": _shape(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": _shape(arguments[1])}
    raise TypeError(f"an event field cannot be a {hint}: events hold JSON values only")


def event_version(event: type[Fact]) -> int:
    """The version that its class writes."""
    return int(vars(_written(event)[0]).get("class_version", 1))

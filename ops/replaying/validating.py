"""Compares a body with its schema: the part of JSON Schema that ``schema/events`` uses.

``type``, ``properties``, ``required``, ``additionalProperties`` and ``items`` (JSON Schema 2020-12,
Core section 10.3 and Validation section 6.1). A test compares it with a whole implementation.
"""

import json
from pathlib import Path
from typing import Any

from ops.schema_files import FOLDER, stem

_TYPES: dict[str, tuple[type[Any], ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = frozenset(
    {"$schema", "title", "description", "x-personal"}
    | {"type", "properties", "required", "additionalProperties", "items"}
)
"""What a schema of ours may hold; the test of that refuses others."""


class Schemas:
    """The schema of every version of every event, released or not."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder / "events"
        self._known: dict[tuple[str, int], dict[str, Any] | None] = {}

    def of(self, topic: str, version: int) -> dict[str, Any] | None:
        """``None`` where there is none."""
        key = (topic, version)
        if key not in self._known:
            path = self._folder / f"{stem(topic)}.v{version}.json"
            self._known[key] = json.loads(path.read_text()) if path.exists() else None
        return self._known[key]


def violation(schema: dict[str, Any] | None, value: Any, path: str = "body") -> str:
    """What is wrong first, in words; empty when all is well."""
    if schema is None:
        return "there is no schema of this version"
    wanted = schema.get("type")
    if wanted and not _is(value, wanted):
        return f"{path} is no {wanted}"
    if isinstance(value, dict):
        return _object(schema, value, path)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        found = (violation(schema["items"], v, f"{path}[{i}]") for i, v in enumerate(value))
        return next(filter(None, found), "")
    return ""


def _object(schema: dict[str, Any], value: dict[str, Any], path: str) -> str:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{path}.{name} is missing"
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, each in value.items():
        if name not in known and rest is False:
            return f"{path}.{name} is unknown"
        inner = known.get(name, rest)
        if isinstance(inner, dict) and (wrong := violation(inner, each, f"{path}.{name}")):
            return wrong
    return ""


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])

"""Which MQTT topics hold which value, and where in a JSON payload it stands. Pure.

A place is ``TOPIC`` (the whole payload is the value) or ``TOPIC#POINTER`` with a JSON pointer
(RFC 6901): ``shop/press/state#/temperatures/0``.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from device_bridge.dialects.named_values import Named, Value
from domain.shared.errors import InvalidInputError

LONGEST_PAYLOAD = 1_000_000
MAP_REMEDY = "NAME=TOPIC[#/JSON/POINTER][|SCALE], with commas or one a line"


class Topics:
    """The entries of a map by topic. Raises ``InvalidInputError``."""

    def __init__(self, map: Iterable[Named]) -> None:
        self._places: dict[str, list[tuple[Named, str]]] = {}
        for entry in map:
            topic, mark, pointer = entry.place.partition("#")
            if not topic or set(topic) & set("+#\0") or (mark and not pointer.startswith("/")):
                raise InvalidInputError(
                    f"{entry.place[:80]} is no topic", field="map", remedy=MAP_REMEDY
                )
            self._places.setdefault(topic, []).append((entry, pointer))
        if not self._places:
            raise InvalidInputError("a map is missing", field="map", remedy=MAP_REMEDY)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def said(self, topic: str, payload: bytes) -> list[tuple[Named, Value]]:
        """What a message says. What a JSON payload leaves out is as it was; what cannot be read
        says nothing."""
        places = self._places.get(topic, [])
        try:
            text = payload[:LONGEST_PAYLOAD].decode()
        except UnicodeDecodeError:
            return []
        found: list[tuple[Named, Value]] = []
        document = _document(text) if any(pointer for _, pointer in places) else None
        for entry, pointer in places:
            if not pointer:
                found.append((entry, text.strip()))
            elif (value := _at(document, pointer)) is not LEFT_OUT:
                known = isinstance(value, bool | int | float | str)
                found.append((entry, value if known else None))
        return found


LEFT_OUT: Any = object()


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return LEFT_OUT


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return LEFT_OUT
    return document

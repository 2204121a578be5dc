"""Moonraker's JSON-RPC: text in, meanings out, and requests as text.

Follows recorded sessions with Moonraker 0.11 and its documentation of the API.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Objects = Mapping[str, Mapping[str, Any]]
"""Klipper's printer objects by name, each with its fields."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request with this id."""

    id: int
    result: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """An error in answer to a request; ``id`` is ``None`` when the server could not read one."""

    id: int | None
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """Fields of subscribed objects that changed since the last update."""

    objects: Objects


@dataclass(frozen=True, slots=True)
class GcodeResponse:
    """A line of Klipper's console: ``//`` is a remark, ``!!`` an error."""

    text: str

    @property
    def stopped(self) -> bool:
        """Klipper says that it has shut down: the first word of it, before any status."""
        return self.text.lower().startswith("// klipper state: shutdown")


@dataclass(frozen=True, slots=True)
class KlippyReady:
    """Klipper's host process became ready."""


@dataclass(frozen=True, slots=True)
class KlippyShutdown:
    """Klipper shut down: an emergency stop or an error of its own."""


@dataclass(frozen=True, slots=True)
class KlippyDisconnected:
    """Klipper's host process went away, or restarts."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification that changes nothing here."""

    method: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Not a message of this protocol."""

    text: str


Meaning = (
    Reply
    | Refused
    | StatusUpdate
    | GcodeResponse
    | KlippyReady
    | KlippyShutdown
    | KlippyDisconnected
    | Notice
    | Unreadable
)
_LONGEST_KEPT = 200


def request(id: int, method: str, params: Mapping[str, Any] | None = None) -> str:
    """One request as text."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "id": id}
    if params:
        message["params"] = params
    return json.dumps(message)


def parse(text: str) -> Meaning:
    """What one message means. Never raises."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return Unreadable(text[:_LONGEST_KEPT])
    if not isinstance(message, dict):
        return Unreadable(text[:_LONGEST_KEPT])
    if isinstance(method := message.get("method"), str):
        return _notification(method, message.get("params"))
    id = _id(message.get("id"))
    if isinstance(error := message.get("error"), dict):
        return _refused(id, error)
    if id is not None and "result" in message:
        return Reply(id, message["result"])
    return Unreadable(text[:_LONGEST_KEPT])


def folded(objects: Objects, update: Objects) -> Objects:
    """All fields, the changed ones new. Neither argument is changed."""
    changed = {name: {**objects.get(name, {}), **fields} for name, fields in update.items()}
    return {**objects, **changed}


def objects_in(value: Any) -> Objects:
    """The ``status`` of a query's answer, or of an update; what is no object is left out."""
    if not isinstance(value, dict):
        return {}
    return {str(name): fields for name, fields in value.items() if isinstance(fields, dict)}


def number(value: Any) -> float | None:
    """A finite number, else ``None``: a sensor that is missing says null."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        whole = float(value)
    except OverflowError:
        return None
    return whole if math.isfinite(whole) else None


def _notification(method: str, params: Any) -> Meaning:
    first = params[0] if isinstance(params, list) and params else None
    match method:
        case "notify_status_update":
            return StatusUpdate(objects_in(first))
        case "notify_gcode_response":
            return GcodeResponse(str(first or ""))
        case "notify_klippy_ready":
            return KlippyReady()
        case "notify_klippy_shutdown":
            return KlippyShutdown()
        case "notify_klippy_disconnected":
            return KlippyDisconnected()
    return Notice(method)


def _refused(id: int | None, error: Mapping[str, Any]) -> Refused:
    code = error.get("code")
    whole = code if isinstance(code, int) and not isinstance(code, bool) else 0
    return Refused(id, whole, str(error.get("message", "")))


def _id(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""What OctoPrint pushes and answers: state, the file on the printer, readings. Pure.

Follows recorded sessions with OctoPrint 1.11.8 and its virtual printer. The whole state is pushed
again and again; ``folded`` makes one view of it in which a reader sees only what is new.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from device_bridge.dialects.moonraker import number
from device_bridge.dialects.remote_job import Phase
from domain.node.states import Execution

ACTIVE, READY, STOPPED = Execution.ACTIVE, Execution.READY, Execution.STOPPED
STATES: Final[Mapping[str, tuple[Execution, Phase]]] = MappingProxyType({
    "OPERATIONAL": (READY, Phase.NONE),
    "STARTING": (ACTIVE, Phase.STARTING),
    "PRINTING": (ACTIVE, Phase.RUNNING),
    "PAUSING": (ACTIVE, Phase.RUNNING),
    "PAUSED": (Execution.INTERRUPTED, Phase.HELD),
    "RESUMING": (ACTIVE, Phase.STARTING),
    "FINISHING": (ACTIVE, Phase.RUNNING),
    "CANCELLING": (ACTIVE, Phase.RUNNING),
    "TRANSFERRING": (ACTIVE, Phase.NONE),
    "ERROR": (STOPPED, Phase.NONE),
    "OFFLINE AFTER ERROR": (STOPPED, Phase.NONE),
})  # fmt: skip
"""``PAUSING`` still moves: only ``PAUSED`` holds."""
AWAY: Final = frozenset({
    "OFFLINE", "CLOSED", "OPENING", "DETECTING", "CONNECTING", "NONE",
})  # fmt: skip
"""OctoPrint answers, and its printer does not."""
FAULTY: Final = frozenset({"ERROR", "OFFLINE AFTER ERROR"})
FIRST_WORDS: Final[Mapping[str, str]] = MappingProxyType({
    "OPEN": "OPENING", "DETECT": "DETECTING", "SENDING": "TRANSFERRING",
    "TRANSFERING": "TRANSFERRING",
})  # fmt: skip
ENDS: Final[Mapping[str, Phase]] = MappingProxyType({
    "PrintDone": Phase.COMPLETED,
    "PrintCancelled": Phase.CANCELLED,
    "PrintFailed": Phase.FAILED,
})  # fmt: skip
LOCAL: Final = "local"
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """An event said how a file's print ended."""

    file_name: str
    phase: Phase
    seconds: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What OctoPrint has said so far. ``state`` is a key of ``STATES``, of ``AWAY`` or unknown."""

    state: str = ""
    error: str = ""
    file_name: str = ""
    share: float | None = None
    seconds: float | None = None
    ended: Ended | None = None
    readings: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
    """An emergency stop was sent by OctoPrint since this view began."""


def unwrapped(text: str) -> list[dict[str, Any]]:
    """The messages in one frame: SockJS's own form ``a[...]``, or one object. Never raises."""
    body = text[1:] if text.startswith("a") else text
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    found = []
    for each in value if isinstance(value, list) else [value]:
        message = _parsed(each) if isinstance(each, str) else each
        if isinstance(message, dict):
            found.append(message)
    return found


def auth(login: Mapping[str, Any]) -> str:
    """The first message on the socket, out of the answer of a passive login; empty without."""
    name, session = word(login, "name"), word(login, "session")
    return json.dumps({"auth": f"{name}:{session}"}) if name and session else ""


def folded(view: View, message: Mapping[str, Any]) -> View:
    """The view after one pushed message; the same view when it says nothing new."""
    for kind in ("history", "current"):
        if isinstance(data := message.get(kind), dict):
            view = _whole(view, data)
    if isinstance(event := message.get("event"), dict):
        view = _told(view, word(event, "type"), part(event, "payload"))
    return view


def looked(view: View, answer: Mapping[str, Any]) -> View:
    """The view after ``GET /api/job``, whose ``state`` is a word."""
    state = {"text": answer.get("state"), "error": answer.get("error")}
    return _whole(view, {**answer, "state": state})


def is_state(message: Mapping[str, Any]) -> bool:
    """Whether a message carries the whole state."""
    return any(isinstance(message.get(kind), dict) for kind in ("history", "current"))


def away(view: View) -> bool:
    """OctoPrint has no printer at its port, and no error says why."""
    return view.state in AWAY


def busy(view: View) -> bool:
    """Its port to the printer is open."""
    return view.state in STATES and view.state not in FAULTY


def unstopped(view: View) -> View:
    """The same without the word of an earlier stop."""
    return replace(view, stopped=False)


def _whole(view: View, data: Mapping[str, Any]) -> View:
    state, progress = part(data, "state"), part(data, "progress")
    file = part(part(data, "job"), "file")
    share = number(progress.get("completion"))
    name = word(file, "path") or word(file, "name")
    origin = word(file, "origin") or LOCAL
    readings = {**view.readings, **_temperatures(data.get("temps"))}
    resends = number(part(data, "resends").get("count"))
    if resends is not None:
        readings["comm.resends"] = resends
    if share is not None:
        readings["progress_pct"] = round(share, 3)
    else:
        readings.pop("progress_pct", None)
    changed = replace(
        view,
        error=one_line(word(state, "error")),
        file_name=name if origin == LOCAL else f"{origin}:{name}",
        share=None if share is None else share / 100,
        seconds=number(progress.get("printTime")),
        readings=readings,
    )
    return _in_state(changed, _state(word(state, "text")))


def _told(view: View, kind: str, payload: Mapping[str, Any]) -> View:
    name = word(payload, "path")
    match kind:
        case "PrinterStateChanged":
            state = _state(word(payload, "state_id").replace("_", " "))
            # the same id stands for "Offline after error": the whole state says which
            return view if state in AWAY else _in_state(view, state)
        case "FileSelected" | "PrintStarted" if word(payload, "origin") == LOCAL:
            return replace(view, file_name=name, share=None, seconds=None, ended=None)
        case "PrintDone" | "PrintCancelled" | "PrintFailed" if word(payload, "origin") == LOCAL:
            seconds = number(payload.get("time"))
            text = word(payload, "error") or word(payload, "reason") or kind
            if kind == "PrintFailed" and payload.get("reason") == "cancelled":
                return view  # followed by PrintCancelled
            return replace(view, ended=Ended(name, ENDS[kind], seconds, one_line(text)))
        case "Error":
            return replace(view, error=one_line(word(payload, "error")) or view.error)
        case "EStop":
            return replace(view, stopped=True)
    return view


def _in_state(view: View, state: str) -> View:
    """A program that runs anew has not ended; a printer that runs anew is not stopped."""
    if not state:
        return view
    _, phase = STATES.get(state, (READY, Phase.UNKNOWN))
    if phase is Phase.STARTING:
        view = replace(view, ended=None)
    if state not in AWAY | FAULTY:
        view = replace(view, stopped=False)
    return replace(view, state=state)


def _state(text: str) -> str:
    """Most begin with their word: ``Printing from SD``, ``Opening serial connection``."""
    words = " ".join(text.upper().split())
    if words in STATES or not words:
        return words
    first = words.split()[0]
    first = FIRST_WORDS.get(first, first)
    return first if first in STATES or first in AWAY else words


def _temperatures(value: Any) -> dict[str, float]:
    """The newest entry in canonical names; a heater that is not there says null."""
    newest = value[-1] if isinstance(value, list) and value else None
    found: dict[str, float] = {}
    for name, fields in newest.items() if isinstance(newest, dict) else ():
        if not isinstance(fields, dict):
            continue
        tool = str(name).removeprefix("tool")
        channel = f"hotend{tool}" if tool != name and tool.isdigit() else _plain(str(name))
        actual, target = number(fields.get("actual")), number(fields.get("target"))
        if actual is not None and channel:
            found[f"temperature.{channel}.actual_c"] = actual
            if target is not None:
                found[f"temperature.{channel}.target_c"] = target
    return found


def _plain(name: str) -> str:
    return "_".join(name.replace(".", " ").split()).lower()


def one_line(text: str) -> str:
    """Without line breaks, and no longer than is worth keeping."""
    return " ".join(text.split())[:_LONGEST]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in an object; an empty one when it is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def word(value: Mapping[str, Any], name: str) -> str:
    """A text in an object; empty when it is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""

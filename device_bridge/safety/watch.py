"""How a session's machine is to be watched."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from device_bridge.safety.policy import SafetyPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """``policy``: the machine's, as it stands now. ``stalls``: the bridge feeds its builds line
    by line. ``acts``: its driver does more than read. ``deed``: what was done to it after the last
    bridge died, told once. ``announce``: tell the watcher, before the first byte, that a build
    begins."""

    policy: Callable[[], SafetyPolicy]
    stalls: bool
    acts: bool
    deed: Callable[[], dict[str, Any] | None]
    announce: Callable[[], Awaitable[None]]


WORDS = {
    "cooled": "its motion was ended and its heat switched off",
    "reset": "it was held and reset, which switched spindle and laser off",
    "held": "it was held; its heat is on",
    "halted": "it did not obey and was halted: it needs a reset",
    "nothing": "nobody could reach it",
    "unknown": "its port went away meanwhile",
}


def told(deed: dict[str, Any]) -> str:
    """A deed of the watcher in words for a person."""
    said = "and it confirmed" if deed.get("confirmed") else "and it did not confirm: go and look"
    done = WORDS.get(str(deed.get("done")), "something was done")
    return f"the bridge died at {deed.get('at', 'some time')}: {done}, {said}"

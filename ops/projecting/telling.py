"""What is told of an operation: to the audit trail, to whoever watches, and to who asks later."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.shared.errors import UnavailableError
from ops.projecting import operations
from ops.projecting.places import Connection

TELL_S = 0.25

Report = Callable[[dict[str, str], str], None]
"""Puts a step into the audit trail: what is told, and the person's token."""
Tell = Callable[[str, dict[str, Any]], None]
"""Publishes the progress of a projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One operation that was asked for."""

    verb: str
    name: str
    by: str
    token: str
    payload: dict[str, Any]


def step_of(order: Order) -> dict[str, str]:
    """What it is in the audit trail."""
    return {"action": f"projections.{order.verb}", "resource": f"projection/{order.name}"}


def summary(result: dict[str, Any]) -> str:
    """The plain members, for the trail."""
    shown = {k: v for k, v in result.items() if isinstance(v, str | int | float) and k != "name"}
    return ", ".join(f"{key} {value}" for key, value in shown.items())[:200]


class Telling:
    """Notes and publishes how far an operation is, not more often than people can read."""

    def __init__(
        self, connection: Connection, order: Order, tell: Tell, *, closing: threading.Event
    ) -> None:
        self._connection = connection
        self._order = order
        self._tell = tell
        self._closing = closing
        self._phase = ""
        self._at = 0.0
        self._began = time.monotonic()

    def __call__(self, phase: str, done: int, goal: int) -> None:
        """Raises ``UnavailableError`` when the service ends: what is done so far stays."""
        if self._closing.is_set():
            raise UnavailableError("the service ended", remedy="it goes on when it is there again")
        now = time.monotonic()
        if phase == self._phase and now - self._at < TELL_S and done < goal:
            return
        self._phase, self._at = phase, now
        operations.advance(self._connection, self._order.name, phase=phase, done=done, goal=goal)
        self._say(state="RUNNING", phase=phase, done=done, goal=goal)

    def end(self, state: str) -> None:
        """It has ended."""
        self._say(state=state, phase="", done=0, goal=0)

    def _say(self, **told: Any) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self._tell(self._order.name, {"verb": self._order.verb, "seconds": seconds, **told})

"""Writes every signed note to the places that the admin named, each at least once.

The stream of heads is the backlog: per place only the last note that it has for certain is kept
(``home/notary/published.json``). A place that fails is tried again, ever more seldom, and never
holds up signing or another place's cursor.
"""

import importlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import structlog

from domain.shared.errors import ImeweError
from ops.hosting.home import read_note, write_private
from ops.notary.head_stream import HeadStream, Signed
from ops.notary.places import DeliveryError, Kind, Place, places
from ops.notary.state import FOLDER

KEPT = "published.json"
AT_ONCE = 100
"""Notes that are delivered together at most."""
LOOK_S = 1.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0

log = structlog.get_logger()

Deliver = Callable[[Place, Sequence[Signed]], None]


@dataclass(slots=True)
class _Turn:
    """When a place may be tried next, by the monotonic clock, and how it went last."""

    next_at: float = 0.0
    pause: float = FIRST_PAUSE_S
    problem: str = ""


class Publisher:
    """Runs in a thread of its own."""

    def __init__(
        self, stream: HeadStream, home: Path, *, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._stream = stream
        self._home = home
        self._first_pause_s = first_pause_s
        self._turns: dict[str, _Turn] = {}
        self._problem = ""
        self._stopping = threading.Event()

    def run(self) -> None:
        """Publish until ``stop``."""
        while not self._stopping.is_set():
            try:
                self._round()
                self._problem = ""
            except (ImeweError, OSError) as error:
                self._say(str(error))
            self._stopping.wait(min(LOOK_S, self._first_pause_s))

    def stop(self) -> None:
        """End ``run`` soon; what was being delivered comes again."""
        self._stopping.set()

    def status(self) -> list[dict[str, Any]]:
        """Per place: the ``place`` in the stream that it has, and the ``problem`` it has."""
        kept = self._kept()
        return [
            {
                "name": each.name,
                "kind": each.kind.value,
                "to": each.to,
                "delivered": int(kept.get(_mark(each), 0)),
                "problem": self._turns[each.name].problem if each.name in self._turns else "",
            }
            for each in places(self._home)
        ]

    def _round(self) -> None:
        now = time.monotonic()
        for place in places(self._home):
            turn = self._turns.setdefault(place.name, _Turn(pause=self._first_pause_s))
            if turn.next_at <= now and not self._stopping.is_set():
                self._serve(place, turn)

    def _serve(self, place: Place, turn: _Turn) -> None:
        at = self._cursor(place)
        notes = self._stream.stretch(at + 1, AT_ONCE)
        if not notes:
            return
        try:
            _deliver(place, notes)
        except DeliveryError as error:
            self._failed(place, turn, error.message)
            return
        self._keep(place, notes[-1].sequence)
        turn.problem, turn.pause = "", self._first_pause_s
        turn.next_at = time.monotonic() + (place.every_s if len(notes) < AT_ONCE else 0.0)

    def _failed(self, place: Place, turn: _Turn, problem: str) -> None:
        if problem != turn.problem:
            log.warning("a signed head could not be written out", reason=problem)
        turn.problem = problem
        turn.next_at = time.monotonic() + turn.pause
        turn.pause = min(turn.pause * 2, LONGEST_PAUSE_S)

    def _cursor(self, place: Place) -> int:
        """A mail box gets what is signed from now on; every other place gets all there is."""
        kept = self._kept()
        if _mark(place) in kept:
            return int(kept[_mark(place)])
        newest = self._stream.newest(before=None, limit=1) if place.kind is Kind.MAIL else []
        at = newest[0].sequence if newest else 0
        self._keep(place, at)
        return at

    def _kept(self) -> dict[str, Any]:
        return read_note(self._home / FOLDER / KEPT)

    def _keep(self, place: Place, at: int) -> None:
        path = self._home / FOLDER / KEPT
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, orjson.dumps({**self._kept(), _mark(place): at}).decode())

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("signed heads are not written out", reason=problem)
        self._problem = problem


def _mark(place: Place) -> str:
    return f"{place.name} {place.kind} {place.to}"


def _deliver(place: Place, notes: Sequence[Signed]) -> None:
    """The ways out need mail, TLS and HTTP: they are loaded where a place is named, only then."""
    module = importlib.import_module("ops.notary.delivering")
    cast(Deliver, vars(module)["deliver"])(place, notes)

"""Readings of the log as it is stored, page after page, told to the audit trail.

A reading that one page holds has one line there; a longer one a line when it begins and one when
it ends. What cannot be written there is not shown.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from domain.shared.errors import ImeweError
from gateways.security.bearer import Caller

ACTION: Final = "gateway.export"
OPEN_LIMIT: Final = 1000
"""Beyond that the oldest is forgotten: it ends without a line of its end."""

log = structlog.get_logger()

Tell = Callable[[Mapping[str, str], str], Awaitable[None]]
"""Writes a step of the person whose token it gets; raises ``ImeweError`` when it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one answer shows of the events behind ``after``: up to ``position``, ``shown`` of
    them. ``last`` is where the reading ends."""

    after: int
    position: int
    last: int
    shown: int


@dataclass(slots=True)
class _Open:
    first: int
    last: int
    shown: int = 0

    @property
    def resource(self) -> str:
        return f"events/{self.first}-{self.last}"


class Exports:
    """Knows which page goes on where another ended. One event loop."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._open: dict[tuple[str, int], _Open] = {}

    async def shows(self, caller: Caller, page: Page) -> None:
        """Call before a page is given. Raises ``UnavailableError`` when it must not be."""
        person = caller.person().id
        known = self._open.pop((person, page.after), None)
        reading = known or _Open(page.after + 1, page.last)
        reading.shown += page.shown
        whole = page.position >= reading.last
        longer = page.position > reading.last
        reading.last = max(reading.last, page.position)
        if known is None:
            await self._say(reading, "done" if whole else "begun", caller)
        elif longer:  # the trail knows of less than is about to be shown
            await self._say(reading, "done", caller, f"{reading.shown} events")
        elif whole:
            await self._say_after(reading, "done", caller, f"{reading.shown} events")
        if not whole:
            while len(self._open) >= OPEN_LIMIT:
                del self._open[next(iter(self._open))]
            self._open[person, page.position] = reading

    async def breaks(self, caller: Caller, after: int, error: ImeweError) -> None:
        """The page behind ``after`` could not be read."""
        if known := self._open.pop((caller.person().id, after), None):
            await self._say_after(known, "failed", caller, error.message)

    async def _say(self, reading: _Open, outcome: str, caller: Caller, reason: str = "") -> None:
        told = {"action": ACTION, "outcome": outcome, "resource": reading.resource}
        await self._tell({**told, "reason": reason} if reason else told, caller.token)

    async def _say_after(self, reading: _Open, outcome: str, caller: Caller, reason: str) -> None:
        """Its beginning stands in the trail already, so nothing is held back for the end."""
        try:
            await self._say(reading, outcome, caller, reason)
        except ImeweError as error:
            log.warning("the audit trail was not told", outcome=outcome, problem=error.message)

"""What the gateway refuses for want of a right, handed over to the audit trail.

The commands service alone writes the trail, and records what it refuses itself. Handing over holds
up no answer: equal refusals that wait are counted, one request is under way at a time, and beyond a
number of different ones they are counted together. However many strangers knock, what goes on
inside stays small.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from domain.shared.errors import ForbiddenError, ImeweError, UnauthenticatedError
from gateways.security.bearer import Caller

WAITING_LIMIT: Final = 200
AGAIN_S: Final = 1.0
STOP_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """``token`` is one that was verified, or empty; ``address`` is the client's."""

    action: str
    outcome: str
    reason: str
    resource: str = ""
    address: str = ""
    token: str = ""


OTHERS: Final = Denial(action="various", outcome="various", reason="more than wait one by one")


class Denials:
    """Counts and hands over. ``tell`` raises ``ImeweError`` when it was not taken."""

    def __init__(self, tell: Callable[[Denial, int], Awaitable[None]]) -> None:
        self._tell = tell
        self._waiting: dict[Denial, int] = {}
        self._handing: asyncio.Task[None] | None = None

    def report(self, error: ImeweError, caller: Caller, *, action: str, resource: str = "") -> None:
        """Hand over a refusal for want of a right or a valid token; others are no matter here."""
        if not isinstance(error, ForbiddenError | UnauthenticatedError):
            return
        denial = Denial(
            action=action,
            outcome=error.code,
            reason=error.message,
            resource=resource,
            address=caller.address,
            token=caller.token if caller.principal else "",
        )
        if denial not in self._waiting and len(self._waiting) >= WAITING_LIMIT:
            denial = OTHERS
        self._count(denial, 1)
        if self._handing is None or self._handing.done():
            self._handing = asyncio.create_task(self._hand_over())

    async def close(self) -> None:
        """Hand over what waits, within a second."""
        if self._handing is not None:
            await asyncio.wait([self._handing], timeout=STOP_S)
            self._handing.cancel()

    def _count(self, denial: Denial, count: int) -> None:
        self._waiting[denial] = self._waiting.get(denial, 0) + count

    async def _hand_over(self) -> None:
        while self._waiting:
            denial = next(iter(self._waiting))
            count = self._waiting.pop(denial)
            try:
                await self._tell(denial, count)
            except ImeweError as error:
                log.warning("denials wait", problem=error.message)
                self._count(denial, count)
                await asyncio.sleep(AGAIN_S)

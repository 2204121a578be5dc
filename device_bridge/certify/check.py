"""One check of the conformance suite, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from device_bridge.certify.bench import Bench


class Applies(StrEnum):
    """Whom a check is for."""

    ALL = "all"
    RUNNING = "running"
    """Drivers that run programs."""
    READ_ONLY = "read_only"


class State(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be tried here."""
    EXEMPT = "exempt"
    """The driver says why it cannot apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``run`` returns a few words on what was seen and raises when the driver is at fault.

    ``needs`` names hooks and programs of the peer. ``moves``: the machine may move, heat or need
    a reset afterwards.
    """

    name: str
    says: str
    run: Callable[[Bench], Awaitable[str]]
    applies: Applies = Applies.RUNNING
    needs: tuple[str, ...] = ()
    moves: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check's end, in one line."""

    name: str
    state: State
    text: str
    seconds: float

    def as_json(self) -> dict[str, str | float]:
        """For programs."""
        return {
            "check": self.name,
            "state": self.state,
            "text": self.text,
            "seconds": round(self.seconds, 3),
        }

"""What the notary says of itself, and how often it signs."""

from dataclasses import dataclass
from enum import StrEnum

from ops.eventstore.chain import Flaw


class Phase(StrEnum):
    """What the notary is doing."""

    STARTING = "starting"
    COMPARING = "comparing"
    FOLLOWING = "following"
    STOPPED_BY_FLAW = "stopped_by_flaw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A head is signed after so many events or so many seconds, whichever comes first."""

    events: int = 1000
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far the notary is. ``taken``: events in its trees; ``trouble``: why it waits."""

    phase: Phase
    origin: str
    signed: int
    taken: int
    log_end: int
    flaw: Flaw | None
    trouble: str

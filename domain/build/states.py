"""The states of a build, and which may follow which."""

from enum import StrEnum


class BuildStatus(StrEnum):
    """Where one run of one machine stands."""

    PLANNED = "PLANNED"
    RESERVED = "RESERVED"
    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FINISHED = "FINISHED"
    INSPECTED = "INSPECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


WITHDRAWABLE = frozenset({BuildStatus.PLANNED, BuildStatus.RESERVED, BuildStatus.SENT})
"""Before the machine's bridge has taken it over."""
ON_THE_MACHINE = frozenset({BuildStatus.ACCEPTED, BuildStatus.RUNNING, BuildStatus.PAUSED})
ENDED = frozenset({BuildStatus.INSPECTED, BuildStatus.FAILED, BuildStatus.CANCELLED})

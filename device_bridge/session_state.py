"""Where a session with one machine stands."""

from enum import StrEnum


class SessionState(StrEnum):
    """Where the session with one machine stands."""

    DISCONNECTED = "DISCONNECTED"
    PROBING = "PROBING"
    IDLE = "IDLE"
    STREAMING = "STREAMING"
    PAUSED = "PAUSED"
    FAULTED = "FAULTED"
    STOPPED = "STOPPED"

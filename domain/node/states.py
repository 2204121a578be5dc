"""A node's life cycle, and MTConnect's words for what its machine is doing."""

from enum import StrEnum


class NodeStatus(StrEnum):
    """Life cycle. Links, bed and holds stand beside it and are no states."""

    REGISTERED = "REGISTERED"
    CONFIGURED = "CONFIGURED"
    IDLE = "IDLE"
    ASSIGNED = "ASSIGNED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    MAINTENANCE = "MAINTENANCE"
    DECOMMISSIONED = "DECOMMISSIONED"


class Availability(StrEnum):
    """MTConnect ``AVAILABILITY``."""

    AVAILABLE = "AVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"


class Execution(StrEnum):
    """MTConnect ``EXECUTION``."""

    READY = "READY"
    ACTIVE = "ACTIVE"
    FEED_HOLD = "FEED_HOLD"
    INTERRUPTED = "INTERRUPTED"
    WAIT = "WAIT"
    STOPPED = "STOPPED"
    OPTIONAL_STOP = "OPTIONAL_STOP"
    PROGRAM_STOPPED = "PROGRAM_STOPPED"
    PROGRAM_COMPLETED = "PROGRAM_COMPLETED"
    UNAVAILABLE = "UNAVAILABLE"


class EmergencyStop(StrEnum):
    """MTConnect ``EMERGENCY_STOP``."""

    ARMED = "ARMED"
    TRIGGERED = "TRIGGERED"


class ConditionLevel(StrEnum):
    """MTConnect condition levels."""

    NORMAL = "NORMAL"
    WARNING = "WARNING"
    FAULT = "FAULT"
    UNAVAILABLE = "UNAVAILABLE"

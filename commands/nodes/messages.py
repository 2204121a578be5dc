"""Commands about machines."""

from typing import Any

from commands.message import message, value


@message
class RegisterNode:
    """A vendor or an admin makes a machine known. Its id follows from the command's name."""

    name: str
    bridge: str = "local"
    virtual: bool = False


@message
class ConfigureNode:
    """A vendor or an admin puts a profile into effect; see ``domain.node.profile``."""

    node_id: str
    profile: dict[str, Any]


@message
class ConnectMachine:
    """The bridge reached the machine."""

    node_id: str
    identity: dict[str, Any]
    virtual: bool = False


@message
class DisconnectMachine:
    """The bridge lost the machine."""

    node_id: str
    reason: str


@value
class ConditionField:
    """An MTConnect condition: level, type, native code and text."""

    level: str
    type: str
    code: str
    text: str


@message
class ObserveNode:
    """The bridge saw the machine do something else, in MTConnect's words."""

    node_id: str
    availability: str
    execution: str
    emergency_stop: str
    conditions: list[ConditionField]


@message
class ReserveNode:
    """The processes hold it for a build. The answer carries the fencing epoch."""

    node_id: str
    build_id: str


@message
class ReleaseNode:
    """The processes give it back."""

    node_id: str
    build_id: str


@message
class BeginExecution:
    """The processes saw its build start."""

    node_id: str
    build_id: str


@message
class EndExecution:
    """The processes saw its build end."""

    node_id: str
    build_id: str
    outcome: str


@message
class ClearBed:
    """An operator, or a virtual machine's attendant, says that the bed is clear."""

    node_id: str
    by: str = ""


@message
class PauseNode:
    """An operator wants no new work on it; a running build is paused too."""

    node_id: str
    reason: str = ""


@message
class ResumeNode:
    """An operator lets it take work again; a paused build goes on."""

    node_id: str


@message
class RecordEmergencyStop:
    """The bridge halted the machine; the record follows the deed."""

    node_id: str
    stopped_by: str
    latency_ms: int


@message
class ClearEmergencyStop:
    """An operator says that it is safe again."""

    node_id: str


@message
class BeginMaintenance:
    """An operator takes it out of service."""

    node_id: str


@message
class EndMaintenance:
    """An operator puts it back into service."""

    node_id: str


@message
class DecommissionNode:
    """An admin or its vendor lets it leave the fleet."""

    node_id: str


@message
class CorrectDowntime:
    """An operator says that it was down, until now when no end is named. ISO 8601 with zones."""

    node_id: str
    since: str
    reason: str
    until: str | None = None


@message
class WithdrawDowntime:
    """An operator takes back a downtime that began at this moment."""

    node_id: str
    since: str
    reason: str

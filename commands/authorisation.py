"""Who may command what, as data: command → who → rule. What is not in the table is denied.

Every entrance passes it, bridges and processes too. A rule looks at the objects concerned; an
object of another organisation was not found before a rule is asked.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from commands.message import MESSAGES
from commands.principal import BRIDGE, SERVICE, USER, Principal
from commands.world import World
from domain.account.roles import HUMAN, Role
from domain.build.aggregate import Build
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.shared.errors import ForbiddenError, InvalidInputError

Rule = Callable[[Any, World], bool]

PROCESSES: Final = f"{SERVICE}/processes"
SUPERVISOR: Final = f"{SERVICE}/supervisor"
COMMANDS: Final = f"{SERVICE}/commands"
"""The commands service itself, which alone holds the keys of people."""
EMERGENCY_STOP: Final = "EmergencyStop"
"""No message: the gateway asks the bridge at once, and asks this table first."""
CLEAR_FAULT: Final = "ClearFault"
"""No message either: what the machine says after it is what the bridge reports."""
ATTEND: Final = "AttendMachine"
"""Nor this: a person's word about a machine without a wire goes to its bridge."""
READ_TRAIL: Final = "ReadAuditTrail"
"""No message either: reading who logged in and who was refused."""

REVEAL: Final = "RevealPerson"
"""Nor this: reading names and mails. Everybody may read the own ones."""
MANAGE_PROJECTIONS: Final = "ManageProjections"
"""Nor this: the projections service builds, switches and drops read models."""
READ_PROOF: Final = "ReadProof"
"""Nor this: signed heads and exports that prove what the log holds."""
ROTATE_NOTARY_KEY: Final = "RotateNotaryKey"
"""Nor this: the notary signs with a new key from then on."""

READ_CERTIFICATE: Final = "ReadErasureCertificate"
"""Nor this: the proof that a person was erased."""
EXPORT_SUBJECT: Final = "ExportSubject"
"""Nor this: all that is known about a person. Everybody may have the own."""
ROTATE_KEK: Final = "RotateKek"
"""Nor this: the commands service wraps people's keys by another key-encryption key."""

NOT_MESSAGES: Final = frozenset(
    {
        EMERGENCY_STOP,
        CLEAR_FAULT,
        ATTEND,
        READ_TRAIL,
        REVEAL,
        MANAGE_PROJECTIONS,
        READ_PROOF,
        ROTATE_NOTARY_KEY,
        READ_CERTIFICATE,
        EXPORT_SUBJECT,
        ROTATE_KEK,
    }
)
"""Rows of the table that no command has: others than the commands service obey."""


def anything(command: Any, world: World) -> bool:
    """Whatever lies in the organisation."""
    return True


def own_job(command: Any, world: World) -> bool:
    """A job that this person ordered."""
    return world.get(Job, command.job_id).owner_id == world.principal.id


def part_of_own_job(command: Any, world: World) -> bool:
    """A part of a job that this person ordered."""
    job_id = world.get(Part, command.part_id).job_id
    return world.get(Job, job_id).owner_id == world.principal.id


def own_node(command: Any, world: World) -> bool:
    """A machine that this person registered."""
    return world.get(Node, command.node_id).owner_id == world.principal.id


def own_account(command: Any, world: World) -> bool:
    """The person's own account."""
    return bool(command.account_id == world.principal.id)


def own_organisation(command: Any, world: World) -> bool:
    """The organisation in which the role is held."""
    return bool(command.organisation_id == world.organisation_id)


def attached_node(command: Any, world: World) -> bool:
    """A machine that this bridge drives."""
    return world.get(Node, command.node_id).bridge == world.principal.id


def attached_virtual_node(command: Any, world: World) -> bool:
    """A simulated machine that this bridge drives: its attendant is simulated too."""
    return attached_node(command, world) and world.get(Node, command.node_id).virtual


def build_on_attached_node(command: Any, world: World) -> bool:
    """A build of a machine that this bridge drives."""
    node_id = world.get(Build, command.build_id).node_id
    return world.get(Node, node_id).bridge == world.principal.id


Row = Mapping[str, Rule]

_ADMIN: Row = {Role.ADMIN: anything}
_STAFF: Row = {Role.ADMIN: anything, Role.OPERATOR: anything}
_OWNER: Row = {Role.ADMIN: anything, Role.DESIGNER: own_job}
_JUDGE: Row = {**_STAFF, Role.DESIGNER: part_of_own_job, PROCESSES: anything}
_VENDOR: Row = {Role.ADMIN: anything, Role.VENDOR: own_node}
_SAGA: Row = {PROCESSES: anything}
_AUDIT: Row = {Role.ADMIN: anything, Role.AUDITOR: anything}
_MACHINE: Row = {BRIDGE: attached_node}
_RUN: Row = {BRIDGE: build_on_attached_node}

MATRIX: Mapping[str, Row] = {
    # organisations and accounts
    "FoundOrganisation": {SUPERVISOR: anything},
    "RenameOrganisation": {Role.ADMIN: own_organisation},
    "OpenAccount": {**_ADMIN, SUPERVISOR: anything},
    "GrantRole": _ADMIN,
    "RevokeRole": _ADMIN,
    "ReplacePassword": {**dict.fromkeys(HUMAN, own_account), **_ADMIN, SUPERVISOR: anything},
    "CloseAccount": _ADMIN,
    "EraseSubject": _ADMIN,
    "ConfirmErasure": {COMMANDS: anything},
    # orders
    "SubmitJob": {Role.ADMIN: anything, Role.DESIGNER: anything},
    "ReprioritizeJob": _OWNER,
    "CancelJob": _OWNER,
    "FollowPart": _SAGA,
    "OrderPart": _SAGA,
    "ValidatePart": _SAGA,
    "RejectPart": _SAGA,
    "SchedulePart": _SAGA,
    "MissMachine": _SAGA,
    "QueuePiece": _SAGA,
    "ReturnPiece": _SAGA,
    "StartPiece": _SAGA,
    "PausePiece": _SAGA,
    "MakePiece": _SAGA,
    "PassPiece": _JUDGE,
    "ScrapPiece": _JUDGE,
    "CancelPiece": _SAGA,
    "CancelPart": _SAGA,
    "FailPart": _SAGA,
    # runs of machines
    "PlanBuild": _SAGA,
    "ReserveBuild": _SAGA,
    "SendBuild": _SAGA,
    "RequestBuildCancel": _SAGA,
    "InspectBuild": _SAGA,
    "AcceptBuild": _RUN,
    "StartBuild": _RUN,
    "ReportProgress": _RUN,
    "ReportPaused": _RUN,
    "ReportResumed": _RUN,
    "FinishBuild": _RUN,
    "ReportOutcomeUnknown": _RUN,
    "FailBuild": {**_RUN, **_SAGA},
    "ConfirmCancelled": {**_RUN, **_SAGA},
    # machines
    "RegisterNode": {Role.ADMIN: anything, Role.VENDOR: anything},
    "ConfigureNode": _VENDOR,
    "DecommissionNode": _VENDOR,
    "ConnectMachine": _MACHINE,
    "DisconnectMachine": _MACHINE,
    "ObserveNode": _MACHINE,
    "RecordEmergencyStop": _MACHINE,
    "ReserveNode": _SAGA,
    "ReleaseNode": _SAGA,
    "BeginExecution": _SAGA,
    "EndExecution": _SAGA,
    "ClearBed": {**_STAFF, BRIDGE: attached_virtual_node},
    "PauseNode": _STAFF,
    "ResumeNode": _STAFF,
    "ClearEmergencyStop": _STAFF,
    "BeginMaintenance": _STAFF,
    "EndMaintenance": _STAFF,
    # material
    "ReceiveMaterial": {**_STAFF, Role.VENDOR: own_node},
    "CountMaterial": _STAFF,
    "CorrectMaterial": _STAFF,
    "SendTransfer": _STAFF,
    "ReceiveTransfer": _STAFF,
    "ReserveMaterial": _SAGA,
    "ReleaseMaterial": _SAGA,
    "ConsumeMaterial": _SAGA,
    "WasteMaterial": _SAGA,
    # the saga
    "RequestDispatch": _SAGA,
    "ChooseNode": _SAGA,
    "RecordNodeReserved": _SAGA,
    "RecordMaterialReserved": _SAGA,
    "RecordSent": _SAGA,
    "RecordStarted": _SAGA,
    "RevertDispatch": _SAGA,
    "FinishRevert": _SAGA,
    "CloseDispatch": _SAGA,
    # corrections and closed months
    "CorrectCount": _STAFF,
    "ReassignConsumption": _STAFF,
    "CorrectFigures": _STAFF,
    "CorrectDowntime": _STAFF,
    "WithdrawDowntime": _STAFF,
    "CutOffPeriod": _ADMIN,
    "ClosePeriod": _ADMIN,
    # not messages
    EMERGENCY_STOP: _STAFF,
    CLEAR_FAULT: {**_STAFF, Role.VENDOR: own_node},
    ATTEND: {**_STAFF, Role.VENDOR: own_node},
    REVEAL: _ADMIN,
    READ_CERTIFICATE: _AUDIT,
    EXPORT_SUBJECT: _ADMIN,
    ROTATE_KEK: _ADMIN,
    READ_TRAIL: _AUDIT,
    MANAGE_PROJECTIONS: _ADMIN,
    READ_PROOF: _AUDIT,
    ROTATE_NOTARY_KEY: _ADMIN,
}


def rules_for(name: str, principal: Principal, organisation_id: str) -> list[Rule]:
    """The rules under which this principal may; one that holds is enough.

    Raises ``InvalidInputError`` when there is no such command and ``ForbiddenError`` when there
    is no rule.
    """
    if name not in MATRIX:
        reason = "has no row in the table of rights" if name in MESSAGES else "does not exist"
        raise InvalidInputError(f"command {name[:60]} {reason}", field="name")
    row = MATRIX[name]
    rules = [row[title] for title in titles(principal, organisation_id) if title in row]
    if not rules:
        raise ForbiddenError(f"you may not {_words(name)}")
    return rules


def permitted_places(name: str, principal: Principal) -> frozenset[str]:
    """The organisations in which a person may do this. Raises ``ForbiddenError`` for none."""
    found = frozenset(
        place for place in principal.scope.organisations if _may(name, principal, place)
    )
    if not found:
        raise ForbiddenError(f"you may not {_words(name)}")
    return found


def titles(principal: Principal, organisation_id: str) -> list[str]:
    """Under which names of the table's columns a principal acts."""
    if principal.kind == USER:
        return sorted(principal.scope.roles_in(organisation_id))
    return [principal.kind, str(principal)]


def allow(rules: list[Rule], command: Any, world: World) -> None:
    """Ask the rules about the objects concerned. Raises ``ForbiddenError``."""
    if anything in rules:
        return
    if not any(rule(command, world) for rule in rules):
        raise ForbiddenError(f"you may not {_words(type(command).__name__)} here")


def _may(name: str, principal: Principal, place: str) -> bool:
    try:
        return bool(rules_for(name, principal, place))
    except ForbiddenError:
        return False


def _words(name: str) -> str:
    """``ClearBed`` as ``clear bed``."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()

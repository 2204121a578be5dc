"""A machine of the fleet, with its links, its bed and its fencing epoch."""

from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.node.profile import checked_profile
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution, NodeStatus
from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import legible, named, remark, word
from domain.shared.errors import (
    BedNotClearError,
    IllegalTransitionError,
    InvalidInputError,
    NodeUnavailableError,
)

CONDITION_FIELDS = frozenset({"level", "type", "code", "text"})


class Node(ImeweAggregate):
    """A machine that makes things. It runs one build at a time, and only on a clear bed.

    ``epoch`` is the fencing epoch: each reservation counts it up, and the machine's bridge
    refuses work under a lower one. ``held`` is a person's wish that it takes no new work.
    """

    TOPIC = "imewe.node:Node"

    class Registered(Created):
        """It became known. ``virtual``: a simulated machine."""

        TOPIC = "imewe.node:Registered"
        organisation_id: str
        owner_id: str
        name: str
        bridge: str
        virtual: bool

    class Configured(ImeweAggregate.Event):
        """A configuration profile took effect; see ``domain.node.profile``."""

        TOPIC = "imewe.node:Configured"
        profile: dict[str, Any]
        profile_version: int

    class MachineConnected(ImeweAggregate.Event):
        """The bridge reached the machine. ``identity``: what the firmware says of itself."""

        TOPIC = "imewe.node:MachineConnected"
        identity: dict[str, Any]

    class MachineDisconnected(ImeweAggregate.Event):
        """The bridge lost the machine."""

        TOPIC = "imewe.node:MachineDisconnected"
        reason: str

    class Observed(ImeweAggregate.Event):
        """What the machine is doing became different, in MTConnect's words."""

        TOPIC = "imewe.node:Observed"
        availability: str
        execution: str
        emergency_stop: str
        conditions: list[dict[str, str]]

    class Reserved(ImeweAggregate.Event):
        """A build holds the node under a new fencing epoch."""

        TOPIC = "imewe.node:Reserved"
        build_id: str
        epoch: int

    class Released(ImeweAggregate.Event):
        """The build gave it back before anything moved."""

        TOPIC = "imewe.node:Released"
        build_id: str

    class ExecutionBegan(ImeweAggregate.Event):
        """The machine works on the build; its bed is taken."""

        TOPIC = "imewe.node:ExecutionBegan"
        build_id: str

    class ExecutionEnded(ImeweAggregate.Event):
        """The machine stopped working on the build; its bed is not clear."""

        TOPIC = "imewe.node:ExecutionEnded"
        build_id: str
        outcome: str

    class BedCleared(ImeweAggregate.Event):
        """Somebody took everything off the bed and says so."""

        TOPIC = "imewe.node:BedCleared"
        by: str

    class Held(ImeweAggregate.Event):
        """A person wants no new work on it."""

        TOPIC = "imewe.node:Held"
        reason: str

    class HoldEnded(ImeweAggregate.Event):
        """It takes work again."""

        TOPIC = "imewe.node:HoldEnded"

    class EmergencyStopped(ImeweAggregate.Event):
        """The machine was halted at once; latched until a person clears it."""

        TOPIC = "imewe.node:EmergencyStopped"
        by: str
        latency_ms: int

    class EmergencyStopCleared(ImeweAggregate.Event):
        """A person says that it is safe again."""

        TOPIC = "imewe.node:EmergencyStopCleared"
        by: str

    class MaintenanceBegan(ImeweAggregate.Event):
        """It is out of service for work on itself."""

        TOPIC = "imewe.node:MaintenanceBegan"

    class MaintenanceEnded(ImeweAggregate.Event):
        """It is back in service."""

        TOPIC = "imewe.node:MaintenanceEnded"

    class DowntimeRecorded(ImeweAggregate.Event):
        """A person says that it was down from ``effective_from`` to ``effective_until``, whatever
        its links had said: of that time they had told these ms otherwise."""

        TOPIC = "imewe.node:DowntimeRecorded"
        effective_from: str
        effective_until: str
        connected_ms: int
        executing_ms: int
        reason: str

    class DowntimeWithdrawn(ImeweAggregate.Event):
        """It had not been down then after all: what the links said counts again."""

        TOPIC = "imewe.node:DowntimeWithdrawn"
        effective_from: str
        effective_until: str
        connected_ms: int
        executing_ms: int
        reason: str

    class Decommissioned(ImeweAggregate.Event):
        """It left the fleet for good; its history stays."""

        TOPIC = "imewe.node:Decommissioned"

    @classmethod
    def register(
        cls,
        node_id: UUID,
        *,
        organisation_id: str,
        owner_id: str,
        name: str,
        bridge: str,
        virtual: bool,
    ) -> Self:
        """Make a machine known. Its bed counts as taken until somebody has looked."""
        return cls._create(
            cls.Registered,
            id=node_id,
            organisation_id=organisation_id,
            owner_id=owner_id,
            name=named("name", name),
            bridge=word("bridge", bridge),
            virtual=virtual,
        )

    @event(Registered)
    def __init__(
        self, organisation_id: str, owner_id: str, name: str, bridge: str, virtual: bool
    ) -> None:
        self.organisation_id = organisation_id
        self.owner_id = owner_id
        self.name = name
        self.bridge = bridge
        self.virtual = virtual
        self.status: str = NodeStatus.REGISTERED.value
        self.profile: dict[str, Any] = {}
        self.profile_version = 0
        self.connected = False
        self.identity: dict[str, Any] = {}
        self.availability: str = Availability.UNAVAILABLE.value
        self.execution: str = Execution.UNAVAILABLE.value
        self.emergency_stop: str = EmergencyStop.ARMED.value
        self.conditions: list[dict[str, str]] = []
        self.bed_clear = False
        self.held = False
        self.stopped = False
        self.build_id = ""
        self.epoch = 0
        self.downtimes: list[dict[str, Any]] = []

    def configure(self, profile: dict[str, Any]) -> None:
        """Put a profile into effect; a build already running keeps the one it began under."""
        self._refuse_when_gone("configured")
        wanted = checked_profile(profile)
        if wanted != self.profile:
            self._configured(profile=wanted, profile_version=self.profile_version + 1)

    def connect(self, identity: dict[str, Any]) -> None:
        """The bridge reached the machine."""
        self._refuse_when_gone("connected")
        if not self.connected or identity != self.identity:
            self._machine_connected(identity=identity)

    def disconnect(self, reason: str) -> None:
        """The bridge lost the machine."""
        if self.connected:
            self._machine_disconnected(reason=legible(reason))

    def observe(
        self,
        *,
        availability: str,
        execution: str,
        emergency_stop: str,
        conditions: list[dict[str, str]],
    ) -> None:
        """Take over what the machine is doing; the same again is no news."""
        seen = (
            Availability(availability).value,
            Execution(execution).value,
            EmergencyStop(emergency_stop).value,
            [_checked_condition(condition) for condition in conditions],
        )
        if seen != (self.availability, self.execution, self.emergency_stop, self.conditions):
            self._observed(*seen)

    def reserve(self, build_id: str) -> int:
        """Hold the node for a build and return the fencing epoch.

        Raises ``NodeUnavailableError`` or ``BedNotClearError``.
        """
        if self.build_id == build_id:
            return self.epoch
        if self.status != NodeStatus.IDLE or not self.connected or self.held or self.stopped:
            raise NodeUnavailableError(f"Node {self.name} {self._why_not()}")
        if not self.bed_clear:
            raise BedNotClearError(
                f"The bed of node {self.name} is not clear", remedy="clear it and confirm it"
            )
        self._reserved(build_id=build_id, epoch=self.epoch + 1)
        return self.epoch

    def release(self, build_id: str) -> None:
        """Give the node back; a build that has begun ends by ``end_execution`` only."""
        if self.build_id != build_id:
            return
        if self.status != NodeStatus.ASSIGNED:
            raise IllegalTransitionError(f"Node {self.name} is {self.status}, not ASSIGNED")
        self._released(build_id=build_id)

    def begin_execution(self, build_id: str) -> None:
        """The machine works on the build."""
        if self.build_id == build_id and self.status == NodeStatus.EXECUTING:
            return
        if self.build_id != build_id or self.status != NodeStatus.ASSIGNED:
            raise IllegalTransitionError(f"Node {self.name} does not hold build {build_id}")
        self._execution_began(build_id=build_id)

    def end_execution(self, build_id: str, outcome: str) -> None:
        """The machine stopped working on the build."""
        if self.build_id == build_id:
            self._execution_ended(build_id=build_id, outcome=outcome)

    def clear_bed(self, by: str) -> None:
        """Somebody says that the bed is clear."""
        self._refuse_when_gone("cleared")
        if self.status == NodeStatus.EXECUTING:
            raise IllegalTransitionError(
                f"Node {self.name} is working; its bed cannot be clear",
                remedy="wait for the end of the build or cancel it",
            )
        if not self.bed_clear:
            self._bed_cleared(by=by)

    def hold(self, reason: str) -> None:
        """Take no new work."""
        self._refuse_when_gone("held")
        if not self.held:
            self._held(reason=remark("reason", reason))

    def end_hold(self) -> None:
        """Take work again."""
        if self.held:
            self._hold_ended()

    def stop(self, *, by: str, latency_ms: int) -> None:
        """The machine was halted at once."""
        if not self.stopped:
            self._emergency_stopped(by=by, latency_ms=latency_ms)

    def clear_stop(self, by: str) -> None:
        """A person says that it is safe again."""
        if self.stopped:
            self._emergency_stop_cleared(by=by)

    def begin_maintenance(self) -> None:
        """Take it out of service."""
        if self.status == NodeStatus.MAINTENANCE:
            return
        self._refuse_when_busy("maintained")
        self._maintenance_began()

    def end_maintenance(self) -> None:
        """Put it back into service."""
        if self.status == NodeStatus.MAINTENANCE:
            self._maintenance_ended()

    def decommission(self) -> None:
        """Let it leave the fleet."""
        if self.status == NodeStatus.DECOMMISSIONED:
            return
        self._refuse_when_busy("decommissioned")
        self._decommissioned()

    def _why_not(self) -> str:
        if self.stopped:
            return "is stopped by an emergency stop that nobody has cleared"
        if self.held:
            return "is held"
        if not self.connected:
            return "is not connected"
        return f"is {self.status}"

    def _refuse_when_busy(self, wish: str) -> None:
        self._refuse_when_gone(wish)
        if self.build_id:
            raise IllegalTransitionError(f"Node {self.name} is {self.status} and cannot be {wish}")

    def _refuse_when_gone(self, wish: str) -> None:
        if self.status == NodeStatus.DECOMMISSIONED:
            raise IllegalTransitionError(f"Node {self.name} is DECOMMISSIONED and cannot be {wish}")

    def _settle(self) -> None:
        """Where a node rests that no build holds."""
        if self.status in {NodeStatus.MAINTENANCE, NodeStatus.DECOMMISSIONED} or self.build_id:
            return
        if not self.profile:
            self.status = NodeStatus.REGISTERED.value
        elif not self.identity:
            self.status = NodeStatus.CONFIGURED.value
        elif not self.bed_clear and self.epoch:
            self.status = NodeStatus.COMPLETED.value
        else:
            self.status = NodeStatus.IDLE.value

    @event(Configured)
    def _configured(self, profile: dict[str, Any], profile_version: int) -> None:
        self.profile = profile
        self.profile_version = profile_version
        self._settle()

    @event(MachineConnected)
    def _machine_connected(self, identity: dict[str, Any]) -> None:
        self.connected = True
        self.identity = identity
        self.availability = Availability.AVAILABLE.value
        self._settle()

    @event(MachineDisconnected)
    def _machine_disconnected(self, reason: str) -> None:
        self.connected = False
        self.availability = Availability.UNAVAILABLE.value
        self.execution = Execution.UNAVAILABLE.value

    @event(Observed)
    def _observed(
        self,
        availability: str,
        execution: str,
        emergency_stop: str,
        conditions: list[dict[str, str]],
    ) -> None:
        self.availability = availability
        self.execution = execution
        self.emergency_stop = emergency_stop
        self.conditions = conditions

    @event(Reserved)
    def _reserved(self, build_id: str, epoch: int) -> None:
        self.status = NodeStatus.ASSIGNED.value
        self.build_id = build_id
        self.epoch = epoch

    @event(Released)
    def _released(self, build_id: str) -> None:
        self.build_id = ""
        self._settle()

    @event(ExecutionBegan)
    def _execution_began(self, build_id: str) -> None:
        self.status = NodeStatus.EXECUTING.value
        self.bed_clear = False

    @event(ExecutionEnded)
    def _execution_ended(self, build_id: str, outcome: str) -> None:
        self.build_id = ""
        self.bed_clear = False
        self._settle()

    @event(BedCleared)
    def _bed_cleared(self, by: str) -> None:
        self.bed_clear = True
        self._settle()

    @event(Held)
    def _held(self, reason: str) -> None:
        self.held = True

    @event(HoldEnded)
    def _hold_ended(self) -> None:
        self.held = False

    @event(EmergencyStopped)
    def _emergency_stopped(self, by: str, latency_ms: int) -> None:
        self.stopped = True
        self.emergency_stop = EmergencyStop.TRIGGERED.value

    @event(EmergencyStopCleared)
    def _emergency_stop_cleared(self, by: str) -> None:
        self.stopped = False
        self.emergency_stop = EmergencyStop.ARMED.value

    @event(MaintenanceBegan)
    def _maintenance_began(self) -> None:
        self.status = NodeStatus.MAINTENANCE.value

    @event(MaintenanceEnded)
    def _maintenance_ended(self) -> None:
        self.status = NodeStatus.CONFIGURED.value
        self._settle()

    @event(DowntimeRecorded)
    def _downtime_recorded(
        self, effective_from: str, effective_until: str, connected_ms: int, executing_ms: int
    ) -> None:
        downtime = {
            "since": effective_from,
            "until": effective_until,
            "connected_ms": connected_ms,
            "executing_ms": executing_ms,
        }
        self.downtimes = [*self.downtimes, downtime]

    @event(DowntimeWithdrawn)
    def _downtime_withdrawn(self, effective_from: str) -> None:
        self.downtimes = [each for each in self.downtimes if each["since"] != effective_from]

    @event(Decommissioned)
    def _decommissioned(self) -> None:
        self.status = NodeStatus.DECOMMISSIONED.value


def _checked_condition(condition: dict[str, str]) -> dict[str, str]:
    if set(condition) != CONDITION_FIELDS:
        raise InvalidInputError(
            f"a condition needs {', '.join(sorted(CONDITION_FIELDS))}", field="conditions"
        )
    return {**condition, "level": ConditionLevel(condition["level"]).value}

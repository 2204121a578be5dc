"""Decisions about machines."""

from dataclasses import asdict

from commands.handling import handles
from commands.nodes.messages import (
    BeginExecution,
    BeginMaintenance,
    ClearBed,
    ClearEmergencyStop,
    ConfigureNode,
    ConnectMachine,
    CorrectDowntime,
    DecommissionNode,
    DisconnectMachine,
    EndExecution,
    EndMaintenance,
    ObserveNode,
    PauseNode,
    RecordEmergencyStop,
    RegisterNode,
    ReleaseNode,
    ReserveNode,
    ResumeNode,
    WithdrawDowntime,
)
from commands.principal import BRIDGE
from commands.world import World
from domain.node import downtime
from domain.node.aggregate import Node
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from domain.shared.checks import named, one_of, remark
from domain.shared.moments import told

VIRTUAL_ATTENDANT = "virtual attendant"


@handles(RegisterNode)
def register_node(command: RegisterNode, world: World) -> Node:
    return Node.register(
        world.fresh(Node),
        organisation_id=world.home(),
        owner_id=world.principal.id,
        name=command.name,
        bridge=command.bridge,
        virtual=command.virtual,
    )


@handles(ConfigureNode, tell=lambda node: {"profile_version": node.profile_version})
def configure_node(command: ConfigureNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.configure(command.profile)
    return node


@handles(ConnectMachine)
def connect_machine(command: ConnectMachine, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.connect(command.identity)
    return node


@handles(DisconnectMachine)
def disconnect_machine(command: DisconnectMachine, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.disconnect(command.reason)
    return node


@handles(ObserveNode)
def observe_node(command: ObserveNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    for condition in command.conditions:
        one_of("conditions.level", condition.level, ConditionLevel)
    node.observe(
        availability=one_of("availability", command.availability, Availability),
        execution=one_of("execution", command.execution, Execution),
        emergency_stop=one_of("emergency_stop", command.emergency_stop, EmergencyStop),
        conditions=[asdict(condition) for condition in command.conditions],
    )
    return node


@handles(ReserveNode, tell=lambda node: {"epoch": node.epoch})
def reserve_node(command: ReserveNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.reserve(command.build_id)
    return node


@handles(ReleaseNode)
def release_node(command: ReleaseNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.release(command.build_id)
    return node


@handles(BeginExecution)
def begin_execution(command: BeginExecution, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.begin_execution(command.build_id)
    return node


@handles(EndExecution)
def end_execution(command: EndExecution, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.end_execution(command.build_id, command.outcome)
    return node


@handles(ClearBed)
def clear_bed(command: ClearBed, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.clear_bed(VIRTUAL_ATTENDANT if world.principal.kind == BRIDGE else world.by)
    return node


@handles(PauseNode)
def pause_node(command: PauseNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.hold(world.in_own_words(remark("reason", command.reason)))
    return node


@handles(ResumeNode)
def resume_node(command: ResumeNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.end_hold()
    return node


@handles(RecordEmergencyStop)
def record_emergency_stop(command: RecordEmergencyStop, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.stop(by=command.stopped_by, latency_ms=command.latency_ms)
    return node


@handles(ClearEmergencyStop)
def clear_emergency_stop(command: ClearEmergencyStop, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.clear_stop(world.by)
    return node


@handles(BeginMaintenance)
def begin_maintenance(command: BeginMaintenance, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.begin_maintenance()
    return node


@handles(EndMaintenance)
def end_maintenance(command: EndMaintenance, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.end_maintenance()
    return node


@handles(DecommissionNode)
def decommission_node(command: DecommissionNode, world: World) -> Node:
    node = world.get(Node, command.node_id)
    node.decommission()
    return node


@handles(CorrectDowntime)
def correct_downtime(command: CorrectDowntime, world: World) -> Node:
    node = world.get(Node, command.node_id)
    downtime.correct_downtime(
        node,
        world.past(node),
        since=command.since,
        until=command.until or told(world.now),
        reason=world.in_own_words(named("reason", command.reason)),
        now=world.now,
    )
    return node


@handles(WithdrawDowntime)
def withdraw_downtime(command: WithdrawDowntime, world: World) -> Node:
    node = world.get(Node, command.node_id)
    downtime.withdraw_downtime(
        node, since=command.since, reason=world.in_own_words(named("reason", command.reason))
    )
    return node

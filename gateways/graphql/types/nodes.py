"""Machines."""

from datetime import timedelta
from typing import Any, Self

import strawberry
from strawberry.scalars import JSON

from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution, NodeStatus
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.notes import noted
from gateways.graphql.past import MomentShown
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.inventory import Lot
from gateways.graphql.types.shared import Location, Size
from projections.nodes.rows import NodeView, RunRow

strawberry.enum(NodeStatus, description="A machine's life cycle.")
strawberry.enum(Availability, description="MTConnect AVAILABILITY.")
strawberry.enum(Execution, description="MTConnect EXECUTION.")
strawberry.enum(EmergencyStop, description="MTConnect EMERGENCY_STOP.")
strawberry.enum(ConditionLevel, description="MTConnect condition levels.")


@strawberry.type(description="What a machine can make. The hard limits of the choice of machines.")
class Capabilities:
    types: list[str] = described("Processes: fdm, mill or laser.")
    materials: list[str] = described("Upper case, for example PLA.")
    max_size: Size = described("The largest piece.")
    precision: float = described("mm.")
    max_nozzle_c: float = described("°C.")
    max_bed_c: float = described("°C.")
    inspection: str = described("person, or automatic: pieces pass when the machine reports it.")
    energy_efficiency: float = described("For the choice of machines: 0 (worst) to 1.")
    origin: str | None = described("corner or centre: where X0 Y0 of its bed is.")
    forbidden_codes: list[str] = described("G and M codes that no program may hold here.")
    tools: int = described("How many tools it changes by itself.")
    max_spindle_rpm: float | None = described("The highest S of M3 and M4 on a mill.")
    max_power_s: float | None = described("The highest S of M3 and M4 on a laser.")

    @classmethod
    def of(cls, profile: dict[str, Any]) -> Self | None:
        """``None`` before the first configuration."""
        if not profile:
            return None
        return cls(
            types=[profile["process"]],
            materials=profile["materials"],
            max_size=Size(**profile["max_size"]),
            precision=profile["precision_mm"],
            max_nozzle_c=profile["max_nozzle_c"],
            max_bed_c=profile["max_bed_c"],
            inspection=profile["inspection"],
            energy_efficiency=profile["energy_efficiency"],
            origin=profile.get("origin"),
            forbidden_codes=profile.get("forbidden_codes", []),
            tools=profile.get("tools", 1),
            max_spindle_rpm=profile.get("max_spindle_rpm"),
            max_power_s=profile.get("max_power_s"),
        )


@strawberry.type(description="What the machine says of its own health (MTConnect condition).")
class Condition:
    level: ConditionLevel = described("NORMAL, WARNING, FAULT or UNAVAILABLE.")
    type: str = described("What it is about, for example TEMPERATURE.")
    code: str = described("The machine's own code.")
    text: str = described("The machine's own words.")


@strawberry.type(description="The build that holds a machine.")
class Run:
    build_id: strawberry.ID = described("The build.")
    job_id: strawberry.ID = described("Its order.")
    part_id: strawberry.ID = described("Its part.")
    piece: int = described("Its piece.")
    program_name: str = described("The G-code's name.")
    status: str = described("The build's state.")
    percent: int = described("Acknowledged progress, %.")
    planned_duration_ms: Int53 = described("Estimate, ms.")
    started_at: Instant | None = described("When the machine began.")

    @classmethod
    def of(cls, row: RunRow) -> Self:
        """From a committed row."""
        return cls(
            build_id=strawberry.ID(row.build_id),
            job_id=strawberry.ID(row.job_id),
            part_id=strawberry.ID(row.part_id),
            piece=row.piece,
            program_name=row.program_name,
            status=row.status,
            percent=row.percent,
            planned_duration_ms=Int53(row.planned_duration_ms),
            started_at=Instant(row.started_at) if row.started_at else None,
        )


@strawberry.type(description="A machine of the fleet.")
class Node:
    id: strawberry.ID = described("Its id.")
    node_id: strawberry.ID = described("The same id, under the specification's name.")
    organisation_id: strawberry.ID = described("The tenant it belongs to.")
    vendor_id: strawberry.ID = described("The account that owns it.")
    name: str = described("As its owner named it.")
    bridge: str = described("The device bridge beside it.")
    virtual: bool = described("A simulated machine: it makes nothing real.")
    status: NodeStatus = described("Its life cycle.")
    capabilities: Capabilities | None = described("Null before the first configuration.")
    location: Location | None = described("Where it stands.")
    profile_version: int = described("How often it was configured.")
    connected: bool = described("Whether its bridge reaches it.")
    disconnect_reason: str = described("Why not, or empty.")
    identity: JSON = described("What its firmware says of itself.")
    availability: Availability = described("MTConnect.")
    execution: Execution = described("MTConnect.")
    emergency_stop: EmergencyStop = described("MTConnect.")
    stopped: bool = described("Stopped by an emergency stop that nobody has cleared.")
    conditions: list[Condition] = described("What it says of its own health.")
    bed_clear: bool = described("Nothing starts before somebody has cleared the bed.")
    held: bool = described("A person wants no new work on it.")
    hold_reason: str = noted("Why, or empty.")
    epoch: int = described("The fencing epoch, counted up by each reservation.")
    builds_ended: int = described("Runs that ended, however they did.")
    run: Run | None = described("The build that holds it.")
    active_jobs: list[strawberry.ID] = described("Orders that it works on.")
    registered_at: Instant = described("When it became known.")
    position: Position = described("The last event that changed it.")
    view: strawberry.Private[NodeView]

    @classmethod
    def of(cls, view: NodeView) -> Self:
        """From committed rows."""
        row, run = view.node, view.run
        place = row.profile.get("location")
        return cls(
            id=strawberry.ID(row.id),
            node_id=strawberry.ID(row.id),
            organisation_id=strawberry.ID(row.organisation_id),
            vendor_id=strawberry.ID(row.owner_id),
            name=row.name,
            bridge=row.bridge,
            virtual=row.virtual,
            status=NodeStatus(row.status),
            capabilities=Capabilities.of(row.profile),
            location=Location(**place) if place else None,
            profile_version=row.profile_version,
            connected=row.connected,
            disconnect_reason=row.disconnect_reason,
            identity=JSON(row.identity),
            availability=Availability(row.availability),
            execution=Execution(row.execution),
            emergency_stop=EmergencyStop(row.emergency_stop),
            stopped=row.stopped,
            conditions=[
                Condition(
                    level=ConditionLevel(each["level"]),
                    type=each["type"],
                    code=each["code"],
                    text=each["text"],
                )
                for each in row.conditions
            ],
            bed_clear=row.bed_clear,
            held=row.held,
            hold_reason=row.holding,
            epoch=row.epoch,
            builds_ended=row.builds_ended,
            run=Run.of(run) if run else None,
            active_jobs=[strawberry.ID(run.job_id)] if run else [],
            registered_at=Instant(row.registered_at),
            position=Position(row.position),
            view=view,
        )

    @resolved("The moment of the past that this shows; null is the present.")
    def as_of(self, info: Info) -> MomentShown | None:
        return MomentShown.of(info.context.moment_of(info))

    @resolved("Time for which its bridge has reached it, up to now or the moment shown, s.")
    def uptime(self, info: Info) -> float:
        row = self.view.node
        ended = timedelta(milliseconds=row.connected_ms)
        if row.connected_since:
            ended += max(info.context.present_of(info) - row.connected_since, timedelta())
        return round(ended.total_seconds(), 3)

    @resolved("The material that lies at it.")
    async def lots(self, info: Info) -> list[Lot]:
        rows = await info.context.loaders_of(info).lots_of_node.load(str(self.id))
        return [Lot.of(row) for row in rows]

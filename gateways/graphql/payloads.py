"""What a mutation answers: what was done, or why nothing was."""

import strawberry

from gateways.graphql.fields import described
from gateways.graphql.problems import Problem
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.people import Me


@strawberry.interface(
    description="The answer to a command. Without problems it is in the log for good."
)
class Payload:
    problems: list[Problem] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty when it was."
    )
    position: Position | None = strawberry.field(
        default=None,
        description="The last event of what it is about; send it as atLeast to see the result.",
    )
    command_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Sending the same command again under this id does it once and answers alike.",
    )


@strawberry.type(description="About an order.")
class JobPayload(Payload):
    job_id: strawberry.ID | None = strawberry.field(default=None, description="The order.")


@strawberry.type(description="About a part.")
class PartPayload(Payload):
    part_id: strawberry.ID | None = strawberry.field(default=None, description="The part.")


@strawberry.type(description="About a machine.")
class NodePayload(Payload):
    node_id: strawberry.ID | None = strawberry.field(default=None, description="The machine.")


@strawberry.type(description="About a lot of material.")
class InventoryPayload(Payload):
    inventory_id: strawberry.ID | None = strawberry.field(default=None, description="The lot.")
    free_mg: Int53 | None = strawberry.field(
        default=None, description="Free after it, mg, where the command says so."
    )


@strawberry.type(description="About a person.")
class AccountPayload(Payload):
    account_id: strawberry.ID | None = strawberry.field(default=None, description="The account.")


@strawberry.type(description="A token, or why there is none.")
class LoginPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list, description="Why there is no token."
    )
    token: str | None = strawberry.field(
        default=None, description="Send it as Authorization: Bearer <token>."
    )
    expires_at: Instant | None = strawberry.field(default=None, description="When it ends.")
    me: Me | None = strawberry.field(default=None, description="Who it belongs to.")


@strawberry.type(description="What the bridge says of an emergency stop.")
class StopReceipt:
    confirmed: bool = described("The machine said that it halted.")
    native_text: str = described("The machine's own words.")
    latency_ms: float = described("From the bridge's order to the machine's answer, ms.")
    round_trip_ms: float = described("From this request to the bridge's receipt, ms.")


@strawberry.type(
    description="An emergency stop goes straight to the machine's bridge; its record follows."
)
class EmergencyStopPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list,
        description="Why the bridge was not reached. Then use the machine's own switch.",
    )
    node_id: strawberry.ID | None = strawberry.field(default=None, description="The machine.")
    receipt: StopReceipt | None = strawberry.field(
        default=None, description="The bridge's answer; null when there was none."
    )


@strawberry.type(
    description="What the machine says after its fault was cleared; its bridge records that."
)
class ClearFaultPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list, description="Why the machine is as it was."
    )
    node_id: strawberry.ID | None = strawberry.field(default=None, description="The machine.")
    execution: str | None = strawberry.field(
        default=None, description="READY when it can be used again; null when nothing was done."
    )

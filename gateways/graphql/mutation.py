"""What can be done. Every field sends one command, except login and the emergency stop."""

from typing import Annotated

import strawberry

from domain.account.roles import Role
from domain.shared.errors import ImeweError
from gateways.graphql.attending import AttendingMutation
from gateways.graphql.commanding import command
from gateways.graphql.context import Info
from gateways.graphql.correcting import CorrectingMutation
from gateways.graphql.erasure import ErasureMutation
from gateways.graphql.fields import resolved
from gateways.graphql.fleet_stop import FleetStopMutation
from gateways.graphql.inputs import NodeProfileInput, SubmitJobInput
from gateways.graphql.payloads import (
    AccountPayload,
    ClearFaultPayload,
    EmergencyStopPayload,
    InventoryPayload,
    JobPayload,
    LoginPayload,
    NodePayload,
    PartPayload,
)
from gateways.graphql.problems import problem_of
from gateways.graphql.projecting import ProjectionMutation
from gateways.graphql.proof import ProofMutation
from gateways.graphql.scalars import EXACT, Instant, Int53
from gateways.graphql.stopping import clear_fault, clear_stop, stop_node
from gateways.graphql.types.people import Grant, Me

CommandId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Your own name for this command; makes a retry safe."),
]


@strawberry.type(description="What can be done.")
class Mutation(
    AttendingMutation,
    CorrectingMutation,
    ErasureMutation,
    FleetStopMutation,
    ProjectionMutation,
    ProofMutation,
):
    @resolved("Exchange mail and password for a token of a short life.")
    async def login(self, info: Info, mail: str, password: str) -> LoginPayload:
        try:
            done = await info.context.gateway.sign_in.sign_in(
                mail=mail, password=password, address=info.context.caller.address
            )
        except ImeweError as error:
            return LoginPayload(problems=[problem_of(error)])
        return LoginPayload(
            token=done.token,
            expires_at=Instant(done.expires_at),
            me=Me(
                account_id=strawberry.ID(done.account_id),
                name=done.name,
                grants=[Grant.of(grant) for grant in done.grants],
            ),
        )

    @resolved("Order parts.")
    async def submit_job(
        self, info: Info, input: SubmitJobInput, command_id: CommandId = None
    ) -> JobPayload:
        return await command(
            info, JobPayload, "SubmitJob", input.payload(), command_id=command_id, job_id="id"
        )

    @resolved("Ask for the end of an order; machines confirm it.")
    async def cancel_job(
        self, info: Info, job_id: strawberry.ID, reason: str = "", command_id: CommandId = None
    ) -> JobPayload:
        payload = {"job_id": job_id, "reason": reason}
        return await command(
            info, JobPayload, "CancelJob", payload, command_id=command_id, job_id="id"
        )

    @resolved("Change an order's place in the queue, 1 to 10 (first).")
    async def reprioritize_job(
        self, info: Info, job_id: strawberry.ID, priority: int, command_id: CommandId = None
    ) -> JobPayload:
        payload = {"job_id": job_id, "priority": priority}
        return await command(
            info, JobPayload, "ReprioritizeJob", payload, command_id=command_id, job_id="id"
        )

    @resolved("A piece is as ordered.")
    async def pass_piece(
        self, info: Info, part_id: strawberry.ID, piece: int, command_id: CommandId = None
    ) -> PartPayload:
        payload = {"part_id": part_id, "piece": piece}
        return await command(
            info, PartPayload, "PassPiece", payload, command_id=command_id, part_id="id"
        )

    @resolved("A piece is lost; another one is made instead.")
    async def scrap_piece(
        self,
        info: Info,
        part_id: strawberry.ID,
        piece: int,
        reason: str,
        command_id: CommandId = None,
    ) -> PartPayload:
        payload = {"part_id": part_id, "piece": piece, "reason": reason}
        return await command(
            info, PartPayload, "ScrapPiece", payload, command_id=command_id, part_id="id"
        )

    @resolved("Make a machine known. virtual: a simulated one.")
    async def register_node(
        self,
        info: Info,
        name: str,
        bridge: str = "local",
        virtual: bool = False,
        command_id: CommandId = None,
    ) -> NodePayload:
        payload = {"name": name, "bridge": bridge, "virtual": virtual}
        return await command(
            info, NodePayload, "RegisterNode", payload, command_id=command_id, node_id="id"
        )

    @resolved("Put a profile into effect.")
    async def configure_node(
        self,
        info: Info,
        node_id: strawberry.ID,
        profile: NodeProfileInput,
        command_id: CommandId = None,
    ) -> NodePayload:
        payload = {"node_id": node_id, "profile": profile.payload()}
        return await command(
            info, NodePayload, "ConfigureNode", payload, command_id=command_id, node_id="id"
        )

    @resolved("Say that a machine's bed is clear.")
    async def clear_bed(
        self, info: Info, node_id: strawberry.ID, command_id: CommandId = None
    ) -> NodePayload:
        return await command(
            info,
            NodePayload,
            "ClearBed",
            {"node_id": node_id},
            command_id=command_id,
            node_id="id",
        )

    @resolved("Give a machine no new work; a running build pauses.")
    async def pause_node(
        self, info: Info, node_id: strawberry.ID, reason: str = "", command_id: CommandId = None
    ) -> NodePayload:
        payload = {"node_id": node_id, "reason": reason}
        return await command(
            info, NodePayload, "PauseNode", payload, command_id=command_id, node_id="id"
        )

    @resolved("Let it take work again; a paused build goes on.")
    async def resume_node(
        self, info: Info, node_id: strawberry.ID, command_id: CommandId = None
    ) -> NodePayload:
        return await command(
            info,
            NodePayload,
            "ResumeNode",
            {"node_id": node_id},
            command_id=command_id,
            node_id="id",
        )

    @resolved("Halt a machine now. It stays halted until it is cleared.")
    async def emergency_stop(self, info: Info, node_id: strawberry.ID) -> EmergencyStopPayload:
        return await stop_node(info, node_id)

    @resolved("Say that a stopped machine is safe again; its bridge resets it first.")
    async def clear_emergency_stop(
        self, info: Info, node_id: strawberry.ID, command_id: CommandId = None
    ) -> NodePayload:
        return await clear_stop(info, node_id, command_id=command_id)

    @resolved("Say that a machine that halted itself may be reset and used again.")
    async def clear_fault(self, info: Info, node_id: strawberry.ID) -> ClearFaultPayload:
        return await clear_fault(info, node_id)

    @resolved("Let a machine leave the fleet for good.")
    async def decommission_node(
        self, info: Info, node_id: strawberry.ID, command_id: CommandId = None
    ) -> NodePayload:
        return await command(
            info,
            NodePayload,
            "DecommissionNode",
            {"node_id": node_id},
            command_id=command_id,
            node_id="id",
        )

    @resolved("Book material in; a lot that is new to the node is opened.")
    async def receive_material(
        self,
        info: Info,
        node_id: strawberry.ID,
        material_type: str,
        lot: str,
        quantity_mg: Int53,
        density: Annotated[float, strawberry.argument(description="g/cm³, for a new lot.")] = 1.24,
        command_id: CommandId = None,
    ) -> InventoryPayload:
        payload = {
            "node_id": node_id,
            "material": material_type,
            "lot": lot,
            "quantity_mg": quantity_mg,
            "density_ug_per_mm3": round(min(density, EXACT / 1000) * 1000),
        }
        return await command(
            info,
            InventoryPayload,
            "ReceiveMaterial",
            payload,
            command_id=command_id,
            inventory_id="id",
            free_mg="free_mg",
        )

    @resolved("Book what a stock-take found, reserved amounts included.")
    async def count_material(
        self,
        info: Info,
        inventory_id: strawberry.ID,
        counted_mg: Int53,
        command_id: CommandId = None,
    ) -> InventoryPayload:
        payload = {"inventory_id": inventory_id, "counted_mg": counted_mg}
        return await command(
            info,
            InventoryPayload,
            "CountMaterial",
            payload,
            command_id=command_id,
            inventory_id="id",
        )

    @resolved("Correct the books of a lot by a difference.")
    async def correct_material(
        self,
        info: Info,
        inventory_id: strawberry.ID,
        difference_mg: Int53,
        reason: str,
        command_id: CommandId = None,
    ) -> InventoryPayload:
        payload = {
            "inventory_id": inventory_id,
            "difference_mg": difference_mg,
            "reason": reason,
        }
        return await command(
            info,
            InventoryPayload,
            "CorrectMaterial",
            payload,
            command_id=command_id,
            inventory_id="id",
        )

    @resolved("Open an account with a first role in your organisation.")
    async def open_account(
        self,
        info: Info,
        mail: str,
        name: str,
        password: str,
        role: Role,
        command_id: CommandId = None,
    ) -> AccountPayload:
        payload = {"mail": mail, "name": name, "password": password, "role": role.value}
        return await command(
            info, AccountPayload, "OpenAccount", payload, command_id=command_id, account_id="id"
        )

    @resolved("Give a person a role in your organisation.")
    async def grant_role(
        self, info: Info, account_id: strawberry.ID, role: Role, command_id: CommandId = None
    ) -> AccountPayload:
        payload = {"account_id": account_id, "role": role.value}
        return await command(
            info, AccountPayload, "GrantRole", payload, command_id=command_id, account_id="id"
        )

    @resolved("Take a role away.")
    async def revoke_role(
        self, info: Info, account_id: strawberry.ID, role: Role, command_id: CommandId = None
    ) -> AccountPayload:
        payload = {"account_id": account_id, "role": role.value}
        return await command(
            info, AccountPayload, "RevokeRole", payload, command_id=command_id, account_id="id"
        )

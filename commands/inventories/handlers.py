"""Decisions about material."""

from uuid import UUID

from commands.handling import handles
from commands.inventories.messages import (
    ConsumeMaterial,
    CorrectCount,
    CorrectMaterial,
    CountMaterial,
    ReassignConsumption,
    ReceiveMaterial,
    ReceiveTransfer,
    ReleaseMaterial,
    ReserveMaterial,
    SendTransfer,
    WasteMaterial,
)
from commands.world import World
from domain.inventory.aggregate import Inventory
from domain.inventory.correcting import correct_count, reassign_consumption
from domain.node.aggregate import Node
from domain.shared.checks import named
from domain.shared.errors import InvalidInputError
from domain.shared.identifiers import lot_id


@handles(ReceiveMaterial, tell=lambda lot: {"free_mg": lot.accounts["free"]})
def receive_material(command: ReceiveMaterial, world: World) -> Inventory:
    node = world.get(Node, command.node_id)
    material = named("material", command.material).upper()
    lot = named("lot", command.lot)
    inventory_id = lot_id(node.id, material, lot)
    inventory = world.find(Inventory, inventory_id) or _opened(inventory_id, node, command)
    inventory.receive(command.quantity_mg)
    return inventory


def _opened(inventory_id: UUID, node: Node, command: ReceiveMaterial) -> Inventory:
    return Inventory.open(
        inventory_id,
        organisation_id=node.organisation_id,
        node_id=str(node.id),
        material=command.material,
        lot=command.lot,
        density_ug_per_mm3=command.density_ug_per_mm3,
    )


@handles(ReserveMaterial, tell=lambda lot: {"free_mg": lot.accounts["free"]})
def reserve_material(command: ReserveMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    inventory.reserve(command.build_id, command.quantity_mg)
    return inventory


@handles(ReleaseMaterial)
def release_material(command: ReleaseMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    inventory.release(command.build_id)
    return inventory


@handles(ConsumeMaterial)
def consume_material(command: ConsumeMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    inventory.consume(command.build_id, command.quantity_mg)
    return inventory


@handles(WasteMaterial)
def waste_material(command: WasteMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    inventory.waste(command.build_id, command.quantity_mg, reason=command.reason)
    return inventory


@handles(CountMaterial)
def count_material(command: CountMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    inventory.count(command.counted_mg)
    return inventory


@handles(CorrectMaterial)
def correct_material(command: CorrectMaterial, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    reason = world.in_own_words(named("reason", command.reason))
    inventory.correct(command.difference_mg, reason=reason)
    return inventory


@handles(SendTransfer)
def send_transfer(command: SendTransfer, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    other = world.get(Inventory, command.to_inventory_id)
    if other.material != inventory.material:
        raise InvalidInputError(
            f"a lot of {other.material} takes no {inventory.material}", field="to_inventory_id"
        )
    inventory.send_transfer(
        command.transfer_id, to_inventory_id=str(other.id), quantity_mg=command.quantity_mg
    )
    return inventory


@handles(ReceiveTransfer)
def receive_transfer(command: ReceiveTransfer, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    source = world.get(Inventory, command.from_inventory_id)
    source.confirm_sent(
        command.transfer_id, to_inventory_id=str(inventory.id), quantity_mg=command.quantity_mg
    )
    inventory.receive_transfer(
        command.transfer_id, from_inventory_id=str(source.id), quantity_mg=command.quantity_mg
    )
    return inventory


@handles(CorrectCount, tell=lambda lot: {"free_mg": lot.accounts["free"]})
def correct_earlier_count(command: CorrectCount, world: World) -> Inventory:
    inventory = world.get(Inventory, command.inventory_id)
    correct_count(
        inventory,
        world.past(inventory),
        version=world.ports.application.version_at(inventory.id, command.position),
        counted_mg=command.counted_mg,
        reason=world.in_own_words(named("reason", command.reason)),
    )
    return inventory


@handles(ReassignConsumption, tell=lambda lot: {"free_mg": lot.accounts["free"]})
def reassign(command: ReassignConsumption, world: World) -> Inventory:
    source = world.get(Inventory, command.from_inventory_id)
    target = world.get(Inventory, command.to_inventory_id)
    reassign_consumption(
        source,
        world.past(source),
        target,
        world.past(target),
        build_id=command.build_id,
        reason=world.in_own_words(named("reason", command.reason)),
        now=world.now,
    )
    world.beside.append(source)
    return target

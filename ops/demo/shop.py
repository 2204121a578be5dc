"""Furnishes a virtual shop through GraphQL, as its owner would."""

from collections.abc import Sequence
from pathlib import Path

from device_bridge.virtual.shop import PLANS, write_plans
from domain.shared.errors import ImeweError
from ops.cli.client import Client
from ops.demo.scene import MACHINES, Machine

REGISTER = """mutation($name: String!, $commandId: ID!) {
  registerNode(name: $name, virtual: true, commandId: $commandId) {
    nodeId position problems { code message field remedy } } }"""
CONFIGURE = """mutation($nodeId: ID!, $profile: NodeProfileInput!) {
  configureNode(nodeId: $nodeId, profile: $profile) {
    position problems { code message field remedy } } }"""
RECEIVE = """mutation($nodeId: ID!, $materialType: String!, $lot: String!, $quantityMg: Int53!,
    $density: Float!, $commandId: ID!) {
  receiveMaterial(nodeId: $nodeId, materialType: $materialType, lot: $lot,
    quantityMg: $quantityMg, density: $density, commandId: $commandId) {
    position problems { code message field remedy } } }"""
CLEAR = """mutation($nodeId: ID!) {
  clearBed(nodeId: $nodeId) { position problems { code message field remedy } } }"""


class DemoError(ImeweError):
    """The demo could not go on; the message says at what."""

    code = "DEMO_FAILED"


def furnish(portal: Client, home: Path, machines: Sequence[Machine] = MACHINES) -> dict[str, str]:
    """Register, configure and stock every machine and say that the beds are clear.

    Returns names by node id, and leaves the virtual shop's plan in the home. Running it again
    changes nothing: every command carries the same id.
    """
    names = {}
    plans = []
    for machine in machines:
        node_id = register(portal, machine)
        names[node_id] = machine.name
        plans.append(machine.plan(node_id))
        _stock(portal, node_id, machine)
        portal.command(CLEAR, {"nodeId": node_id})
    write_plans(home / PLANS, plans)
    return names


def register(portal: Client, machine: Machine) -> str:
    """Make one machine known and configure it; its node id."""
    named = {"name": machine.name, "commandId": f"demo-register-{machine.name}"}
    node_id = str(portal.command(REGISTER, named)["nodeId"])
    portal.command(CONFIGURE, {"nodeId": node_id, "profile": machine.profile})
    return node_id


def _stock(portal: Client, node_id: str, machine: Machine) -> None:
    for material, grams, density in machine.stock:
        received = {
            "nodeId": node_id,
            "materialType": material,
            "lot": "demo-1",
            "quantityMg": grams * 1000,
            "density": density,
            "commandId": f"demo-receive-{machine.name}-{material}",
        }
        portal.command(RECEIVE, received)

"""Furnishes a virtual shop through GraphQL, as its owner would."""

from pathlib import Path
from typing import Any, Protocol

from device_bridge.virtual.shop import write_plans
from domain.shared.errors import ImeweError
from ops.demo.scene import MACHINES, Machine

REGISTER = """mutation($name: String!, $commandId: ID!) {
  registerNode(name: $name, virtual: true, commandId: $commandId) {
    nodeId position problems { code message } } }"""
CONFIGURE = """mutation($nodeId: ID!, $profile: NodeProfileInput!) {
  configureNode(nodeId: $nodeId, profile: $profile) { position problems { code message } } }"""
RECEIVE = """mutation($nodeId: ID!, $materialType: String!, $lot: String!, $quantityMg: Int53!,
    $density: Float!, $commandId: ID!) {
  receiveMaterial(nodeId: $nodeId, materialType: $materialType, lot: $lot,
    quantityMg: $quantityMg, density: $density, commandId: $commandId) {
    position problems { code message } } }"""
CLEAR = """mutation($nodeId: ID!) {
  clearBed(nodeId: $nodeId) { position problems { code message } } }"""


class Portal(Protocol):
    """A signed-in client of the gateway."""

    def execute(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The ``data`` of an answer. Raises ``ImeweError`` when there is none."""

    def upload(self, path: Path) -> dict[str, Any]:
        """Store a file; digest, size, format and name."""


class DemoError(ImeweError):
    """The demo could not go on; the message says at what."""

    code = "DEMO_FAILED"


def furnish(portal: Portal, home: Path) -> dict[str, str]:
    """Register, configure and stock every machine and say that the beds are clear.

    Returns names by node id, and leaves the virtual shop's plan in the home. Running it again
    changes nothing: every command carries the same id.
    """
    names = {}
    plans = []
    for machine in MACHINES:
        node_id = _register(portal, machine)
        names[node_id] = machine.name
        plans.append(machine.plan(node_id))
        _stock(portal, node_id, machine)
        done(portal.execute(CLEAR, {"nodeId": node_id}))
    write_plans(home / "virtual-shop.json", plans)
    return names


def done(data: dict[str, Any]) -> dict[str, Any]:
    """The payload of a single mutation. Raises ``DemoError`` with its first problem."""
    (payload,) = data.values()
    for problem in payload["problems"]:
        raise DemoError(f"{problem['code']}: {problem['message']}")
    return dict(payload)


def _register(portal: Portal, machine: Machine) -> str:
    named = {"name": machine.name, "commandId": f"demo-register-{machine.name}"}
    node_id = str(done(portal.execute(REGISTER, named))["nodeId"])
    done(portal.execute(CONFIGURE, {"nodeId": node_id, "profile": machine.profile}))
    return node_id


def _stock(portal: Portal, node_id: str, machine: Machine) -> None:
    for material, grams, density in machine.stock:
        received = {
            "nodeId": node_id,
            "materialType": material,
            "lot": "demo-1",
            "quantityMg": grams * 1000,
            "density": density,
            "commandId": f"demo-receive-{machine.name}-{material}",
        }
        done(portal.execute(RECEIVE, received))

"""The sentence that tells any event to a person.

Orders have words of their own (``projections.jobs.words``). Where nobody wrote a sentence, the
event's class says what it means, as it does to those who read the code.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from domain.account.aggregate import Account
from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.organisation.aggregate import Organisation
from projections.jobs.words import WORDS as OF_JOBS
from projections.jobs.words import words_of

_WORDS: Final[dict[type[Any], Callable[[Any], str]]] = {
    Node.Registered: lambda e: f"{_machine(e.virtual)} {e.name} registered at bridge {e.bridge}",
    Node.Configured: lambda e: f"Profile {e.profile_version} took effect",
    Node.MachineConnected: lambda e: _because("The bridge reached the machine", _told(e.identity)),
    Node.MachineDisconnected: lambda e: _because("The bridge lost the machine", e.reason),
    Node.Observed: lambda e: _observed(e),
    Node.Reserved: lambda e: f"Held for a build under epoch {e.epoch}",
    Node.Released: lambda e: "Given back before anything moved",
    Node.ExecutionBegan: lambda e: "The machine works on the build",
    Node.ExecutionEnded: lambda e: f"The machine stopped working on the build: {e.outcome}",
    Node.BedCleared: lambda e: f"The bed was cleared by {e.by}",
    Node.Held: lambda e: _because("Held: no new work", e.reason),
    Node.HoldEnded: lambda e: "Takes work again",
    Node.EmergencyStopped: lambda e: (
        f"Stopped in an emergency by {e.by}; the bridge had halted it after {e.latency_ms} ms"
    ),
    Node.EmergencyStopCleared: lambda e: f"The emergency stop was cleared by {e.by}",
    Inventory.Opened: lambda e: f"Lot {e.lot} of {e.material} begun",
    Inventory.Received: lambda e: f"{e.quantity_mg} mg received",
    Inventory.Reserved: lambda e: f"{e.quantity_mg} mg held for a build",
    Inventory.Released: lambda e: f"{e.quantity_mg} mg given back",
    Inventory.Consumed: lambda e: f"{e.quantity_mg} mg used by a build",
    Inventory.Wasted: lambda e: _because(f"{e.quantity_mg} mg lost with a build", e.reason),
    Inventory.Counted: lambda e: f"{e.counted_mg} mg counted, {e.difference_mg:+d} mg",
    Inventory.Corrected: lambda e: _because(f"Corrected by {e.difference_mg:+d} mg", e.reason),
    Inventory.TransferSent: lambda e: f"{e.quantity_mg} mg on the way to another lot",
    Inventory.TransferArrived: lambda e: f"{e.quantity_mg} mg came from another lot",
    Account.RoleGranted: lambda e: f"May act as {e.role}",
    Account.RoleRevoked: lambda e: f"May not act as {e.role} any more",
    Organisation.Founded: lambda e: f"{e.name} began to exist",
    Organisation.Renamed: lambda e: f"Renamed to {e.name}",
}


def sentence_of(event: Any) -> str:
    """One sentence without its full stop. Personal texts in it stay sealed."""
    kind = type(event)
    if words := _WORDS.get(kind):
        return words(event)
    if kind in OF_JOBS:
        return words_of(event)
    return _meaning(kind)


def _meaning(kind: type[Any]) -> str:
    """The first sentence of what the class says of itself, as it stands in the source.

    The library derives classes of its own, to which ``dataclass`` gives a signature as words.
    """
    written = [each for each in kind.__mro__ if "TOPIC" in vars(each)]
    text = " ".join((inspect.getdoc(written[0]) or kind.__name__).split()) if written else ""
    return text.partition(". ")[0].rstrip(".")


def _observed(event: Any) -> str:
    faults = ", ".join(
        f"{condition.get('level', '')} {condition.get('code', '')}".strip()
        for condition in event.conditions
    )
    text = f"The machine is {event.availability.lower()}, {event.execution.lower()}"
    return _because(text, faults)


def _machine(virtual: bool) -> str:
    return "Virtual machine" if virtual else "Machine"


def _told(identity: dict[str, Any]) -> str:
    return ", ".join(str(value) for value in identity.values() if value)


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what

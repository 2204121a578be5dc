"""Every id is made from its cause, so that doing a thing again names the same thing."""

from uuid import NAMESPACE_OID, UUID, uuid5

IMEWE = UUID("6f1f3c2e-7d0b-5f6c-9a52-0b8f5d1c2a77")
"""Namespace of all derived ids."""


def derived(*cause: str | int | UUID) -> UUID:
    """The id that follows from a cause, for example ``derived("part", job_id, line)``."""
    return uuid5(IMEWE, "\x1f".join(str(item) for item in cause))


def command_name(organisation_id: str, principal: str, command_id: str) -> str:
    """A command's full name: unique for one principal inside one organisation."""
    return str(derived("command", organisation_id, principal, command_id))


def event_id(aggregate: UUID | str, version: int) -> str:
    """An event's id follows from aggregate and version: a retry names the same event."""
    return str(uuid5(NAMESPACE_OID, f"imewe:{aggregate}:{version}"))


def part_id(job_id: UUID | str, line: int) -> UUID:
    """The part of an order line."""
    return derived("part", job_id, line)


def dispatch_id(part: UUID | str, piece: int) -> UUID:
    """The dispatch of one piece."""
    return derived("dispatch", part, piece)


def build_id(dispatch: UUID | str, attempt: int) -> UUID:
    """The build that one attempt of a dispatch plans."""
    return derived("build", dispatch, attempt)


def lot_id(node_id: UUID | str, material: str, lot: str) -> UUID:
    """The inventory of one lot at one node."""
    return derived("inventory", node_id, material, lot)

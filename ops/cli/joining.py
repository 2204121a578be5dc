"""Make a machine a node: register it, hold it if wanted, put its profile into effect."""

from typing import Any
from uuid import UUID, uuid5

from domain.node.profile import checked_profile
from domain.shared.errors import NotFoundError
from ops.cli.client import Client
from ops.cli.reach import machine_id

SPACE = UUID("6f0b6d1e-2a4c-5b7e-9c3d-1f2e3d4c5b6a")
"""Command ids of machines that join: the same machine of the same person gets the same."""
AWAITS = "awaits approval: look at the machine, then imewe nodes resume"
_ANSWER = "nodeId position problems { code message field remedy }"
ME = "query { me { accountId } }"
REGISTER = f"""mutation($name: String!, $bridge: String!, $command: ID!) {{
  registerNode(name: $name, bridge: $bridge, commandId: $command) {{ {_ANSWER} }} }}"""
PAUSE = f"""mutation($id: ID!, $reason: String!, $command: ID!) {{
  pauseNode(nodeId: $id, reason: $reason, commandId: $command) {{ {_ANSWER} }} }}"""
CONFIGURE = f"""mutation($id: ID!, $profile: NodeProfileInput!) {{
  configureNode(nodeId: $id, profile: $profile) {{ {_ANSWER} }} }}"""


def register(client: Client, *, name: str, bridge: str, hold: bool = False) -> str:
    """Make a machine known; its id.

    With ``hold`` it takes no work, from before it has a profile, until staff resumes it. Raises
    the typed error of whatever refuses.
    """
    command = _command(_who(client), "register", bridge, name)
    sent = {"name": name, "bridge": bridge, "command": command}
    node_id = str(client.command(REGISTER, sent)["nodeId"])
    if hold:
        sent = {"id": node_id, "reason": AWAITS, "command": _command("hold", node_id)}
        client.command(PAUSE, sent)
    return node_id


def configure(client: Client, node_id: str, profile: dict[str, Any]) -> None:
    """Put a profile into effect; the same one said again changes nothing."""
    wanted = checked_profile(profile)
    client.command(CONFIGURE, {"id": node_id, "profile": as_input(wanted)})


def known_id(client: Client, name: str) -> str | None:
    """The id of the machine of that name. Raises ``InvalidInputError`` when several bear it."""
    try:
        return machine_id(client, name)
    except NotFoundError:
        return None


def as_input(profile: dict[str, Any]) -> dict[str, Any]:
    """A profile as ``NodeProfileInput`` takes it."""
    return {_camel(name): value for name, value in profile.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _command(*words: str) -> str:
    return str(uuid5(SPACE, "\x1f".join(words)))


def _who(client: Client) -> str:
    return str(client.execute(ME)["me"]["accountId"])

"""Bridges beside the embedded one: who they are and which machines they drive.

A list in the home; the supervisor sees that it changed and lets nats-server read its users again.
"""

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from domain.shared.checks import word
from domain.shared.errors import ForbiddenError, InvalidInputError, UnavailableError
from ops.eventstore.client import Client
from ops.hosting.home import read_note, write_private
from ops.messaging.accounts import ARTIFACTS, EMBEDDED_BRIDGE
from ops.messaging.connection import address
from ops.settings import Settings

FILE = "bridges.json"
PATIENCE_S = 15.0
ASK_S = 0.5


def enrolled(home: Path) -> dict[str, list[str]]:
    """The nodes of each enrolled bridge."""
    return {str(name): list(nodes) for name, nodes in read_note(home / FILE).items()}


def enrol(home: Path, bridge_id: str, nodes: Sequence[str]) -> list[str]:
    """Let a bridge of that id exist and drive these machines besides those it drives already; all
    its machines. Raises ``InvalidInputError``."""
    if word("bridge", bridge_id) == EMBEDDED_BRIDGE:
        raise InvalidInputError(
            f"{EMBEDDED_BRIDGE} is the bridge inside imewe up", field="bridge", remedy="another id"
        )
    known = enrolled(home)
    wanted = sorted({*known.get(bridge_id, []), *(_node_id(node) for node in nodes)})
    for other, theirs in known.items():
        if other != bridge_id and (both := set(wanted) & set(theirs)):
            raise InvalidInputError(f"{both.pop()} hangs on bridge {other}", field="node")
    write_private(home / FILE, json.dumps({**known, bridge_id: wanted}))
    return wanted


def wait_until_known(settings: Settings, user: str, nodes: Sequence[str]) -> None:
    """Wait until the server knows a bridge and its machines. Raises ``UnavailableError``."""
    until = time.monotonic() + PATIENCE_S
    while not _is_known(settings, user, nodes):
        if time.monotonic() > until:
            raise UnavailableError(
                "nats-server does not know the bridge yet", remedy="see the log of imewe up"
            )
        time.sleep(ASK_S)


def _is_known(settings: Settings, user: str, nodes: Sequence[str]) -> bool:
    """Asking is answered once it is allowed, even if there is no file and no work."""
    asked = [f"$JS.API.DIRECT.GET.OBJ_{ARTIFACTS}"]
    asked += [f"$JS.API.CONSUMER.INFO.IMEWE_WORK.{node}" for node in nodes]
    try:
        with contextlib.closing(Client(address(settings, user), timeout=ASK_S)) as client:
            for subject in asked:
                client.request(subject)
    except (UnavailableError, ForbiddenError):
        return False
    return True


def _node_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInputError(
            f"{text[:60]} is no node's id", field="node", remedy="imewe nodes list"
        ) from None

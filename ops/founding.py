"""The first organisation and its first admin, made once however often a start was interrupted."""

import time
from collections.abc import Callable
from typing import TypeVar

import orjson
import structlog

from commands.authorisation import SUPERVISOR
from commands.bus import Bus
from commands.wire import Request
from domain.account.roles import Role
from domain.shared.errors import UnavailableError
from ops.hosting.entrance import FirstAdmin

ORGANISATION = "Imewe"
ADMIN = "Administrator"
PATIENCE_S = 60.0

T = TypeVar("T")

log = structlog.get_logger()


def found(bus: Bus, admin: FirstAdmin) -> str:
    """Make what is missing and return the organisation's id.

    The commands' ids are fixed, so a second start, or a second copy of the service, changes
    nothing. Waits for a log that is not there yet; raises ``UnavailableError`` after a minute.
    """
    return patiently(lambda: _found(bus, admin))


def patiently(act: Callable[[], T]) -> T:
    """Say it again while the log is not there. Raises ``UnavailableError`` after a minute."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except UnavailableError as error:
            if time.monotonic() > until:
                raise
            log.warning("waiting for the log", problem=str(error))
            time.sleep(0.5)


def _found(bus: Bus, admin: FirstAdmin) -> str:
    answer = bus.obey(_request("FoundOrganisation", {"name": ORGANISATION}))
    organisation_id = str(answer["id"])
    account = {
        "mail": admin.mail,
        "name": ADMIN,
        "password": admin.password,
        "role": Role.ADMIN.value,
    }
    bus.obey(_request("OpenAccount", account, organisation_id=organisation_id))
    return organisation_id


def _request(name: str, payload: dict[str, str], organisation_id: str = "") -> Request:
    kind, _, sender = SUPERVISOR.partition("/")
    return Request(
        sender_kind=kind,
        sender_id=sender,
        name=name,
        body=orjson.dumps(payload),
        command_id=f"founding-{name}",
        organisation_id=organisation_id,
    )

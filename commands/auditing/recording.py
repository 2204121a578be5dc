"""Entries for what this service decides itself, and for what the gateway tells it."""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from commands.auditing.entry import ALLOWED, NOBODY, Entry, ip_address, plain
from commands.authorisation import EXPORT_SUBJECT, MATRIX
from commands.principal import GATEWAY, SERVICE, USER, Principal
from commands.wire import Request
from domain.shared.errors import ImeweError

LOGIN: Final = "login"
UNKNOWN: Final = "an unknown command"
LARGEST_COUNT: Final = 1_000_000
STEP_OUTCOMES: Final = frozenset({"begun", "done", "failed"})
RESOURCES: Final = (
    "job_id",
    "part_id",
    "build_id",
    "node_id",
    "dispatch_id",
    "account_id",
    "organisation_id",
)
"""What a command may be about, the first that is there."""


def denied_command(
    request: Request, principal: Principal | None, error: ImeweError, *, at: datetime
) -> Entry:
    """A command that was refused for want of a right."""
    return Entry(
        at=at,
        actor=str(principal) if principal else NOBODY,
        action=request.name if request.name in MATRIX else UNKNOWN,
        outcome=error.code,
        resource=resource_of(request.body),
        reason=plain(error.message),
        address=ip_address(request.address) if request.sender_id == GATEWAY else "",
        organisation_id=_place(principal, request.organisation_id),
        correlation_id=plain(request.correlation or request.command_id),
    )


def logged_in(account_id: str, organisation_id: str, *, address: str, at: datetime) -> Entry:
    """A person showed the right password."""
    return Entry(
        at=at,
        actor=f"{USER}/{account_id}",
        action=LOGIN,
        outcome=ALLOWED,
        address=ip_address(address),
        organisation_id=organisation_id,
    )


def refused_login(
    whom: str, organisation_id: str, error: ImeweError, *, address: str, at: datetime
) -> Entry:
    """Somebody did not. ``whom`` is an account's id, or the opaque name of an unknown mail."""
    return Entry(
        at=at,
        actor=NOBODY,
        action=LOGIN,
        outcome=error.code,
        resource=whom,
        reason=plain(error.message),
        address=ip_address(address),
        organisation_id=organisation_id,
    )


def reported(told: Mapping[str, Any], principal: Principal | None, *, at: datetime) -> Entry:
    """What the gateway refused. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
    return Entry(
        at=at,
        actor=str(principal) if principal else NOBODY,
        action=plain(str(told["action"])),
        outcome=plain(str(told["outcome"])),
        resource=plain(str(told.get("resource", ""))),
        reason=plain(str(told.get("reason", ""))),
        address=ip_address(str(told.get("address", ""))),
        organisation_id=_place(principal, ""),
        correlation_id=plain(str(told.get("correlation_id", ""))),
        count=min(LARGEST_COUNT, max(1, int(told.get("count", 1)))),
    )


def step(
    told: Mapping[str, Any], service: str, principal: Principal | None, *, at: datetime
) -> Entry:
    """What a service did for a person, or by itself. Raises ``KeyError`` or ``ValueError``."""
    action, outcome = plain(str(told["action"])), str(told["outcome"])
    if not action.startswith(f"{service}.") or outcome not in STEP_OUTCOMES:
        raise ValueError(action)
    return Entry(
        at=at,
        actor=str(principal or Principal(kind=SERVICE, id=service)),
        action=action,
        outcome=outcome,
        resource=plain(str(told.get("resource", ""))),
        reason=plain(str(told.get("reason", ""))),
        organisation_id=_place(principal, ""),
        correlation_id=plain(str(told.get("correlation_id", ""))),
    )


def exported(account_id: str, person: Principal, *, at: datetime) -> Entry:
    """An admin or auditor read what concerns somebody else."""
    return Entry(
        at=at,
        actor=str(person),
        action=EXPORT_SUBJECT,
        outcome=ALLOWED,
        resource=f"account/{plain(account_id)}",
        organisation_id=_place(person, ""),
    )


def opaque_mail(mail: str, key: bytes, *, at: datetime) -> str:
    """A name for a mail address that no account has. It is another one every day, and without the
    home's key nobody can find the address from it."""
    said = f"{at.date().isoformat()} {mail.strip().casefold()}"
    return "mail/" + hmac.digest(key, said.encode(), "sha256").hex()[:16]


def resource_of(body: bytes) -> str:
    """What a command is about, as ``<kind>/<id>``; empty when it does not name an id."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(told, dict):
        return ""
    for field in RESOURCES:
        try:
            return f"{field.removesuffix('_id')}/{UUID(told[field])}"
        except (KeyError, ValueError, AttributeError, TypeError):
            continue
    return ""


def _place(principal: Principal | None, wanted: str) -> str:
    """Whose trail it is: a person's denial belongs to an organisation of that person, whatever
    organisation the person named."""
    if principal is None:
        return ""
    if principal.kind != USER:
        return plain(wanted)
    places = principal.scope.organisations
    return wanted if wanted in places else next(iter(places), "")

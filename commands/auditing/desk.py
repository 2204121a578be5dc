"""Answers ``imewe.audit.report`` and ``imewe.audit.read``, which only the gateway may send, and
``imewe.audit.step.<service>``, which only that service may.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from commands.accounts.authentication import Authentication
from commands.auditing.entry import Entry
from commands.auditing.recording import exported, reported, step
from commands.auditing.sealing import concerns, opened_address
from commands.auditing.trail import AuditLog, Trail, Written
from commands.authorisation import READ_TRAIL, permitted_places
from commands.principal import Principal
from commands.tokens import Verifier
from commands.wire import TOKEN
from domain.ports import Clock
from domain.shared.checks import within
from domain.shared.errors import InvalidInputError, UnauthenticatedError

PAGE_LIMIT = 100
STRETCH = 500
MOST_LOOKED_AT = 20_000
"""Entries of others that one request passes over; the next request goes on from there."""


class AuditDesk:
    """Takes reports and gives pages."""

    def __init__(
        self,
        trail: Trail,
        audit_log: AuditLog,
        people: Authentication,
        *,
        verifier: Verifier,
        clock: Clock,
    ) -> None:
        self._trail = trail
        self._people = people
        self._log = audit_log
        self._verifier = verifier
        self._clock = clock

    def report(self, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """Take what the gateway refused: ``action``, ``outcome`` and, where known, ``resource``,
        ``reason``, ``address``, ``correlation_id``, ``count``. The token proves who it was."""
        principal = self._known(headers)
        try:
            entry = reported(_object(body), principal, at=self._clock.now())
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError("a report needs action and outcome") from error
        self._trail.record(entry, proved=principal is not None)
        return {}

    def step(self, service: str, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """Take what a service does for a person, or by itself without a token: ``action``
        (``<service>.<verb>``), ``outcome`` (``begun``, ``done`` or ``failed``) and, where there
        is one, ``resource``, ``reason``, ``correlation_id``.

        Answered when it is written. Raises ``UnavailableError`` when it cannot be. Where the token
        has run out since, the service is the actor.
        """
        try:
            entry = step(_object(body), service, self._known(headers), at=self._clock.now())
        except (KeyError, ValueError) as error:
            raise InvalidInputError("a step needs an action and an outcome of its own") from error
        self._trail.step(entry, service=service)
        return {}

    def read(self, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """A page: ``entries``, the newest first, ``oldest`` (the sequence to go on before) and
        ``has_more``.

        Entries of the organisations whose trail the person may read, and of nobody's; with
        ``about``, those that concern one account, which everybody may read of the own one. Raises
        ``ForbiddenError``.
        """
        person = self._verifier.verify((headers or {}).get(TOKEN, ""))
        asked = _object(body)
        about = asked.get("about")
        wanted = _wanted(person, about)
        first, before = asked.get("first", 50), asked.get("before")
        if type(first) is not int or type(before) not in (int, type(None)):
            raise InvalidInputError("first and before are numbers", field="first")
        if about not in (None, person.id) and before is None:
            self._trail.record(exported(about, person, at=self._clock.now()), proved=True)
        page = self._page(wanted, within("first", first, 1, PAGE_LIMIT), before)
        return {**page, "entries": [self._told(each) for each in page["entries"]]}

    def _told(self, written: Written) -> dict[str, Any]:
        entry = opened_address(written.entry, self._people)
        return {**asdict(entry), "sequence": written.sequence, "hash": written.hash}

    def _page(
        self, wanted: Callable[[Entry], bool], first: int, before: int | None
    ) -> dict[str, Any]:
        found: list[Written] = []
        looked = 0
        while looked < MOST_LOOKED_AT:
            stretch = self._log.newest(before=before, limit=STRETCH)
            for each in stretch:
                if wanted(each.entry):
                    if len(found) == first:
                        return {"entries": found, "oldest": before, "has_more": True}
                    found.append(each)
                before = each.sequence
            looked += len(stretch)
            if len(stretch) < STRETCH:
                return {"entries": found, "oldest": before, "has_more": False}
        return {"entries": found, "oldest": before, "has_more": True}

    def _known(self, headers: Mapping[str, str] | None) -> Principal | None:
        try:
            return self._verifier.verify((headers or {}).get(TOKEN, ""))
        except UnauthenticatedError:
            return None


def readable_places(principal: Principal) -> frozenset[str]:
    """The organisations whose trail a person may read, and with them what is nobody's.

    Raises ``ForbiddenError`` when there is none.
    """
    return frozenset({"", *permitted_places(READ_TRAIL, principal)})


def _wanted(person: Principal, about: object) -> Callable[[Entry], bool]:
    if about is not None and not isinstance(about, str):
        raise InvalidInputError("about is an account's id", field="about")
    if about == person.id:
        return lambda entry: concerns(entry, person.id)
    places = readable_places(person)
    return lambda entry: (
        entry.organisation_id in places and (about is None or concerns(entry, about))
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("this is no JSON") from error
    if not isinstance(told, dict):
        raise InvalidInputError("this is no JSON object")
    return told

"""Opening the sealed names and mails of people, for those who may read them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.application import AggregateNotFoundError

from commands.accounts.authentication import NOTE, Authentication
from commands.application import Imewe
from commands.authorisation import REVEAL, anything, rules_for
from commands.principal import Principal
from commands.tokens import Verifier
from commands.wire import TOKEN
from domain.account.aggregate import Account
from domain.shared.errors import DamagedSecretError, ForbiddenError, InvalidInputError
from domain.shared.personal import Personal

MOST_AT_ONCE = 500


class Revealing:
    """Answers ``imewe.auth.reveal``, which only the gateway may send.

    An admin of the organisation that opened the account may read it, and so may the person. Names
    and mails come from the log, never from the asker. Notes are brought by the asker, who read
    them where they stand; only what was sealed as a note opens, for people of an organisation of
    its author.
    """

    def __init__(
        self, application: Imewe, authentication: Authentication, *, verifier: Verifier
    ) -> None:
        self._application = application
        self._people = authentication
        self._verifier = verifier

    def reveal(self, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """``{"account_ids": [...]}`` to ``{"people": {id: {"mail", "name"}}}``, and ``{"notes":
        [sealed words]}`` to ``{"notes": {sealed word: text}}``.

        Who may not be read, or does not exist, is left out; what was erased is ``None``. Raises
        ``UnauthenticatedError`` and ``InvalidInputError``.
        """
        person = self._verifier.verify((headers or {}).get(TOKEN, ""))
        told = _told(body)
        found = {}
        for account_id in _account_ids(told):
            account = self._account(account_id)
            if account is not None and _may(person, account):
                found[str(account_id)] = self._people.opened(
                    str(account_id), mail=account.sealed_mail, name=account.sealed_name
                )
        return {"people": found, "notes": self._notes(person, told)}

    def _notes(self, person: Principal, told: Mapping[str, Any]) -> dict[str, str | None]:
        readable: dict[str, bool] = {}
        found = {}
        for word in _words(told):
            personal = Personal.from_compact(word)
            if personal is None:
                continue
            author = personal.subject_id
            if author not in readable:
                readable[author] = self._shares_organisation(person, author)
            if readable[author]:
                with suppress(DamagedSecretError):  # anybody can write what only looks sealed
                    found[word] = self._people.opened_word(NOTE, word)
        return found

    def _shares_organisation(self, person: Principal, author: str) -> bool:
        account = self._application.find(author)
        places = set(person.scope.organisations)
        return author == person.id or (
            isinstance(account, Account) and account.organisation_id in places
        )

    def _account(self, account_id: UUID) -> Account | None:
        try:
            account = self._application.load(account_id)
        except AggregateNotFoundError:
            return None
        return account if isinstance(account, Account) else None


def _may(person: Principal, account: Account) -> bool:
    if str(account.id) == person.id:
        return True
    try:
        return anything in rules_for(REVEAL, person, account.organisation_id)
    except ForbiddenError:
        return False


def _told(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("this is no JSON") from error
    if not isinstance(told, dict) or not {"account_ids", "notes"} & set(told):
        raise InvalidInputError("account_ids or notes are needed", field="account_ids")
    return told


def _words(told: Mapping[str, Any]) -> list[str]:
    words = told.get("notes", [])
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise InvalidInputError("notes are sealed words", field="notes")
    if len(words) > MOST_AT_ONCE:
        raise InvalidInputError(f"at most {MOST_AT_ONCE} at once", field="notes")
    return words


def _account_ids(told: Mapping[str, Any]) -> list[UUID]:
    try:
        ids = [UUID(each) for each in told.get("account_ids", [])]
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError("account_ids are needed", field="account_ids") from error
    if len(ids) > MOST_AT_ONCE:
        raise InvalidInputError(f"at most {MOST_AT_ONCE} at once", field="account_ids")
    return ids
